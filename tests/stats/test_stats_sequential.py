"""Looks, spending, confirmation, and what no sample may ever do to a verdict."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_example import block, blocks, comparison, result, sides, simulated

from perfsuite.model import Block, CaseComparison, Noise, Result, Round, Verdict
from perfsuite.stats.components import DEVICE_PRIOR, WALL_PRIOR, Prior, components
from perfsuite.stats.judge import judge
from perfsuite.stats.paired import block_values
from perfsuite.stats.sequential import CONFIDENCE, LEAST_FAMILY, Direction, Limits, progression, spent

KNOWN = Noise(between=40 * 4 * 1e-6, pairs=40, within=120 * 1e-6, freedom=120, comparisons=20)
"""Pairs and blocks scatter by 0.1 %, seen in 20 comparisons of two pairs with four blocks."""
LIMITS = Limits.of(0.0025)


def walk(groups: list[list[float]], *, noise: Noise | None = None, prior: Prior = DEVICE_PRIOR) -> Direction:
    """The direction that is found and confirmed."""
    steps = progression(groups, LIMITS, noise=noise, prior=prior, family=30)
    return steps.last.beyond(LIMITS) if steps.enough and steps.confirmed else Direction.NEITHER


def test_all_looks_together_spend_the_whole_error_and_no_more() -> None:
    assert sum(spent(look) for look in range(1, 2000)) == pytest.approx(1.0, abs=1e-3)
    assert all(spent(look) > spent(look + 1) for look in range(1, 50))


def test_components_of_a_hand_computed_example() -> None:
    # Within: 4 × 1e-6 over 2 − 1; between: 2 · (2 · 9e-6) = 36e-6 over 1; nothing assumed beforehand.
    found = components([[0.001, 0.003], [0.007, 0.009]], None, Prior(0.0, 0.0, 0.0, freedom=0))
    assert found.blocks == pytest.approx(math.sqrt(4e-6))
    assert found.pairs == pytest.approx(math.sqrt((36e-6 - 4e-6) / 2))
    assert found.error == pytest.approx(math.sqrt(36e-6 / 4))
    assert found.freedom == 1


def test_what_allocating_second_costs_is_taken_out_of_the_blocks() -> None:
    order = [[0.04, -0.04, 0.041, -0.041], [-0.04, 0.04, -0.039, 0.039]]
    base, head = sides(order)
    values = block_values(base, head)
    assert max(abs(value) for group in values for value in group) < 0.002
    real = block_values(*sides([[0.02, 0.02, 0.02], [0.02, 0.02, 0.02]]))
    assert [value for group in real for value in group] == pytest.approx([0.02] * 6)


def test_a_round_that_ran_second_is_paid_for_by_both_sides() -> None:
    """Whoever runs second is 2 % slower; rounds go A B, B A."""
    rounds = [(100.0, 102.0), (102.0, 100.0)] * 3
    made = [
        [
            Round(samples[side], 2 * index + (side if index % 2 == 0 else 1 - side), index)
            for index, samples in enumerate(rounds)
        ]
        for side in (0, 1)
    ]
    base, head = (result((Block(0, 0, 16, 100, tuple(of)),)) for of in made)
    assert block_values(base, head) == ((pytest.approx(0.0, abs=1e-12),),)


def test_known_noise_outweighs_two_pairs_that_agree_by_luck() -> None:
    lucky = [[0.0] * 4, [0.0] * 4]
    assert components(lucky, KNOWN, DEVICE_PRIOR).error > 0.0005
    assert components(lucky, KNOWN, DEVICE_PRIOR).freedom == 31
    assert components(lucky, Noise(pairs=2, freedom=6), DEVICE_PRIOR).freedom == 5


def test_wall_clock_is_trusted_less_than_device_time() -> None:
    quiet = [[0.0, 0.0001, 0.0002], [0.0, 0.0001, 0.0002]]
    assert components(quiet, None, WALL_PRIOR).error > 2 * components(quiet, None, DEVICE_PRIOR).error


def test_a_change_needs_fresh_processes_after_the_look_that_found_it() -> None:
    slow = [0.05, 0.051, 0.052, 0.05]
    steps = progression([slow], LIMITS, noise=KNOWN, prior=DEVICE_PRIOR, family=30)
    assert (steps.found, steps.confirmed, steps.enough) == (1, False, True)
    steps = progression([slow, slow], LIMITS, noise=KNOWN, prior=DEVICE_PRIOR, family=30)
    assert (steps.found, steps.confirmed) == (1, True)


def test_fresh_processes_that_disagree_do_not_confirm() -> None:
    found = [[0.05, 0.051, 0.052, 0.05]] * 3
    steps = progression([*found, [0.0] * 4], LIMITS, noise=None, prior=DEVICE_PRIOR, family=30)
    assert not progression(
        [*found[:1], [0.0] * 4], LIMITS, noise=None, prior=DEVICE_PRIOR, family=30
    ).confirmed
    assert steps.last.beyond(LIMITS) is Direction.NEITHER


def test_pairs_that_refute_the_assumption_about_them_are_believed() -> None:
    calm, wild = [[0.0] * 4, [0.001] * 4, [0.002] * 4], [[0.0] * 4, [0.1] * 4, [0.2] * 4]
    assert components(calm, None, DEVICE_PRIOR).freedom == DEVICE_PRIOR.freedom + 2
    assert components(wild, None, DEVICE_PRIOR).freedom == 2


def test_processes_that_differ_by_more_than_was_ever_seen_seldom_fool_it() -> None:
    """Equal code, unknown noise; each comparison is walked through as many as eight pairs."""
    for between, within, most in ((0.0036, 0.0001, 2), (0.01, 0.001, 4)):
        alarms = 0
        for seed in range(400):
            groups = simulated(seed, 0.0, {"block": within, "pair": between}, (8, 4))
            alarms += any(walk(groups[:count]) is not Direction.NEITHER for count in range(2, 9))
        assert alarms <= most


def test_large_families_ask_for_more_proof() -> None:
    def confirmed(seed: int, family: int) -> bool:
        groups = simulated(seed, 0.0058, {"block": 0.001, "pair": 0.001}, (5, 4))
        return progression(groups, LIMITS, noise=KNOWN, prior=DEVICE_PRIOR, family=family).confirmed

    alone, many = ([confirmed(seed, family) for seed in range(60)] for family in (1, 10_000))
    assert 0 < sum(many) < sum(alone)
    assert all(one for one, of_many in zip(alone, many, strict=True) if of_many)


def test_no_false_alarm_in_the_family_beyond_what_is_promised() -> None:
    """Equal code, each case's noise as large as its threshold: 60 suites of 30 cases, looked at six times."""
    alarms = 0
    for seed in range(1800):
        groups = simulated(seed, 0.0, {"block": 0.001, "pair": 0.001}, (6, 4))
        alarms += any(walk(groups[:count], noise=KNOWN) is not Direction.NEITHER for count in range(2, 7))
    assert alarms == 0


