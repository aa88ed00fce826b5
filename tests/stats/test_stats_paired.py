import math
import random

import pytest
from stats_example import block, blocks, result, sides

from perfsuite.stats.paired import Effect, Terms, paired_effect
from perfsuite.stats.settle import pairs_to_settle, what_settles
from perfsuite.stats.signed_rank import hodges_lehmann, interval


def test_hodges_lehmann_of_a_hand_computed_sample() -> None:
    # Walsh averages of 1, 2, 6: 1, 1.5, 2, 3.5, 4, 6.
    assert hodges_lehmann([6.0, 1.0, 2.0]) == 2.75


def test_interval_of_ten_values_is_the_tables() -> None:
    # Hollander and Wolfe: n = 10, t(0.005) = 52, so W(4) and W(52) of 55; P = 2 · 5 / 1024.
    values = [float(2**power) for power in range(10)]
    averages = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    found = interval(values, 0.99)
    assert (found.low, found.high) == (averages[3], averages[51])
    assert found.confidence == pytest.approx(1 - 10 / 1024)


@pytest.mark.parametrize(("count", "reached"), [(1, 0.0), (6, 0.96875), (7, 0.984375), (8, 0.9921875)])
def test_few_values_give_their_range_and_say_what_it_reaches(count: int, reached: float) -> None:
    values = [float(value) for value in range(count)]
    found = interval(values, 0.99)
    assert (found.low, found.high, found.confidence) == (0.0, count - 1.0, reached)


def effect_of(log_ratios: list[list[float]], threshold: float = 0.02) -> Effect:
    effect = paired_effect(*sides(log_ratios), Terms(threshold))
    assert effect is not None
    return effect


def test_effect_of_a_plain_case() -> None:
    effect = effect_of([[0.01, 0.02, 0.03], [0.01, 0.02, 0.03]])
    assert effect.change == pytest.approx(math.expm1(0.02))
    # At least the range of the blocks; the prior on pairs makes it wider.
    assert effect.low < math.expm1(0.01) and effect.high > math.expm1(0.03)
    assert math.log1p(effect.high) - 0.02 == pytest.approx(0.02 - math.log1p(effect.low))
    assert (effect.pairs, effect.blocks, effect.rounds) == (2, 6, 18)
    assert effect.base_ns == 1000.0
    assert effect.pair_changes == pytest.approx((math.expm1(0.02),) * 2)
    assert effect.enough


def test_a_pair_that_disagrees_widens_the_interval() -> None:
    agreeing = effect_of([[0.0] * 4] * 4)
    effect = effect_of([*[[0.0] * 4] * 3, [0.05] * 4])
    assert effect.high - effect.low > 10 * (agreeing.high - agreeing.low)
    assert effect.low < 0 < effect.high


def test_the_median_round_counts_not_the_stall() -> None:
    base = result(tuple(block(pair, 0, [100, 100, 100]) for pair in range(2)))
    head = result(tuple(block(pair, 0, [101, 40_000, 101]) for pair in range(2)))
    effect = paired_effect(base, head, Terms(0.02))
    assert effect is not None and effect.change == pytest.approx(0.01)


def test_throttled_rounds_are_left_out_where_others_remain() -> None:
    base = result((block(0, 0, [100, 100, 100]), block(1, 0, [100, 100])))
    head = result((block(0, 0, [150, 150, 102], throttled=[0, 1]), block(1, 0, [102, 102])))
    effect = paired_effect(base, head, Terms(0.02))
    assert effect is not None
    assert effect.change == pytest.approx(0.02)
    assert (effect.rounds, effect.notes) == (3, ())


def test_throttled_rounds_are_used_and_named_where_nothing_else_remains() -> None:
    base = result((block(0, 0, [100, 100], throttled=[0, 1]), block(1, 0, [100])))
    head = result((block(0, 0, [102, 102]), block(1, 0, [102])))
    effect = paired_effect(base, head, Terms(0.02))
    assert effect is not None
    assert effect.notes == ("throttled throughout in 1 of 2 blocks: those rounds are used",)
    assert effect.rounds == 3


def test_only_rounds_with_a_counterpart_count() -> None:
    base = result((block(0, 0, [100, 100, 100]), block(0, 1, [100])))
    head = result((block(0, 0, [110]), block(1, 0, [500])))
    effect = paired_effect(base, head, Terms(0.02))
    assert effect is not None
    assert effect.change == pytest.approx(0.1)
    assert (effect.rounds, effect.blocks) == (1, 1)
    assert "no counterpart" in effect.notes[0]


def test_no_effect_without_common_rounds_or_with_times_below_resolution() -> None:
    assert paired_effect(result(), result(), Terms(0.02)) is None
    assert paired_effect(result((block(0, 0, [0.0]),)), result((block(0, 0, [1.0]),)), Terms(0.02)) is None


@pytest.mark.parametrize("log_ratios", [[[0.1] * 20], [[0.1, 0.1], [0.1, 0.1, 0.1]]])
def test_one_pair_or_five_blocks_are_never_enough(log_ratios: list[list[float]]) -> None:
    effect = effect_of(log_ratios)
    assert not effect.enough
    assert "needs at least 6 blocks in 2 pairs" in what_settles(effect, 0.02)


def test_what_settles_counts_pairs_of_processes() -> None:
    effect = effect_of([[0.012, 0.014, 0.016, 0.018]] * 2)
    more = pairs_to_settle(effect)
    assert more is not None and more > 1
    assert f"about {more} more pairs of processes would settle it" in what_settles(effect, 0.02)
    assert "blocks in a pair by" in what_settles(effect, 0.02)


def test_rounds_that_scatter_are_named_as_what_blocks_scatter_by() -> None:
    """Blocks agree but for their rounds, which scatter by 4 %."""
    generator = random.Random(5)
    made = [
        block(pair, number, [1000 * math.exp(generator.gauss(0.015, 0.04)) for _ in range(12)])
        for pair in range(2)
        for number in range(4)
    ]
    still = [block(pair, number, [1000.0] * 12) for pair in range(2) for number in range(4)]
    effect = paired_effect(result(tuple(still)), result(tuple(made), code="b"), Terms(0.02))
    assert effect is not None
    assert effect.round_error == pytest.approx(1.25 * 0.04 / math.sqrt(12), rel=0.4)
    assert "of which rounds" in what_settles(effect, 0.02)
    assert effect_of([[0.01, 0.02, 0.03]] * 2).round_error == 0.0


def test_what_settles_names_disagreeing_pairs() -> None:
    effect = effect_of([[0.0] * 4, [0.0] * 4, [0.0] * 4, [0.05] * 4])
    assert "the pairs disagree: 0.00 % … +5.13 %" in what_settles(effect, 0.04)


def test_what_settles_admits_that_patience_will_not() -> None:
    effect = effect_of([[0.01, 0.02, 0.03], [0.01, 0.02, 0.03]], math.expm1(0.02))
    assert "hardly settle" in what_settles(effect, math.expm1(0.02))


def test_order_of_blocks_does_not_matter() -> None:
    base, head = sides([[0.01, 0.02, 0.03], [0.0, 0.02, 0.05]])
    shuffled = result(head.blocks[::-1], code="b")
    assert paired_effect(base, shuffled, Terms(0.02)) == paired_effect(base, head, Terms(0.02))


def test_blocks_helper_plants_what_it_says() -> None:
    assert blocks([[0.0]], 10.0)[0].samples_ns == (10.0, 10.0, 10.0)
