"""The table below the forest: what became of each case, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from dashboard.charts.forest import Address
from dashboard.markup import EMPTY, table, text, verdict_chip, wide
from perfsuite.model import CaseComparison
from perfsuite.report.words import CONFIRMED, explained, plain, sees_cell
from perfsuite.units import NS_PER_US, format_ns, format_share

if TYPE_CHECKING:
    import pandas as pd

Code = Mapping[str, str]
"""Case → registers, spills and shared memory, in words."""

UNKNOWN = "–"
_HEADINGS = ("case", "verdict", "change", "interval", "sees", "base", "head", "regs/spills/shared", "why")
_NUMBERS = (2, 3, 4, 5, 6)
_SENTENCES = 2
"""That are open; more are folded."""


def why_table(cases: Sequence[CaseComparison], base: Code, head: Code, address: Address) -> Markup:
    """A row a case, in the order given.

    Args:
        base: what the kernels of each case take at base.
        head: the same at head.
        address: makes the link of a case.
    """
    rows = [
        (
            address(one, plain(one.case)),
            verdict_chip(one.verdict),
            _share(one.change),
            _interval(one),
            sees_cell(one),
            _time(one.base_ns),
            _time(one.head_ns),
            _wide(both(base.get(one.case), head.get(one.case))),
            _sentences((*one.why, *((CONFIRMED,) if one.confirmed else ()))),
        )
        for one in cases
    ]
    if not rows:
        return EMPTY
    kept = [at for at, name in enumerate(_HEADINGS) if name != "sees" or any(one.floor for one in cases)]
    return table(
        [_HEADINGS[at] for at in kept],
        [[row[at] for at in kept] for row in rows],
        numbers=[number for number, at in enumerate(kept) if at in _NUMBERS],
        label="Cases, and why",
    )


def both(base: str | None, head: str | None) -> str:
    """`168/0/96.0 KiB → 190/0/96.0 KiB`, or once where both sides are the same."""
    before, after = base or UNKNOWN, head or UNKNOWN
    return before if before == after else f"{before} → {after}"


def why_frame(cases: Sequence[CaseComparison], base: Code, head: Code) -> pd.DataFrame:
    """The same for a spreadsheet: times in µs, shares in per cent."""
    import pandas as pd

    return pd.DataFrame(
        {
            "case": [one.case for one in cases],
            "family": [one.family for one in cases],
            "verdict": [one.verdict.value for one in cases],
            "change (%)": [_percent(one.change) for one in cases],
            "low (%)": [_percent(one.low) for one in cases],
            "high (%)": [_percent(one.high) for one in cases],
            "threshold (%)": [_percent(one.threshold) for one in cases],
            "noise floor (%)": [_percent(one.floor) for one in cases],
            "base (µs)": [_microseconds(one.base_ns) for one in cases],
            "head (µs)": [_microseconds(one.head_ns) for one in cases],
            "pairs": [one.pairs for one in cases],
            "rounds": [one.rounds for one in cases],
            "base registers/spills/shared": [base.get(one.case, "") for one in cases],
            "head registers/spills/shared": [head.get(one.case, "") for one in cases],
            "why": ["; ".join(explained(one)) for one in cases],
        }
    )


def _sentences(said: Sequence[str]) -> Markup:
    shown = Markup("<br>").join(map(text, said[:_SENTENCES]))
    if len(said) > _SENTENCES:
        rest = Markup("<br>").join(map(text, said[_SENTENCES:]))
        more = len(said) - _SENTENCES
        shown += Markup('<details class="ps-fold"><summary>{} more</summary>{}</details>').format(more, rest)
    return Markup('<div class="ps-why">{}</div>').format(shown)


def _interval(compared: CaseComparison) -> str:
    if compared.change is None:
        return UNKNOWN
    if compared.low is None or compared.high is None:
        return "none"
    low, high = (format_share(value).removesuffix(" %") for value in (compared.low, compared.high))
    return f"{low} … {high}"


def _wide(value: str) -> Markup:
    return wide("{}", plain(value))


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else format_share(value)


def _time(value_ns: float | None) -> str:
    return UNKNOWN if value_ns is None else format_ns(value_ns)


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _microseconds(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_US