def test_intervals_hold_at_every_look_as_often_as_they_say() -> None:
    missed = 0
    for seed in range(600):
        groups = simulated(seed, 0.01, {"block": 0.002, "pair": 0.001}, (5, 4))
        looks = progression(groups, LIMITS, noise=None, prior=DEVICE_PRIOR, family=1).looks
        missed += not all(look.low <= math.log1p(0.01) <= look.high for look in looks)
    assert missed <= 600 * (1 - CONFIDENCE) * 2


def test_half_a_percent_is_found_where_the_noise_is_known() -> None:
    quiet = {"block": 0.0008, "pair": 0.0004}
    noise = Noise(between=40 * (0.0008**2 + 4 * 0.0004**2), pairs=40, within=120 * 0.0008**2, freedom=120)
    found = 0
    for seed in range(200):
        groups = simulated(seed, 0.005, quiet, (6, 4))
        found += any(walk(groups[:count], noise=noise) is Direction.SLOWER for count in range(2, 7))
    assert found >= 180


def test_a_family_of_one_is_held_to_the_smallest_family() -> None:
    groups = simulated(5, 0.0058, {"block": 0.001, "pair": 0.001}, (3, 4))
    one, least = (
        progression(groups, LIMITS, noise=KNOWN, prior=DEVICE_PRIOR, family=family)
        for family in (1, LEAST_FAMILY)
    )
    assert one == least


# --- what holds for every sample ---

ratio = st.floats(-3, 3, allow_nan=False)
ratios = st.lists(st.lists(ratio, min_size=1, max_size=5), min_size=1, max_size=5)
sample = st.one_of(
    st.floats(0.1, 1e9), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 1000.0])
)
MIRROR = {Verdict.REGRESSED: Verdict.IMPROVED, Verdict.IMPROVED: Verdict.REGRESSED}


def verdict_on(base: Result, head: Result, threshold: float = 0.02) -> CaseComparison:
    return judge(comparison(threshold), [base], [head]).comparisons[0]


