"""Whether a case's error moved beyond its own noise.

Base and head see the same inputs, so equal arithmetic makes equal errors, and another order of summation
errors that scatter about those. The gate tells the RMS error of equal parts of the outputs; the log ratios of
the parts, head over base, are to accuracy what the blocks are to time: their Hodges–Lehmann centre is the
change, their exact signed-rank interval how far it is luck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsuite.model import Result
from perfsuite.stats.signed_rank import hodges_lehmann, interval

CONFIDENCE = 0.999
"""Of the interval: at most one false alarm in 1,000 comparisons, as for time. It takes 11 parts of the 16."""
MARGIN = 0.05
"""A relevant change. Tried with INT8 activations in torch: eight other orders of summation moved the error of
bf16 outputs by at most 0.01 %, a reciprocal in place of a division 0.1 %; activation tiles of 64 in place of
32 moved it by 8 to 11 %, of 128 by 17 to 20 %, a bf16 accumulator by 58 to 99 %."""
NEGLIGIBLE = 0.01
"""Share of the tolerance below which an error is none: fp32 sums in another order can double 1e-7."""
FACTOR = 1.5
"""A total error that grew or shrank by more has moved, whatever most parts say: one part alone may be the
one that is wrong. It is all there is where no parts were told."""
LARGEST_RATIO = 1e6
"""What an exact result counts as against one that is not: the logarithm needs a number."""


@dataclass(frozen=True, slots=True)
class AccuracyChange:
    """Head's RMS error against base's, both relative to the reference."""

    before: float
    after: float
    ratio: float
    """Head's error over base's; 1 where both are exact."""
    low: float | None
    high: float | None
    """Interval of `ratio` at `CONFIDENCE`; None where there are too few parts for one."""
    parts: int
    """Used for the ratio; 0 where it is that of the totals."""
    tolerance: float | None

    @property
    def worse(self) -> bool:
        """Less accurate: beyond noise, by a relevant amount, and not negligible against the tolerance."""
        return self._direction > 0 and self.after > NEGLIGIBLE * (self.tolerance or 0.0)

    @property
    def better(self) -> bool:
        """The mirror image of `worse`."""
        return self._direction < 0 and self.before > NEGLIGIBLE * (self.tolerance or 0.0)

    @property
    def _direction(self) -> int:
        total = _log_ratio(self.before, self.after)
        if abs(total) > math.log(FACTOR):
            return 1 if total > 0 else -1
        if self.low is None or self.high is None:
            return 0
        if self.low > 1 and self.ratio >= 1 + MARGIN:
            return 1
        return -1 if self.high < 1 and self.ratio <= 1 / (1 + MARGIN) else 0


def accuracy_change(base: Result, head: Result) -> AccuracyChange | None:
    """How the error moved from base to head; None where a side has none that is a number."""
    before, after = base.error_rms, head.error_rms
    if before is None or after is None or not _errors((before, after)):
        return None
    known = [result.tolerance for result in (base, head) if result.tolerance is not None]
    tolerance = max(known, default=None)
    logs = _part_ratios(base.error_parts, head.error_parts)
    bounds = interval(logs, CONFIDENCE) if logs else None
    if bounds is None or bounds.confidence < CONFIDENCE:
        ratio = math.exp(_log_ratio(before, after))
        return AccuracyChange(before, after, ratio, None, None, 0, tolerance)
    centre, low, high = map(math.exp, (hodges_lehmann(logs), bounds.low, bounds.high))
    return AccuracyChange(before, after, centre, low, high, len(logs), tolerance)


def less_accurate(base: Result, head: Result) -> bool:
    """Whether head's error is larger by more than luck, by enough to matter."""
    change = accuracy_change(base, head)
    return change is not None and change.worse


def accuracy_sentence(base: Result, head: Result) -> str | None:
    """The change of accuracy in words, None where there is none worth telling."""
    change = accuracy_change(base, head)
    if change is None or not (change.worse or change.better):
        return None
    words = "less accurate" if change.worse else "more accurate"
    sentence = f"{words}: error (RMS) {change.before:.3g} → {change.after:.3g}"
    if change.low is not None and change.high is not None:
        ratio, low, high = map(_factor, (change.ratio, change.low, change.high))
        sentence += f" (×{ratio} [{low} … {high}] over {change.parts} parts)"
    return sentence if change.tolerance is None else f"{sentence}, tolerance {change.tolerance:.3g}"


def _factor(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"


def _part_ratios(base: tuple[float, ...], head: tuple[float, ...]) -> list[float]:
    """Log ratios of the parts; none where the sides were cut differently or a part is no number."""
    if len(base) != len(head) or not _errors((*base, *head)):
        return []
    return [_log_ratio(before, after) for before, after in zip(base, head, strict=True)]


def _errors(values: tuple[float, ...]) -> bool:
    return all(math.isfinite(value) and value >= 0 for value in values)


def _log_ratio(before: float, after: float) -> float:
    """log(after / before), two exact results being equal, no more than `LARGEST_RATIO` either way."""
    if before == after:
        return 0.0
    most = math.log(LARGEST_RATIO)
    if not (before and after):
        return most if after else -most
    return max(-most, min(most, math.log(after) - math.log(before)))
