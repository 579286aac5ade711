"""The page of a report: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from html import escape

from trimtab.simulate.report.drawing import Plot
from trimtab.simulate.report.facts import RunFacts, versions
from trimtab.simulate.report.figures import Figure, figures, shown_saving
from trimtab.simulate.report.glossary import FIGURES, HINDSIGHT, POLICIES
from trimtab.simulate.report.intervals import Saving
from trimtab.simulate.report.summary import summary
from trimtab.simulate.results import PolicyResult

Savings = Mapping[str, Mapping[str, Saving]]

_CSS = """
:root { color-scheme: light dark; --ink: #1b1e23; --soft: #5a616b; --page: #fff; --rule: #d8dce2; --mark: #eef4fc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a3abb6; --page: #16181d; --rule: #363b44; --mark: #1d2a3c; }
}
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 62rem; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem; }
.lead { font-size: 1.1rem; } p, li, dd { max-width: 46rem; } .soft, figcaption, dd { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { vertical-align: bottom; }
tr.own { background: var(--mark); }
th small { font-weight: normal; color: var(--soft); }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; max-width: 58rem; }
pre { background: var(--mark); padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
dt { font-weight: 600; margin-top: .4rem; } dd { margin: 0 0 0 1rem; } code { overflow-wrap: anywhere; }
@page { margin: 14mm; }
@media print {
  :root { --ink: #000; --soft: #444; --page: #fff; --rule: #bbb; --mark: #f2f2f2; }
  body { max-width: none; padding: 0; font-size: 10pt; } figure, tr { break-inside: avoid; }
  .wide { overflow: visible; } table { font-size: 6pt; } th, td { padding: .15rem .2rem; }
  h2 { break-after: avoid; }
}
"""

_TITLES = {
    "training": "Training jobs on a grid trace",
    "elastic": "Elastic training jobs on a cluster",
    "serving": "Serving of requests",
}


def page(results: Sequence[PolicyResult], found: Savings, plots: Sequence[Plot], facts: RunFacts) -> str:
    """The whole page.

    Args:
        results: By policy, in the order in which they are listed.
        found: Savings by measure and policy.
        plots: In the order in which they are shown.
        facts: Of the run.
    """
    title = _TITLES[facts.kind]
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{escape(summary(results, found, facts))}</p>',
        _settings(facts),
        "<h2>Figures by policy</h2>",
        _table(results, found, facts),
        _notes(results),
        *(_figure(plot) for plot in plots),
        _explained(results),
        _trust(results, facts),
        _repeat(facts),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} - trimtab simulate</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _settings(facts: RunFacts) -> str:
    if not facts.settings:
        return ""
    said = "; ".join(f"{escape(name)} {escape(value)}" for name, value in facts.settings)
    return f'<p class="soft">Settings: {said}.</p>'


def _table(results: Sequence[PolicyResult], found: Savings, facts: RunFacts) -> str:
    columns = figures(results)
    measures = [measure for measure, by_policy in found.items() if by_policy]
    heads = [f"{measure} saved<br><small>% (95 % interval)</small>" for measure in measures]
    heads += [_head(column) for column in columns]
    rows = []
    for result in results:
        kind = ' class="own"' if result.policy == "trimtab" else ""
        saved = [
            "reference" if result.policy == facts.reference else shown_saving(found[measure], result.policy)
            for measure in measures
        ]
        cells = "".join(f"<td>{text}</td>" for text in [*saved, *(column.shown(result) for column in columns)])
        rows.append(f'<tr{kind}><th scope="row">{escape(result.policy)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{text}</th>' for text in ["Policy", *heads])
    return (
        f'<div class="wide" role="region" aria-label="Figures by policy" tabindex="0"><table>\n<thead><tr>{head}</tr>'
        f"</thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table></div>"
    )


def _head(column: Figure) -> str:
    return f"{column.name}<br><small>{column.unit}</small>" if column.unit else column.name


def _notes(results: Sequence[PolicyResult]) -> str:
    items: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            items.setdefault(note, []).append(result.policy)
    if not items:
        return ""
    rows = "".join(
        f"<li>{escape('All' if len(who) == len(results) > 1 else ', '.join(who))}: {escape(note)}</li>"
        for note, who in items.items()
    )
    return f"<ul>{rows}</ul>"


def _figure(plot: Plot) -> str:
    svg = plot.svg.replace("<svg", f'<svg role="img" aria-label="{escape(plot.alt, quote=True)}"', 1)
    caption = f"<figcaption>{escape(plot.caption)}</figcaption>"
    return f"<h2>{escape(plot.title)}</h2>\n<figure>{svg}{caption}</figure>"


def _explained(results: Sequence[PolicyResult]) -> str:
    named = {column.name.split(",")[0] for column in figures(results)} | {"Saved"}
    columns = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in FIGURES.items() if name in named)
    policies = "".join(
        f"<dt>{escape(result.policy)}</dt><dd>{escape(POLICIES[result.policy])}</dd>"
        for result in results
        if result.policy in POLICIES
    )
    return f"<h2>What the columns mean</h2><dl>{columns}</dl><h2>What the policies do</h2><dl>{policies}</dl>"


def _trust(results: Sequence[PolicyResult], facts: RunFacts) -> str:
    draws = (
        "Intervals draw blocks of neighbouring control intervals anew (block bootstrap), since what happens in one "
        "depends on the one before."
        if facts.kind == "serving"
        else "Intervals draw the jobs anew, one by one (bootstrap); the same draws serve all policies."
    )
    knowing = [result.policy for result in results if result.policy in HINDSIGHT]
    hindsight = f" What is to come is known to {' and '.join(knowing)} alone." if knowing else ""
    return (
        "<h2>How far to trust this</h2>"
        f"<p>{draws} They say how much the result depends on which of these jobs or requests came; they do not say "
        "what another season, grid or trace would give: run those too. All policies were given the same arrivals, "
        "intensities, forecasts and power, and replayed by the same simulator, whose model of power and speed is the "
        f"one of its input files and settings above.{hindsight}</p>"
    )


def _repeat(facts: RunFacts) -> str:
    files = "".join(
        f"<li>{escape(file.role)}: <code>{escape(file.path)}</code>, SHA-256 <code>{file.sha256}</code></li>"
        for file in facts.inputs
    )
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    return (
        f"<h2>How to repeat it</h2><pre>{escape(facts.command)}</pre><ul>{files}</ul>"
        f'<p class="soft">Seed {facts.seed}; {escape(used)}. The figures are in <code>result.json</code>.</p>'
    )