@settings(max_examples=60, deadline=None)
@given(ratios)
def test_swapping_the_sides_negates_the_effect_and_mirrors_the_verdict(log_ratios: list[list[float]]) -> None:
    base, head = sides(log_ratios)
    # A threshold of zero is the same on both sides: on a log scale, +2 % and −2 % are not.
    there, back = verdict_on(base, head, 0.0), verdict_on(head, base, 0.0)
    assert back.verdict is MIRROR.get(there.verdict, there.verdict)
    assert there.change is not None and back.change is not None
    assert math.log1p(back.change) == pytest.approx(-math.log1p(there.change), abs=1e-9)
    if there.low is not None and back.high is not None and there.low > -0.999:
        assert math.log1p(back.high) == pytest.approx(-math.log1p(there.low), rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(ratios, st.floats(1e-3, 1e6))
def test_scaling_all_samples_changes_nothing(log_ratios: list[list[float]], scale: float) -> None:
    base, head = sides(log_ratios)
    plain = verdict_on(base, head)
    scaled = verdict_on(_scaled(base, scale), _scaled(head, scale))
    assert scaled.change == pytest.approx(plain.change, rel=1e-6, abs=1e-9)
    # A bound that lies on the threshold to the last bit may fall on either side of it.
    if all(abs(bound - limit) > 1e-6 for bound in _bounds(plain) for limit in (-0.02, 0.02)):
        assert scaled.verdict is plain.verdict


@settings(max_examples=60, deadline=None)
@given(ratios, st.integers(1, 3))
def test_more_of_the_same_evidence_never_turns_slower_into_faster(
    log_ratios: list[list[float]], times: int
) -> None:
    verdicts = {verdict_on(*sides(log_ratios * count)).verdict for count in range(1, times + 1)}
    assert not {Verdict.REGRESSED, Verdict.IMPROVED} <= verdicts


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(sample, max_size=4), st.lists(sample, max_size=4)), max_size=8
    )
)
def test_any_samples_end_in_a_defined_verdict(drawn: list[tuple[int, list[float], list[float]]]) -> None:
    base = _odd_result([block(pair, number, samples) for number, (pair, samples, _) in enumerate(drawn)])
    head = _odd_result([block(pair, number, samples) for number, (pair, _, samples) in enumerate(drawn)], "b")
    found = verdict_on(base, head)
    assert found.verdict in Verdict
    assert all(bound is None or math.isfinite(bound) for bound in (found.change, found.low, found.high))


@pytest.mark.parametrize(
    ("log_ratios", "expected"),
    [
        ([[0.0] * 4] * 2, Verdict.UNCHANGED),
        ([[0.1] * 4] * 2, Verdict.REGRESSED),
        ([[-0.1] * 4] * 2, Verdict.IMPROVED),
        ([[0.1]], Verdict.INCONCLUSIVE),
        ([[0.0, 0.0, 0.1, 0.1]] * 2, Verdict.INCONCLUSIVE),
    ],
)
def test_constant_samples_one_sample_and_ties(log_ratios: list[list[float]], expected: Verdict) -> None:
    assert verdict_on(*sides(log_ratios)).verdict is expected


@given(st.floats(allow_nan=True))
def test_a_threshold_is_a_share_below_one(threshold: float) -> None:
    if 0 <= threshold < 1:
        assert Limits.of(threshold).faster <= 0 <= Limits.of(threshold).slower
    else:
        with pytest.raises(ValueError, match="is not a share"):
            Limits.of(threshold)


def test_shuffled_rounds_of_a_block_are_the_same_evidence() -> None:
    draw = random.Random(3)
    groups = simulated(3, 0.03, {"block": 0.001, "pair": 0.001}, (2, 4))
    base, head = sides(groups)
    order = list(head.blocks)
    draw.shuffle(order)
    assert verdict_on(base, replace(head, blocks=tuple(order))) == verdict_on(base, head)


def _bounds(compared: CaseComparison) -> list[float]:
    return [bound for bound in (compared.low, compared.high) if bound is not None]


def _scaled(of: Result, scale: float) -> Result:
    return replace(
        of,
        blocks=tuple(
            replace(b, rounds=tuple(replace(r, sample_ns=r.sample_ns * scale) for r in b.rounds))
            for b in of.blocks
        ),
    )


def _odd_result(made: list[Block], code: str = "a") -> Result:
    return result(tuple(made), code=code) if made else result(blocks([[0.0]]), code=code)
