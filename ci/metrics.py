"""Headline metrics: what a change means in tokens per second of the whole layer stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfsuite.cases import match_cases
from perfsuite.config import Headline
from perfsuite.model import CaseComparison, ComparisonReport, Result, Scalar, Verdict
from perfsuite.report.words import time_summary
from perfsuite.units import NS_PER_S

TOKENS_PER_SECOND = "tok/s"
TIME = "ns"
_BROKEN = (Verdict.INCORRECT, Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its 95 % range, where one is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table Metric / Baseline / Optimized / Speedup."""

    name: str
    case: str
    unit: str
    """`tok/s` or `ns`."""
    baseline: Quantity | None
    optimized: Quantity | None
    speedup: Quantity | None
    """How many times as fast as base: below 1 is slower."""
    remark: str = ""
    """Instead of a speedup: `identical`, `incorrect`."""


def metrics(
    report: ComparisonReport,
    headlines: Sequence[Headline],
    *,
    base: Sequence[Result] = (),
    head: Sequence[Result] = (),
) -> tuple[Metric, ...]:
    """One metric for each headline and case that it matches: headlines in their order, few tokens first.

    The speedup's interval is that of the paired change: `1 / (1 + change)`. It is sharper than what the
    ranges of the two sides suggest, which hold what both sides share.

    Args:
        base, head: the comparison's results; with them baseline and optimized have ranges, those of the
            medians of their rounds.
    """
    bases, heads = ({result.case: result for result in side} for side in (base, head))
    names = [compared.case for compared in report.comparisons]
    by_case = {compared.case: compared for compared in report.comparisons}
    found = []
    for headline in headlines:
        matched = [by_case[case] for case in match_cases(headline.match, names)]
        matched.sort(key=lambda c: (_number(c.params.get(headline.tokens)) or 0.0, c.case))
        found += [_metric(headline, c, _names(headline, matched), bases, heads) for c in matched]
    return tuple(found)


def _metric(
    headline: Headline,
    compared: CaseComparison,
    names: Mapping[str, str],
    bases: Mapping[str, Result],
    heads: Mapping[str, Result],
) -> Metric:
    tokens = _number(compared.params.get(headline.tokens)) if headline.tokens else None
    sides = (
        _quantity(compared.base_ns, bases.get(compared.case), tokens, headline.layers),
        _quantity(compared.head_ns, heads.get(compared.case), tokens, headline.layers),
    )
    speedup = _speedup(compared)
    return Metric(
        names[compared.case],
        compared.case,
        TIME if tokens is None else TOKENS_PER_SECOND,
        *sides,
        speedup,
        compared.verdict.value if speedup is None or compared.verdict in _BROKEN else "",
    )


def _quantity(
    time_ns: float | None, result: Result | None, tokens: float | None, layers: int
) -> Quantity | None:
    """Tokens a second, or the time where no tokens are known; both of all layers."""
    if time_ns is None or time_ns <= 0:
        return None
    times = time_summary(result) if result else None
    edges = (times.low_ns, times.high_ns) if times else None
    if tokens is None:
        return Quantity(layers * time_ns, *((layers * edge for edge in edges) if edges else ()))

    def rate(value_ns: float) -> float:
        return tokens / (layers * value_ns / NS_PER_S)

    # The longest time is the lowest rate.
    return Quantity(rate(time_ns), *((rate(edge) for edge in reversed(edges)) if edges else ()))


def _speedup(compared: CaseComparison) -> Quantity | None:
    if compared.change is None or compared.change <= -1:
        return None
    edges = (compared.high, compared.low)
    if any(edge is None or edge <= -1 for edge in edges):
        return Quantity(1 / (1 + compared.change))
    return Quantity(1 / (1 + compared.change), *(1 / (1 + edge) for edge in edges if edge is not None))


def _names(headline: Headline, cases: Sequence[CaseComparison]) -> dict[str, str]:
    """Case → the headline's name, with the axes in which its cases differ."""
    axes = dict.fromkeys(axis for compared in cases for axis in compared.params)
    differing = [axis for axis in axes if len({str(c.params.get(axis)) for c in cases}) > 1]
    return {
        compared.case: ", ".join(
            [headline.name, *(f"{axis}={compared.params.get(axis)}" for axis in differing)]
        )
        for compared in cases
    }


def _number(value: Scalar) -> float | None:
    """A positive number of tokens; None where the axis is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return float(value)
