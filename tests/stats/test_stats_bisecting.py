"""What one comparison says of a commit between the ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perfsuite.model import CaseComparison, Status, Verdict
from perfsuite.stats.bisecting import (
    Aim,
    Kind,
    aim_of,
    nearer_level,
    nothing_because,
    parent_remark,
    state_of,
)
from perfsuite.stats.search import State

SLOWER, FASTER = Aim(Kind.TIME, 0.02), Aim(Kind.TIME, -0.02)


def seen(verdict: Verdict, change: float | None = None, half: float = 0.002) -> CaseComparison:
    blank = CaseComparison("c", "f", {}, verdict, why=("because",))
    if change is None:
        return blank
    return replace(blank, change=change, low=change - half, high=change + half)


@pytest.mark.parametrize(
    ("aim", "change", "state"),
    [
        (SLOWER, 0.02, State.BAD),
        (SLOWER, 0.0, State.GOOD),
        (SLOWER, -0.05, State.GOOD),
        (SLOWER, 0.0085, None),
        (SLOWER, 0.0125, State.BAD),
        (FASTER, -0.02, State.BAD),
        (FASTER, 0.0, State.GOOD),
        (FASTER, 0.03, State.GOOD),
        (FASTER, -0.011, None),
    ],
)
def test_the_interval_decides_on_which_side_of_half_the_change_it_is(
    aim: Aim, change: float, state: State | None
) -> None:
    assert state_of(seen(Verdict.INCONCLUSIVE, change), aim) is state
    if state is not None:
        assert nearer_level(seen(Verdict.INCONCLUSIVE, change), aim) is state


def test_the_nearer_level_takes_what_the_interval_leaves_open() -> None:
    assert nearer_level(seen(Verdict.INCONCLUSIVE, 0.0101), SLOWER) is State.BAD
    assert nearer_level(seen(Verdict.INCONCLUSIVE, 0.0099), SLOWER) is State.GOOD
    assert nearer_level(seen(Verdict.INCONCLUSIVE), SLOWER) is State.SKIPPED
    assert nearer_level(None, SLOWER) is State.SKIPPED


def test_a_machine_that_moved_decides_nothing() -> None:
    assert state_of(seen(Verdict.INCONCLUSIVE, 0.02), SLOWER, machine=True) is None
    assert state_of(seen(Verdict.REGRESSED, 0.02), SLOWER, machine=True) is State.BAD


def test_a_huge_change_is_searched_with_a_threshold_that_there_is() -> None:
    assert Aim(Kind.TIME, 9.0).threshold == 0.5 and Aim(Kind.TIME, -0.04).threshold == 0.02
    assert Aim(Kind.FAILED).threshold is None
    assert state_of(seen(Verdict.REGRESSED, 1.0), Aim(Kind.TIME, 9.0)) is State.GOOD


def test_equal_machine_code_is_good_without_times() -> None:
    assert state_of(seen(Verdict.IDENTICAL), SLOWER) is State.GOOD


@pytest.mark.parametrize(
    ("kind", "verdict", "state"),
    [
        (Kind.TIME, Verdict.FAILED, State.SKIPPED),
        (Kind.TIME, Verdict.INCORRECT, State.SKIPPED),
        (Kind.TIME, Verdict.NEW, State.SKIPPED),
        (Kind.INCORRECT, Verdict.INCORRECT, State.BAD),
        (Kind.INCORRECT, Verdict.FAILED, State.SKIPPED),
        (Kind.INCORRECT, Verdict.INCONCLUSIVE, State.GOOD),
        (Kind.FAILED, Verdict.FAILED, State.BAD),
        (Kind.FAILED, Verdict.INCORRECT, State.BAD),
        (Kind.FAILED, Verdict.REMOVED, State.SKIPPED),
    ],
)
def test_what_is_not_right(kind: Kind, verdict: Verdict, state: State) -> None:
    assert state_of(seen(verdict), Aim(kind, 0.02)) is state


def test_a_file_that_cannot_be_imported_is_bad_only_where_that_is_searched() -> None:
    failed = seen(Verdict.FAILED)
    assert state_of(failed, Aim(Kind.FAILED), imported=False) is State.SKIPPED
    assert state_of(failed, Aim(Kind.FAILED, imported=False), imported=False) is State.BAD
    assert aim_of(failed, Status.SKIPPED) == Aim(Kind.FAILED, imported=False)


def test_what_there_is_to_search_for() -> None:
    assert aim_of(seen(Verdict.REGRESSED, 0.05), Status.OK) == Aim(Kind.TIME, 0.05)
    assert aim_of(seen(Verdict.LESS_ACCURATE, -0.05), Status.OK) == Aim(Kind.TIME, -0.05)
    assert aim_of(seen(Verdict.INCORRECT), Status.OK) == Aim(Kind.INCORRECT)
    assert aim_of(seen(Verdict.INCORRECT), Status.INCORRECT) is None
    assert aim_of(seen(Verdict.INCONCLUSIVE, 0.01), Status.OK) == Aim(Kind.TIME, 0.01)
    assert aim_of(seen(Verdict.INCONCLUSIVE, 0.001), Status.OK) is None
    assert aim_of(seen(Verdict.INCONCLUSIVE), Status.OK) is None


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict.IDENTICAL, "the same machine code"),
        (Verdict.UNCHANGED, "+0.10 % [-0.10 %, +0.30 %]: less than the threshold (because)"),
        (Verdict.NEW, "cannot be compared (because)"),
        (Verdict.INCORRECT, "not right at the good end either (because)"),
        (Verdict.INCONCLUSIVE, "no change can be told between the ends (because)"),
    ],
)
def test_why_there_is_nothing_to_search_for(verdict: Verdict, said: str) -> None:
    assert said in nothing_because(seen(verdict, 0.001))


def test_what_the_parent_says_against_the_answer() -> None:
    assert parent_remark(seen(Verdict.REGRESSED, 0.02), SLOWER) == ""
    assert "same machine code as its parent" in parent_remark(seen(Verdict.IDENTICAL), SLOWER)
    assert "shows +0.30 % [+0.10 %, +0.50 %]" in parent_remark(seen(Verdict.UNCHANGED, 0.003), SLOWER)
    assert "not confirmed" in parent_remark(None, SLOWER)
