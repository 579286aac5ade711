"""Drawings for a page that is read on light and dark screens, on paper, and aloud."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from trimtab.simulate.report.glossary import POLICIES
from trimtab.simulate.results import PolicyResult

INK = "#010203"
"""Stands for the colour of the page's text, which differs between light and dark screens."""

_COLOURS = ("#d55e00", "#0e9a73", "#b65fa0", "#a07e00", "#c2475b", "#5b7fa6")
"""Each has a contrast of 3:1 or more on white and on near-black; lines also differ by dashes, for the colour-blind."""

_DASHES = ("--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "path.simplify": True,
}
_MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
WIDTH_INCHES = 8.0


@dataclass(frozen=True)
class Plot:
    """A drawing with its words."""

    title: str
    svg: str
    caption: str
    """What it shows and how to read it."""
    alt: str
    """What it says, for who cannot see it."""


@dataclass(frozen=True)
class Line:
    """How a policy is drawn, the same in all plots of a report."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    width: float
    marker: str


@contextmanager
def styled() -> Iterator[None]:
    """The style of all drawings of a report: they are made within."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_axes(height_inches: float, rows: int = 1, columns: int = 1) -> list[Axes]:
    """Axes on a new figure, row by row.

    Args:
        height_inches: Of the figure; all figures are as wide as the page.
        rows: Of axes.
        columns: Of axes.
    """
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    FigureCanvasSVG(figure)
    return list(figure.subplots(rows, columns, squeeze=False).flat)


def to_svg(axes: Axes, name: str) -> str:
    """The figure of some axes as an SVG element to put into a page.

    Args:
        axes: Any of the figure's.
        name: Made part of all its identifiers, so that those of several drawings in a page differ.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    return svg.replace(INK, "currentColor")


def lines(policies: Sequence[str], reference: str) -> dict[str, Line]:
    """How each policy is drawn: trimtab strong, the optimum and the reference in the colours of the frame."""
    drawn = {
        "trimtab": Line("#2f78d0", "-", 2.4, "o"),
        "optimum": Line(INK, (0, (2, 1.5)), 1.3, "*"),
        reference: Line("#7a7f87", "-", 1.5, "o"),
    }
    for at, policy in enumerate([*POLICIES, *(policy for policy in policies if policy not in POLICIES)]):
        colour, dash, marker = _COLOURS[at % len(_COLOURS)], _DASHES[at % len(_DASHES)], _MARKERS[at % len(_MARKERS)]
        drawn.setdefault(policy, Line(colour, dash, 1.3, marker))
    return {policy: drawn[policy] for policy in policies}


def chosen(results: Sequence[PolicyResult], reference: str, most: int) -> list[PolicyResult]:
    """The policies that a crowded plot shows: the reference, the optimum, trimtab, and the best of the others."""
    always = [result for result in results if result.policy in {reference, "optimum", "trimtab"}]
    others = [result for result in results if result not in always]
    others.sort(key=lambda result: (result.ratio_to_optimum or float("inf"), result.carbon_g, result.cost))
    kept = always + others[: max(0, most - len(always))]
    return [result for result in results if result in kept]
