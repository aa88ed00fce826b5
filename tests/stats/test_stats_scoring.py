"""Scores: what counts as found, as false, and as nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from perfsuite.errors import UsageError
from perfsuite.stats.injection import (
    LEAST_SIDE_POINTS,
    SEGMENT_POINTS,
    SIZES,
    planted,
    seeded,
    steady,
    trials,
)
from perfsuite.stats.operating import View, operating_points, quietest_useful, recall
from perfsuite.stats.rulebook import judge_reruns, rule_named, rule_names
from perfsuite.stats.rules import Alarm, Found, LookingBack, NamedRule, Series, events, with_delay
from perfsuite.stats.scoring import DataSet, Row, is_held_out, matched, score, score_triaged, split
from perfsuite.stats.scoring_pairs import Block, Compared, PairedData, score_pairs
from perfsuite.stats.scoring_reruns import reruns, score_rerun_judge, score_reruns

SILENT = NamedRule("silent", lambda series: [])


def says(*indices: int, change: float = 0.1) -> NamedRule:
    return NamedRule("says", lambda series: [Alarm(index, index + 2, change) for index in indices])


def series(name: str = "s", count: int = 40, noise: float = 0.01) -> Series:
    values = 100 * np.exp(noise * np.random.default_rng(len(name)).standard_normal(count))
    return Series(name, tuple(values.tolist()))


def largest_jump(one: Series) -> list[Alarm]:
    """Finds a step of more than 4 %, one point late."""
    values = np.asarray(one.values)
    jumps = np.diff(values) / values[:-1]
    return [Alarm(int(i) + 1, int(i) + 2, float(jumps[i])) for i in np.flatnonzero(np.abs(jumps) > 0.04)]


def test_alarms_of_one_shift_are_one_event() -> None:
    alarms = [Alarm(i, i, c) for i, c in ((10, 0.1), (14, 0.2), (19, 0.1), (30, 0.1), (12, -0.1))]
    assert [(a.index, a.change) for a in events(alarms)] == [(10, 0.1), (12, -0.1), (30, 0.1)]


def test_matching_is_the_largest_there_is() -> None:
    assert matched([10, 14], [9, 15]) == [(10, 9), (14, 15)]
    assert matched([10, 14], [14, 19]) == [(10, 14), (14, 19)]
    assert matched([10], [10, 11]) == [(10, 10)]
    assert matched([10], [16]) == []
    assert matched([10], [15]) == [(10, 15)]


def test_labels_of_several_annotators() -> None:
    data = DataSet("d", (series(),), {"s": ((20,), (20, 30), ())})
    row = score(says(21, 5), data)
    assert row is not None
    assert (row.precision, row.recall_labels) == (0.5, 0.75)
    assert row.f1 == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert row.false_alarms_per_1000 == pytest.approx(1000 / 40)
    assert row.delay == 3
    assert (row.recall, row.recorded_alarms_per_1000) == ({}, None)


def test_nothing_is_free_at_index_0() -> None:
    data = DataSet("d", (series(),), {"s": ((20,),)})
    row = score(SILENT, data)
    assert row is not None
    assert (row.f1, row.precision, row.recall_labels, row.delay) == (0.0, None, 0.0, None)


def test_where_nobody_saw_a_change_silence_is_right() -> None:
    data = DataSet("d", (series("a"), series("b")), {"a": ((), ())})
    quiet, loud = score(SILENT, data), score(says(7), data)
    assert quiet is not None and loud is not None
    assert (quiet.f1, loud.f1, quiet.series, quiet.points) == (1.0, 0.0, 1, 40)


def test_halves_are_apart_and_whole() -> None:
    many = tuple(series(f"series {i}", 5) for i in range(60))
    data = DataSet("d", many, {one.id: ((2,),) for one in many})
    halves = [split(data, name) for name in ("tuning", "held-out")]
    assert sorted(one.id for half in halves for one in half.series) == sorted(one.id for one in many)
    assert all(20 < len(half.series) < 40 for half in halves)
    assert all(is_held_out(one.id) for one in halves[1].series)
    assert halves[0].marks is not None and set(halves[0].marks) == {one.id for one in halves[0].series}
    assert split(data, "all") is data


def test_a_half_without_labels_is_not_taken_for_unlabelled() -> None:
    data = DataSet("d", (series(),), {})
    assert score(SILENT, data) is None


def test_trials_are_the_same_each_time_and_leave_room() -> None:
    many = [series(f"series {i}", count) for i, count in enumerate((24, 25, 60, 300))]
    found = list(trials(many))
    assert found == list(trials(many))
    assert [len(trial.recorded) for trial in found] == [25, 60, SEGMENT_POINTS]
    for trial in found:
        assert LEAST_SIDE_POINTS <= trial.at <= len(trial.recorded) - LEAST_SIDE_POINTS
        assert [len(copy) for copy in trial.steady] == [len(trial.recorded)] * len(SIZES)


def test_series_that_no_share_can_be_planted_in_are_left_out() -> None:
    assert list(trials([replace(series(), values=(-1.0, *series().values[1:]))])) == []


def test_missing_points_are_left_out_of_trials() -> None:
    holey = replace(series(), values=(math.nan, *series().values[1:]))
    (trial,) = trials([holey])
    assert len(trial.recorded) == 39
    assert all(math.isfinite(x) for x in trial.recorded.values)


def test_steady_copies_keep_the_noise_and_lose_the_steps() -> None:
    values = np.asarray(series(count=100, noise=0.005).values)
    values[50:] *= 1.5
    copy = np.log(steady(Series("s", tuple(values.tolist())), seeded("test")).values)
    assert np.std(copy) < 0.01
    assert np.median(np.abs(np.diff(copy))) == pytest.approx(0.7 * 0.005 * math.sqrt(2), rel=0.5)


def test_planted_steps_are_slower_in_either_direction_of_better() -> None:
    time = Series("s", (2.0,) * 4, low=(1.0,) * 4, high=(3.0,) * 4)
    assert planted(time, 2, 0.1).values == pytest.approx((2, 2, 2.2, 2.2))
    assert planted(time, 2, 0.1).low == pytest.approx((1, 1, 1.1, 1.1))
    speed = replace(time, lower_is_better=False)
    assert planted(speed, 2, 0.1).values == pytest.approx((2, 2, 2 / 1.1, 2 / 1.1))


def test_planted_steps_are_scored_by_size() -> None:
    data = DataSet("d", tuple(series(f"series {i}", noise=0.002) for i in range(10)))
    row = score(NamedRule("jump", largest_jump), data)
    assert row is not None
    assert row.recall == {0.005: 0, 0.01: 0, 0.02: 0, 0.05: 1, 0.1: 1}
    assert (row.precision, row.false_alarms_per_1000, row.delay) == (1, 0, 1)
    assert row.f1 == pytest.approx(2 * 0.4 / 1.4)
    assert row.recorded_recall == row.recall
    assert row.recorded_f1 == pytest.approx(row.f1)
    assert row.points == 10 * 40 * len(SIZES)


def test_alarms_that_the_step_did_not_raise_find_nothing() -> None:
    data = DataSet("d", (series(),))
    everywhere = NamedRule("all", lambda one: [Alarm(i, i, 0.1) for i in range(3, len(one), 6)])
    row = score(everywhere, data)
    assert row is not None
    assert set(row.recorded_recall.values()) == {0.0}
    assert row.precision is not None and row.precision < 0.2
    wrong_way = score(
        NamedRule("d", lambda one: [Alarm(i, len(one) - 1, -0.1) for i in range(3, 40, 6)]), data
    )
    assert wrong_way is not None and set(wrong_way.recall.values()) == {0.0}


def test_triaged_alerts_are_labels() -> None:
    row = score_triaged(says(20), [(series("a"), [20], []), (series("b"), [], [20]), (series("c"), [], [])])
    assert row is not None
    assert (row.data, row.series, row.f1) == ("triaged", 2, 0.5)


def test_an_alarm_is_seen_when_the_prefix_first_shows_it() -> None:
    def needs_three_after(one: Series) -> list[Found]:
        return [Found(20, 0.1)] if len(one) >= 24 else []

    assert with_delay(needs_three_after, series()) == [Alarm(20, 23, 0.1)]
    never = with_delay(lambda one: [Found(20, 0.1)] if len(one) == 40 else [], series())
    assert never == [Alarm(20, 39, 0.1)]


def test_context_is_all_that_the_search_needs() -> None:
    def at_100(one: Series) -> list[Found]:
        return [Found(len(one) - 2 if len(one) < 120 else 100, 0.1)]

    assert LookingBack("late", at_100, context=30)(series(count=120))[0].seen <= 107


def test_scores_ask_when_only_of_what_counts() -> None:
    asked: list[int] = []

    def find(one: Series) -> list[Found]:
        asked.append(len(one))
        return [Found(5, 0.1), *([Found(20, 0.1)] if len(one) >= 24 else [])]

    row = score(LookingBack("late", find), DataSet("d", (series(),), {"s": ((20,),)}))
    assert row is not None
    assert (row.delay, row.precision) == (3, 0.5)
    assert asked == [40, 21, 22, 23, 24]
    assert LookingBack("late", find).in_the_end(series())[1] == Alarm(20, 39, 0.1)


def test_parts_of_a_series_move_its_boundaries() -> None:
    one = replace(series(count=10), boundaries=(2, 5, 8), commits=tuple("abcdefghij"))
    part = one.part(2, 8)
    assert (part.boundaries, part.commits, len(part.values)) == ((3,), tuple("cdefgh"), 6)


def rerun_data() -> DataSet:
    values = [100.0] * 10 + [100.0, 120.0] + [120.0] * 8
    commits = [f"c{i}" for i in range(20)]
    commits[10], commits[11] = "abc-v1", "abc"
    return DataSet("d", (Series("s", tuple(values), commits=tuple(commits)),))


def test_the_same_commit_twice_is_found_and_scored() -> None:
    data = rerun_data()
    many = reruns(data)
    assert [(one.series.id, one.second) for one in many] == [("s", 11)]
    assert score_reruns(SILENT, "d", many).share == 0
    called = score_reruns(NamedRule("jump", largest_jump), "d", many)
    assert (called.at_once, called.later, called.share) == (1, 1, 1.0)
    judged = score_rerun_judge("ours", lambda several: [0 for _ in several], "d", many)
    assert (judged.at_once, judged.later, judged.share) == (0, None, 0)


def test_ours_judges_reruns_by_their_history() -> None:
    (one,) = reruns(rerun_data())
    calm = replace(one, series=replace(one.series, values=(100.0,) * 20))
    assert judge_reruns([calm, calm]) == [0, 0]
    assert judge_reruns([one]) == [1]
    assert judge_reruns([]) == []


def test_rules_have_names() -> None:
    assert {"otava", "pinpoint"} < set(rule_names())
    assert rule_named("otava").name == "otava"
    assert rule_named("perfsuite@0.5").name == "perfsuite@0.5"
    for name, message in (("x", "no rule 'x'"), ("perfsuite@much", "no sensitivity"), ("perfsuite@0", "no")):
        with pytest.raises(UsageError, match=message):
            rule_named(name)


def test_pairs_are_drawn_and_scored() -> None:
    generator = np.random.default_rng(3)

    def side() -> np.ndarray:
        return 1000 * np.exp(0.002 * generator.standard_normal((24, 4)))

    pairs = tuple(tuple(Block(side(), side()) for _ in range(3)) for _ in range(6))
    data = PairedData("aa", (Compared("case", pairs),))

    class Medians:
        name = "medians"

        def __call__(self, compared: Compared) -> int:
            change = np.median(compared.rounds(head=True)) / np.median(compared.rounds(head=False)) - 1
            return int(change > 0.015) - int(change < -0.015)

    row = score_pairs(Medians(), data)
    assert row is not None
    assert row.recall == {0.005: 0, 0.01: 0, 0.02: 1, 0.05: 1, 0.1: 1}
    assert (row.false_alarms_per_1000, row.points, row.series) == (0, 125, 1)
    assert row == score_pairs(Medians(), data)
    assert score_pairs(Medians(), PairedData("none", ())) is None


def row_of(rule: str, false: float, share: float, data: str = "d") -> Row:
    return Row(rule, data, 1, 1000, 0.5, 1.0, None, false, dict.fromkeys(SIZES, share), 1.0)


def test_ours_is_compared_at_the_alarms_of_the_quietest_useful() -> None:
    baselines = [row_of("blind", 0.0, 0.05), row_of("quiet", 0.2, 0.3), row_of("loud", 9.0, 0.9)]
    assert quietest_useful(baselines, View.KNOWN) == baselines[1]
    ours = {
        0.5: [row_of("ours", 0.1, 0.4)],
        1.0: [row_of("ours", 0.2, 0.5)],
        2.0: [row_of("ours", 0.5, 0.9)],
    }
    known = operating_points(baselines, ours)[0]
    assert (known.sensitivity, known.better) == (1.0, True)
    assert known.row is not None and recall(known.row) == 0.5
    never = operating_points(baselines, {1.0: [row_of("ours", 0.3, 0.9)]})[0]
    assert (never.row, never.better) == (None, False)
