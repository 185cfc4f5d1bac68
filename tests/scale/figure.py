"""The figure of docs/scale.md: at how many sessions each wall stands, on a logarithmic scale, as an SVG of its own.

It is readable on light and on dark pages: its colours follow the reader's scheme, and it has no background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

LEFT: Final = 290
WIDTH: Final = 900
ROW: Final = 26
TOP: Final = 56
LEAST: Final = 10.0
MOST: Final = 1_000_000.0

STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.small { font-size: 11px; fill: #59636e; }
.grid { stroke: #d1d9e0; }
.aim { stroke: #cf222e; stroke-dasharray: 4 3; }
.now { fill: #0969da; }
.then { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .aim { stroke: #f85149; }
  .now { fill: #4493f8; }
  .then { fill: #3fb950; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """`now`, `then`: sessions at which the wall stands, as built and with the changes; infinite where it does not."""

    name: str
    now: float
    then: float


def place(sessions: float) -> float:
    """Where a number of sessions is on the scale, in pixels from the left; at an end where it is beyond."""
    inside = min(MOST, max(LEAST, sessions))
    return LEFT + (WIDTH - LEFT - 80) * math.log(inside / LEAST) / math.log(MOST / LEAST)


def svg(bars: Sequence[Bar], aim: int) -> str:
    """The whole document. `aim`: the sessions that are planned for."""
    height = TOP + ROW * len(bars) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Live sessions at which each limit is reached, in one stack</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="now" x="{LEFT}" y="10" width="12" height="8"/>',
        f'<text class="small" x="{LEFT + 18}" y="18">as built</text>',
        f'<rect class="then" x="{LEFT + 90}" y="10" width="12" height="8"/>',
        f'<text class="small" x="{LEFT + 108}" y="18">with the changes below</text>',
    ]
    for power in range(round(math.log10(LEAST)), round(math.log10(MOST)) + 1):
        x = place(10.0**power)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 26}"/>')
        lines.append(
            f'<text class="small" text-anchor="middle" x="{x:.1f}" y="{TOP - 14}">{10**power:,}</text>'
        )
    for number, bar in enumerate(bars):
        y = TOP + ROW * number
        lines.append(f'<text text-anchor="end" x="{LEFT - 8}" y="{y + 14}">{escape(bar.name)}</text>')
        for kind, value, at in (("now", bar.now, y + 3), ("then", bar.then, y + 11)):
            wide = max(1.0, place(value) - LEFT)
            lines.append(f'<rect class="{kind}" x="{LEFT}" y="{at}" width="{wide:.1f}" height="7"/>')
            lines.append(
                f'<text class="small" x="{LEFT + wide + 5:.1f}" y="{at + 8}">{_told(value)}</text>'
                if kind == "now" or value != bar.now
                else ""
            )
    x = place(aim)
    lines.append(f'<line class="aim" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 26}"/>')
    lines.append(
        f'<text class="small" text-anchor="middle" x="{x:.1f}" y="{height - 10}">planned: {aim:,}</text>'
    )
    return "\n".join([*filter(None, lines), "</svg>", ""])


def _told(sessions: float) -> str:
    return "none" if math.isinf(sessions) else f"{sessions:,.0f}"
