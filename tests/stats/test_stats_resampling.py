"""Resampled comparisons: what they say of quiet and of noisy cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perfsuite.stats.resampling import SequentialRule, block_ratio, groups_of, permits, resample
from perfsuite.stats.scoring_pairs import Block, Compared


def measured(noise: float, pairs: int = 9, blocks: int = 3, seed: int = 1) -> Compared:
    """Pairs of equal code whose blocks scatter by `noise`; rounds scatter as much."""
    generator = np.random.default_rng(seed)

    def block() -> Block:
        shift = math.exp(generator.normal(0, noise))
        base = 1000 * np.exp(generator.normal(0, noise, (8, 4)))
        return Block(base, shift * 1000 * np.exp(generator.normal(0, noise, (8, 4))))

    return Compared("a case", tuple(tuple(block() for _ in range(blocks)) for _ in range(pairs)))


def test_a_block_pays_for_running_second_on_both_sides() -> None:
    # The second of each round takes 3 % more: base in odd rounds, head in even ones.
    base = np.array([[100.0], [103.0], [100.0], [103.0]])
    head = np.array([[103.0], [100.0], [103.0], [100.0]])
    assert block_ratio(Block(base, head)) == pytest.approx(0.0)
    assert block_ratio(Block(base[:1], head[:1])) == pytest.approx(math.log(1.03))


def test_groups_are_blocks_by_pair() -> None:
    assert [len(group) for group in groups_of(measured(0.001))] == [3] * 9


def test_a_quiet_case_is_silent_and_sees_half_a_percent() -> None:
    quiet = measured(0.0004)
    equal = resample(quiet, 0.0, 60, known=True)
    assert (equal.slower, equal.faster) == (0, 0)
    assert equal.unchanged == 60
    assert permits(equal.floor, 0.005)
    slow = resample(quiet, 0.005, 60, known=True)
    assert (slow.slower, slow.faster) == (60, 0)
    assert slow.covered == 60
    assert slow.pairs >= 2, "a change is confirmed by another pair"


def test_a_noisy_case_is_silent_too_and_says_that_it_sees_little() -> None:
    noisy = measured(0.03)
    for known in (True, False):
        equal = resample(noisy, 0.0, 60, known=known)
        assert (equal.slower, equal.faster, equal.unchanged) == (0, 0, 0)
    assert not permits(resample(noisy, 0.0, 5, known=True).floor, 0.02)
    assert not permits(None, 0.02)


def test_the_same_draws_every_time() -> None:
    case = measured(0.002)
    assert resample(case, 0.01, 20, known=False) == resample(case, 0.01, 20, known=False)


def test_the_rule_on_samples_measured_together() -> None:
    quiet, rule = measured(0.0005, pairs=4), SequentialRule()
    assert rule(quiet) == 0
    slow = Compared("slow", tuple(tuple(block.slower(0.05) for block in pair) for pair in quiet.pairs))
    assert rule(slow) == 1
    assert rule(Compared("fast", tuple(tuple(b.swapped() for b in pair) for pair in slow.pairs))) == -1
