"""Noise floors on one logarithmic scale, a row a case, as HTML boxes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from markupsafe import Markup

from perfsuite.units import format_share

LEAST, MOST = 0.0001, 0.5
"""Ends of the scale as shares: long kernels on an H200 see 0.02 %, and with 50 % nothing is seen."""
TICKS = (0.001, 0.01, 0.1)
LETTERS = "ABCDEFGH"
"""Name the other machines: no row has more."""


def position(share: float) -> float:
    """Where a share is on the scale, as percent of its width; what lies outside is at the end."""
    inside = min(MOST, max(LEAST, share))
    return 100 * log(inside / LEAST) / log(MOST / LEAST)


def floor_row(
    floor: float | None,
    sees: float | None,
    threshold: float,
    others: Sequence[float | None] = (),
) -> Markup:
    """One case: a bar from what all pairs see to what two pairs stay within, the threshold as a line.

    Args:
        others: what other machines see, in the order of `LETTERS`.
    """
    parts = [Markup('<i class="t" style="left:{:.1f}%"></i>').format(position(threshold))]
    said = [f"threshold {_share(threshold)}"]
    if floor is not None and sees is not None:
        left, right = position(sees), position(floor)
        parts.append(
            Markup('<i class="b" style="left:{:.1f}%;width:{:.1f}%"></i>').format(left, right - left)
        )
        parts.append(Markup('<i class="s{}" style="left:{:.1f}%"></i>').format(_late(sees, threshold), left))
        parts.append(Markup('<i class="f" style="left:{:.1f}%"></i>').format(right))
        said = [f"sees {_share(sees)}", f"floor {_share(floor)}", *said]
    for letter, other in zip(LETTERS, others, strict=False):
        if other is not None:
            parts.append(Markup('<i class="o" style="left:{:.1f}%">{}</i>').format(position(other), letter))
            said.append(f"{letter} sees {_share(other)}")
    return Markup('<div class="ps-floor" title="{}">{}</div>').format(", ".join(said), Markup("").join(parts))


def scale() -> Markup:
    """The heading of the column."""
    ticks = Markup("").join(
        Markup('<span style="left:{:.1f}%">{}</span>').format(position(tick), f"{tick * 100:g} %")
        for tick in TICKS
    )
    return Markup('<div class="ps-floor ps-floor-scale">{}</div>').format(ticks)


def _late(sees: float, threshold: float) -> str:
    return " l" if sees > threshold else ""


def _share(value: float) -> str:
    return format_share(value, signed=False)
