"""Write what a simulation found, and show it on the terminal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trimtab.simulate.report.drawing import Plot, styled
from trimtab.simulate.report.facts import RunFacts, versions
from trimtab.simulate.report.figures import figures, shown_saving
from trimtab.simulate.report.intervals import CARBON, COMPLETION, COST, Measure, Saving, savings
from trimtab.simulate.report.page import page
from trimtab.simulate.report.plots import distribution_plots, ratio_plot, savings_plot, sensitivity_plot, trade_plot
from trimtab.simulate.report.summary import summary
from trimtab.simulate.report.timeline_plot import timeline_plots
from trimtab.simulate.results import PolicyResult

_MEASURES = {"training": (CARBON, COST), "elastic": (COMPLETION, CARBON, COST), "serving": (COST, CARBON)}


_ENDLESS = 10_000
"""A terminal on which any table fits: what a table would take if it could."""


def write(results: Sequence[PolicyResult], facts: RunFacts, folder: Path) -> dict[str, dict[str, Saving]]:
    """Write `result.json` and `report.html`.

    Args:
        results: One of each policy, in the order in which they are listed.
        facts: How the run was made.
        folder: Where to; made if it is not there.

    Returns:
        The savings against the reference by measure and policy, as they stand in the report.

    Raises:
        OSError: The folder cannot be written.
    """
    found = {
        measure.name: savings(results, facts.reference, measure, blocks=facts.kind == "serving", seed=facts.seed)
        for measure in _MEASURES[facts.kind]
        if _differs(measure, results)
    }
    document = json.dumps(_document(results, found, facts), indent=2, allow_nan=False)
    html = page(results, found, _plots(results, found, facts), facts)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(document + "\n", encoding="utf-8")
    (folder / "report.html").write_text(html, encoding="utf-8")
    return found


def show(
    results: Sequence[PolicyResult],
    found: Mapping[str, Mapping[str, Saving]],
    facts: RunFacts,
    folder: Path,
    console: Console,
) -> None:
    """Print the main figures by policy, the summary, and where the whole report is."""
    measures = [measure for measure, by_policy in found.items() if by_policy]
    # Intervals for as many measures as there is room for.
    for intervals in range(len(measures), -1, -1):
        table = _table(results, found, facts, set(measures[:intervals]))
        if console.measure(table, options=console.options.update(max_width=_ENDLESS)).maximum <= console.width:
            break
    console.print(table)
    console.print(summary(results, found, facts), highlight=False)
    console.print(f"Wrote {folder / 'result.json'} and {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _table(
    results: Sequence[PolicyResult],
    found: Mapping[str, Mapping[str, Saving]],
    facts: RunFacts,
    with_interval: set[str],
) -> Table:
    columns = figures(results, brief=facts.kind)
    measures = [measure for measure, by_policy in found.items() if by_policy]
    table = Table(title=f"Savings are against {facts.reference}" if measures else None, title_justify="left")
    table.add_column("policy", no_wrap=True)
    for name in measures:
        heading = name.lower().replace(" ", "\n")
        table.add_column(f"{heading}\nsaved %", justify="right", no_wrap=True)
    for column in columns:
        table.add_column(f"{column.name.lower()}\n{column.unit}", justify="right")
    for result in results:
        saved = [shown_saving(found[name], result.policy, bare=name not in with_interval) for name in measures]
        style = "bold" if result.policy == "trimtab" else None
        table.add_row(result.policy, *saved, *(column.shown(result) for column in columns), style=style)
    return table


def _differs(measure: Measure, results: Sequence[PolicyResult]) -> bool:
    """Whether there is anything to save: at one price all hours, policies that run the same work cost the same."""
    totals = [total for result in results if (total := measure.total(result)) is not None]
    return bool(totals) and max(totals) - min(totals) > 1e-4 * max(totals)


def _document(
    results: Sequence[PolicyResult], found: Mapping[str, Mapping[str, Saving]], facts: RunFacts
) -> dict[str, object]:
    return {
        "policies": {result.policy: result.figures() for result in results},
        "savings": {
            measure.lower().replace(" ", "_"): {policy: asdict(saving) for policy, saving in by_policy.items()}
            for measure, by_policy in found.items()
        },
        "sensitivity": [asdict(sensitivity) for sensitivity in facts.sensitivities],
        "notes": {result.policy: list(result.notes) for result in results if result.notes},
        "run": {
            "command": facts.command,
            "kind": facts.kind,
            "reference": facts.reference,
            "seed": facts.seed,
            "settings": dict(facts.settings),
            "versions": versions(),
            "inputs": [asdict(file) for file in facts.inputs],
        },
    }


def _plots(results: Sequence[PolicyResult], found: Mapping[str, Mapping[str, Saving]], facts: RunFacts) -> list[Plot]:
    against = found.get(COST.name if facts.kind == "serving" else CARBON.name, {})
    with styled():
        plots = [
            savings_plot(found, facts),
            *timeline_plots(results, facts),
            ratio_plot(results, facts),
            trade_plot(results, against, facts),
            *distribution_plots(results, facts),
            *(sensitivity_plot(each, facts, f"sensitivity{at}") for at, each in enumerate(facts.sensitivities)),
        ]
    return [plot for plot in plots if plot is not None]
