"""Which commit is measured next, for any first bad commit and any that cannot be measured."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from perfsuite.stats.search import State, bracket, coarse_to_fine, next_commit


def search(count: int, first_bad: int, broken: frozenset[int] = frozenset()) -> tuple[dict[int, State], int]:
    """All states that a search makes known, and how many commits it measured that were not broken."""
    states: dict[int, State] = {}
    while (number := next_commit(count, states)) is not None:
        assert number not in states and 0 < number < count
        bad = State.BAD if number >= first_bad else State.GOOD
        states[number] = State.SKIPPED if number in broken else bad
    return states, sum(state is not State.SKIPPED for state in states.values())


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_every_first_bad_commit_is_found_by_halving(case: tuple[int, int]) -> None:
    count, first_bad = case
    states, measured = search(count, first_bad)
    assert list(bracket(count, states).suspects) == [first_bad]
    assert measured <= math.ceil(math.log2(count))


def test_64_commits_take_six() -> None:
    assert {search(64, first_bad)[1] for first_bad in range(1, 65)} == {6}


@given(st.data(), st.integers(1, 120))
def test_with_commits_that_cannot_be_measured_the_suspects_hold_the_first_bad_one(
    data: st.DataObject, count: int
) -> None:
    first_bad = data.draw(st.integers(1, count))
    broken = data.draw(st.frozensets(st.integers(1, max(1, count - 1)), max_size=count))
    broken -= {count}
    states, _ = search(count, first_bad, broken)
    found = bracket(count, states)
    assert first_bad in found.suspects
    assert all(number in broken for number in range(found.good + 1, found.bad))
    assert found.good not in broken and found.bad not in broken


@given(st.integers(8, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, n - 1))))
def test_one_broken_commit_costs_little(case: tuple[int, int, int]) -> None:
    count, first_bad, broken = case
    _, measured = search(count, first_bad, frozenset({broken} - {count}))
    assert measured <= math.ceil(math.log2(count)) + 1


def test_a_broken_stretch_is_left_in_strides() -> None:
    states, _ = search(64, 60, frozenset(range(20, 50)))
    assert sum(state is State.SKIPPED for state in states.values()) <= 12


@given(
    st.integers(0, 80).flatmap(lambda n: st.tuples(st.just(n), st.frozensets(st.integers(0, max(0, n - 1)))))
)
def test_a_range_is_covered_once(case: tuple[int, frozenset[int]]) -> None:
    count, known = case
    known &= set(range(count))
    order = coarse_to_fine(count, known)
    assert sorted([*order, *known]) == list(range(count))


def test_ends_come_first_then_the_middles() -> None:
    assert coarse_to_fine(9) == [8, 0, 4, 6, 2, 7, 5, 3, 1]
    assert coarse_to_fine(1) == [0] and coarse_to_fine(2) == [1, 0] and coarse_to_fine(0) == []


def test_what_is_known_parts_the_gaps() -> None:
    assert coarse_to_fine(9, {8, 4})[:3] == [0, 6, 2]
    assert coarse_to_fine(9, {7, 8})[:2] == [0, 3]


@given(st.integers(2, 80), st.integers(1, 80))
def test_after_any_number_of_commits_the_widest_gap_is_at_most_twice_what_it_must_be(
    count: int, made: int
) -> None:
    places = sorted(coarse_to_fine(count)[:made])
    if len(places) < 2:
        return
    widest = max(high - low for low, high in itertools.pairwise(places))
    assert widest <= 2 * math.ceil((count - 1) / (len(places) - 1))
