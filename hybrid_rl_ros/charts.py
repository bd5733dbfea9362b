"""Small charts as inline SVG."""

from __future__ import annotations

import html
from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 700, 220, 45


def line_chart(title: str, x_title: str, x: Sequence[float], y: Sequence[float]) -> str:
    """One line through the points, with the axes' ends labelled."""
    left, right, low, high = _span(x) + _span(y)
    points = ' '.join(f'{_x(a, left, right):.1f},{_y(b, low, high):.1f}' for a, b in zip(x, y))
    line = f'<polyline points="{points}" fill="none" stroke="#2a78d6" stroke-width="2"/>'
    return _frame(title, x_title, (left, right, low, high), line)


def bar_chart(title: str, edges: Sequence[float], counts: Sequence[float]) -> str:
    """A histogram: `counts` between neighbouring `edges`."""
    left, right, high = edges[0], edges[-1], max(max(counts), 1)
    bars = ''
    for start, end, count in zip(edges, edges[1:], counts):
        x, top = _x(start, left, right), _y(count, 0, high)
        width = max(_x(end, left, right) - x - 1, 0.5)
        bars += (
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{HEIGHT - MARGIN - top:.1f}" fill="#2a78d6"/>'
        )
    return _frame(title, '', (left, right, 0, high), bars)


def _frame(title: str, x_title: str, span: tuple[float, float, float, float], content: str) -> str:
    left, right, low, high = span
    bottom = HEIGHT - MARGIN
    style = 'fill="currentColor" font-size="12"'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f'<text x="{MARGIN}" y="16" {style} font-weight="bold">{html.escape(title)}</text>'
        f'<path d="M{MARGIN} 24V{bottom}H{WIDTH - 10}" fill="none" stroke="currentColor" opacity=".4"/>'
        f'<text x="2" y="32" {style}>{high:.3g}</text><text x="2" y="{bottom}" {style}>{low:.3g}</text>'
        f'<text x="{MARGIN}" y="{bottom + 18}" {style}>{left:.4g}</text>'
        f'<text x="{WIDTH - 10}" y="{bottom + 18}" {style} text-anchor="end">{right:.4g} {html.escape(x_title)}</text>'
        f'{content}</svg>'
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _x(value: float, left: float, right: float) -> float:
    return MARGIN + (value - left) / (right - left) * (WIDTH - 10 - MARGIN)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - MARGIN - (value - low) / (high - low) * (HEIGHT - MARGIN - 24)
