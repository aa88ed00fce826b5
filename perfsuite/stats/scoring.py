"""How well a rule finds what is known to have changed, and how often it cries wolf.

Labelled data: precision against the union of the annotators, recall as the mean over them (van den Burg &
Williams, arXiv 2003.06222), F1 of the two per series, and the mean over series. Without that paper's free
true positive at index 0: where nobody saw a change, a rule that is silent has an F1 of 1, any other of 0.

Unlabelled data: one step planted in each copy (perfsuite.stats.injection); F1 is pooled over all sizes.

Everywhere alarms are matched to marks at most `MARGIN_POINTS` away, and alarms of one shift count once
(`perfsuite.stats.rules.events`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from perfsuite.stats.injection import SIZES, Trial, planted, trials
from perfsuite.stats.rules import SAME_EVENT_POINTS, Alarm, LookingBack, Rule, Series, events

MARGIN_POINTS = SAME_EVENT_POINTS
"""An alarm this far from a mark still finds it."""

Marks = tuple[tuple[int, ...], ...]
"""For each annotator the first points of the new levels; empty for one who saw no change."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Series of one source; `marks` by series id where somebody labelled some of them."""

    name: str
    series: tuple[Series, ...]
    marks: Mapping[str, Marks] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """How one rule did on one data set. Shares are fractions, delays points; None where it has no meaning.

    `series` and `points` are what false alarms were counted on: `false_alarms_per_1000` where the truth is
    known; `recorded_alarms_per_1000` on unlabelled series as they are: true changes are among them, an upper
    bound. `recall` by planted size and `f1` are of steady copies, `recorded_…` of the recorded segments,
    where only alarms count, right or wrong, that are not raised without the step. `recall_labels`: of marks.
    """

    rule: str
    data: str
    series: int
    points: int
    f1: float
    precision: float | None
    recall_labels: float | None
    false_alarms_per_1000: float
    recall: Mapping[float, float]
    delay: float | None
    recorded_alarms_per_1000: float | None = None
    recorded_recall: Mapping[float, float] = field(default_factory=dict)
    recorded_f1: float | None = None


def score(rule: Rule, data: DataSet) -> Row | None:
    """One row of the scoreboard; None where the data holds nothing to score on."""
    return _score_planted(rule, data) if data.marks is None else _score_labelled(rule, data, data.marks)


def split(data: DataSet, name: str) -> DataSet:
    """Half of the series, by a hash of their ids: `tuning` to look at, `held-out` for the end; or `all`."""
    if name == "all":
        return data
    kept = tuple(s for s in data.series if is_held_out(s.id) == (name == "held-out"))
    ids = {s.id for s in kept}
    marks = data.marks and {key: value for key, value in data.marks.items() if key in ids}
    return DataSet(data.name, kept, marks)


def is_held_out(series_id: str) -> bool:
    return hashlib.sha256(series_id.encode()).digest()[0] % 2 == 1


def matched(marks: Sequence[int], found: Sequence[int], margin: int = MARGIN_POINTS) -> list[tuple[int, int]]:
    """Pairs (mark, found) at most `margin` apart, as many as there can be, each index in one pair.

    In one dimension taking the earliest that fits is best.
    """
    pairs, rest = [], sorted(found)
    for mark in sorted(marks):
        while rest and rest[0] < mark - margin:
            rest.pop(0)
        if rest and rest[0] <= mark + margin:
            pairs.append((mark, rest.pop(0)))
    return pairs


