"""The front of a search as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _MARGIN = 720, 420, 70
_LARGEST_RADIUS = 18.0


@dataclass(frozen=True)
class Point:
    """One candidate."""

    label: str
    accuracy: float
    cpu_seconds_per_item: float
    size_bytes: int
    chosen: bool


def svg(title: str, points: Sequence[Point]) -> str:
    """Accuracy over CPU time per item; the area of a circle is the size of the file, the chosen one is filled.

    Args:
        title: Stands above.
        points: At least one.

    Returns:
        An SVG document.
    """
    xs = [point.cpu_seconds_per_item * 1e6 for point in points]
    ys = [point.accuracy for point in points]
    x_low, x_high, y_low, y_high = *_range(xs), *_range(ys)
    largest = max(point.size_bytes for point in points)
    across, up = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"',
        ' font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_WIDTH / 2}" y="28" text-anchor="middle" font-size="14">{escape(title)}</text>',
        f'<path d="M{_MARGIN},{_MARGIN} v{up} h{across}" fill="none" stroke="#444"/>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 20}" text-anchor="middle">CPU microseconds per item</text>',
        f'<text x="18" y="{_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 18 {_HEIGHT / 2})">accuracy</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        x, y = _MARGIN + share * across, _HEIGHT - _MARGIN - share * up
        low, high = x_low + share * (x_high - x_low), y_low + share * (y_high - y_low)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _MARGIN + 16}" text-anchor="middle">{low:.3g}</text>')
        parts.append(f'<text x="{_MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{high:.4f}</text>')
    for point, x_value, y_value in zip(points, xs, ys, strict=True):
        x = _MARGIN + (x_value - x_low) / (x_high - x_low) * across
        y = _HEIGHT - _MARGIN - (y_value - y_low) / (y_high - y_low) * up
        radius = max(3.0, _LARGEST_RADIUS * (point.size_bytes / largest) ** 0.5)
        fill = "#2b6cb0" if point.chosen else "none"
        said = f"{point.label}: accuracy {y_value:.4f}, {x_value:.3g} us, {point.size_bytes} bytes"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" fill-opacity="0.6" stroke="#2b6cb0">'
            f"<title>{escape(said)}</title></circle>"
        )
        parts.append(f'<text x="{x + radius + 3:.1f}" y="{y + 4:.1f}">{escape(point.label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of an axis, with some room."""
    low, high = min(values), max(values)
    room = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room
