"""Puts the figures of a run into README.md: `python3 docs/fill_figures.py FACTS.json README.md`.

`trimtab demo` writes the facts as JSON (`--facts-file FACTS.json`). In the text, a figure stands between
`<!-- figure:NAME -->` and `<!-- /figure -->`; whatever is there is replaced, so the script can be run after each run.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

UNKNOWN = "?"
"""Stands where a run did not come so far."""
_PLACE = re.compile(r"(<!-- figure:(?P<name>[A-Za-z0-9_.-]+) -->).*?(<!-- /figure -->)", re.DOTALL)
_Formatter = Callable[[Any], str]


class UnknownFigureError(ValueError):
    """A placeholder names a figure that no run gives."""


def _seconds(value: Any) -> str:
    return f"{float(value):.1f} s"


def _count(value: Any) -> str:
    return f"{int(value):,}"


def _significant(value: Any) -> str:
    return f"{float(value):.3g}"


def _accuracy(value: Any) -> str:
    return f"{float(value):.4f}"


def _kib(value: Any) -> str:
    return f"{int(value) / 1024:,.0f}"


def _milliseconds(value: Any) -> str:
    return f"{float(value):.2f}"


def _whole(value: Any) -> str:
    return f"{float(value):,.0f}"


_RUN: dict[str, tuple[str, _Formatter]] = {
    "cluster_and_operator_ready_seconds": ("cluster_and_operator_ready_seconds", _seconds),
    "first_training_step_seconds": ("first_training_step_seconds", _seconds),
    "breach_to_new_pod_seconds": ("breach_to_new_pod_seconds", _seconds),
    "failed_requests_in_switch": ("failed_requests_in_switch", _count),
    "requests_in_switch": ("requests_in_switch", _count),
    "failed_requests": ("failed_requests", _count),
    "requests": ("requests", _count),
    "training_samples": ("training.progress.completedSamples", _count),
    "training_suspensions": ("training.suspensions", _count),
    "training_accuracy": ("training.accuracy.value", _accuracy),
    "training_accuracy_low": ("training.accuracy.low", _accuracy),
    "training_accuracy_high": ("training.accuracy.high", _accuracy),
    "training_energy_watt_hours": ("training.usage.energyWattHours", _significant),
    "training_cost_usd": ("training.usage.costUSD", _significant),
    "training_carbon_grams": ("training.usage.carbonGrams", _significant),
    "training_figures": ("training.usage.source", str),
}
"""Name of a figure: where it stands in the facts, and how it is printed."""
_VARIANT: dict[str, tuple[str, _Formatter]] = {
    "accuracy": ("accuracy.value", _accuracy),
    "kib": ("artifact.sizeBytes", _kib),
    "p95_milliseconds": ("profile.0.p95Milliseconds", _milliseconds),
    "items_per_second": ("profile.0.itemsPerSecond", _whole),
}
"""The same for `VARIANT.NAME`, in the status of a variant."""


def _look_up(content: Any, path: str) -> Any:
    """What stands at a dotted path; None where there is nothing."""
    for part in path.split("."):
        if isinstance(content, list):
            content = content[int(part)] if int(part) < len(content) else None
        elif isinstance(content, Mapping):
            content = content.get(part)
        else:
            return None
    return content


def figure(facts: Mapping[str, Any], name: str) -> str:
    """One figure of a run, ready to be printed; `UNKNOWN` where the run did not come so far.

    Raises:
        UnknownFigureError: when no run gives a figure of that name.
    """
    variant, dot, rest = name.partition(".")
    if dot and rest in _VARIANT:
        (path, formatter), content = _VARIANT[rest], facts.get("variants", {}).get(variant)
    elif name in _RUN:
        (path, formatter), content = _RUN[name], facts
    else:
        known = ", ".join([*_RUN, *(f"VARIANT.{part}" for part in _VARIANT)])
        raise UnknownFigureError(f"no figure is named {name!r}; there are {known}")
    value = _look_up(content, path)
    return UNKNOWN if value is None else formatter(value)


def fill(text: str, facts: Mapping[str, Any]) -> str:
    """The text with every figure filled in.

    Raises:
        UnknownFigureError: when a placeholder names a figure that no run gives.
    """
    return _PLACE.sub(lambda place: f"{place[1]}{figure(facts, place['name'])}{place[3]}", text)


def unfilled(text: str) -> list[str]:
    """Names of the figures that are not known."""
    return [place["name"] for place in _PLACE.finditer(text) if place[0] == f"{place[1]}{UNKNOWN}{place[3]}"]


def main(arguments: list[str]) -> int:
    """Fill a file in place; the exit status is 1 when a figure is missing, and 2 when nothing could be done."""
    if len(arguments) != 2:
        print("usage: python3 docs/fill_figures.py FACTS.json README.md", file=sys.stderr)
        return 2
    facts_path, target = map(Path, arguments)
    try:
        text = fill(target.read_text(encoding="utf-8"), json.loads(facts_path.read_text(encoding="utf-8")))
        target.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"fill_figures: {error}", file=sys.stderr)
        return 2
    missing = unfilled(text)
    if missing:
        print(f"fill_figures: the run did not come so far: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