def f1_of(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _score_labelled(rule: Rule, data: DataSet, marks: Mapping[str, Marks]) -> Row | None:
    known = [series for series in data.series if series.id in marks]
    if not known:
        return None
    each = [_judge_marks(rule, series, marks[series.id]) for series in known]
    points = sum(len(series) for series in known)
    precisions = [j.precision for j in each if j.precision is not None]
    recalls = [j.recall for j in each if j.recall is not None]
    delays = [delay for j in each for delay in j.delays]
    return Row(
        rule=rule.name,
        data=data.name,
        series=len(known),
        points=points,
        f1=fmean(j.f1 for j in each),
        precision=fmean(precisions) if precisions else None,
        recall_labels=fmean(recalls) if recalls else None,
        false_alarms_per_1000=1000 * sum(j.false for j in each) / points,
        recall={},
        delay=median(delays) if delays else None,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    f1: float
    precision: float | None
    recall: float | None
    false: int
    delays: tuple[int, ...]


def _judge_marks(rule: Rule, series: Series, marks: Marks) -> _Judged:
    """One labelled series. Precision is None without alarms, recall without marks."""
    alarms = {alarm.index: alarm for alarm in _alarms(rule, series)}
    union = sorted({mark for one in marks for mark in one})
    true = matched(union, list(alarms))
    false = len(alarms) - len(true)
    if not union:
        return _Judged(float(not alarms), 0.0 if alarms else None, None, false, ())
    precision = len(true) / len(alarms) if alarms else None
    # An annotator who saw nothing has no recall; precision already says what the others saw.
    recall = fmean(len(matched(one, list(alarms))) / len(one) for one in marks if one)
    delays = tuple(max(0, _told(rule, series, alarms[index]).seen - mark) for mark, index in true)
    return _Judged(f1_of(precision or 0.0, recall), precision, recall, false, delays)


def _alarms(rule: Rule, series: Series) -> list[Alarm]:
    """Events. When they were told may be missing: that search is for those that count."""
    return events(rule.in_the_end(series) if isinstance(rule, LookingBack) else rule(series))


def _told(rule: Rule, series: Series, alarm: Alarm) -> Alarm:
    return rule.when_told(series, alarm) if isinstance(rule, LookingBack) else alarm


def _score_planted(rule: Rule, data: DataSet) -> Row | None:
    return pooled(rule, data.name, (one_trial(rule, trial) for trial in trials(data.series)))


@dataclass(frozen=True, slots=True)
class TrialScore:
    """What a rule did on one trial: alarms without a step, and beside it; delays of the sizes found."""

    points: int
    quiet_alarms: int
    false: int
    delays: Mapping[float, int]
    recorded_points: int
    recorded_alarms: int
    recorded_false: int
    recorded_sizes: tuple[float, ...]


def one_trial(rule: Rule, trial: Trial) -> TrialScore:
    """Scores a rule on both views of a trial."""
    quiet, false, delays = 0, 0, {}
    for size, copy in zip(SIZES, trial.steady, strict=True):
        quiet += len(_alarms(rule, copy))
        hits, missed = _hits(rule, planted(copy, trial.at, size), trial)
        false += missed
        if hits:
            delays[size] = min(alarm.seen for alarm in hits) - trial.at
    before = _alarms(rule, trial.recorded)
    recorded_false, recorded_sizes = 0, []
    for size in SIZES:
        hits, missed = _hits(rule, planted(trial.recorded, trial.at, size), trial, before)
        recorded_false += missed
        recorded_sizes += [size] if hits else []
    return TrialScore(
        points=sum(map(len, trial.steady)),
        quiet_alarms=quiet,
        false=false,
        delays=delays,
        recorded_points=len(trial.recorded),
        recorded_alarms=len(before),
        recorded_false=recorded_false,
        recorded_sizes=tuple(recorded_sizes),
    )


def pooled(rule: Rule, data: str, scores: Iterable[TrialScore]) -> Row | None:
    """The row of all trials of a data set."""
    each = list(scores)
    if not each:
        return None
    points = sum(s.points for s in each)
    delays = [delay for s in each for delay in s.delays.values()]
    precision, f1 = _pooled_f1(len(delays), sum(s.false for s in each), len(each) * len(SIZES))
    recorded_true = sum(len(s.recorded_sizes) for s in each)
    return Row(
        rule=rule.name,
        data=data,
        series=len(each),
        points=points,
        f1=f1,
        precision=precision,
        recall_labels=None,
        false_alarms_per_1000=1000 * sum(s.quiet_alarms for s in each) / points,
        recall={size: fmean(size in s.delays for s in each) for size in SIZES},
        delay=median(delays) if delays else None,
        recorded_alarms_per_1000=1000
        * sum(s.recorded_alarms for s in each)
        / sum(s.recorded_points for s in each),
        recorded_recall={size: fmean(size in s.recorded_sizes for s in each) for size in SIZES},
        recorded_f1=_pooled_f1(recorded_true, sum(s.recorded_false for s in each), len(each) * len(SIZES))[1],
    )


def _pooled_f1(true: int, false: int, steps: int) -> tuple[float | None, float]:
    """Precision, None without alarms, and F1."""
    precision = true / (true + false) if true + false else None
    return precision, f1_of(precision or 0.0, true / steps)


def _hits(rule: Rule, series: Series, trial: Trial, before: Sequence[Alarm] = ()) -> tuple[list[Alarm], int]:
    """Alarms that the step can have raised, and how many others.

    The step can raise what is near it, slower, and not told before it was there. What is raised `before`,
    without the step, counts as neither.
    """
    new = [alarm for alarm in _alarms(rule, series) if not any(_same(alarm, b) for b in before)]
    near = [
        _told(rule, series, alarm)
        for alarm in new
        if abs(alarm.index - trial.at) <= MARGIN_POINTS and (alarm.change > 0) == series.lower_is_better
    ]
    hits = [alarm for alarm in near if alarm.seen >= trial.at]
    return hits, len(new) - len(hits)


def _same(one: Alarm, other: Alarm) -> bool:
    return abs(one.index - other.index) <= SAME_EVENT_POINTS and (one.change > 0) == (other.change > 0)


def score_triaged(rule: Rule, triaged: Iterable[tuple[Series, Sequence[int], Sequence[int]]]) -> Row | None:
    """One row on a history that its users triaged.

    Args:
        triaged: series with the indices of true changes (alerts that are open, acknowledged, expected or
            fixed) and of alerts that were noise. Alarms elsewhere are false too: nobody saw a change there.
    """
    known = [(series, true) for series, true, false in triaged if true or false]
    marks = {series.id: (tuple(sorted(true)),) for series, true in known}
    return score(rule, DataSet("triaged", tuple(series for series, _ in known), marks))
