import math

import pytest

from perfsuite.summary import summarize


def test_small_samples_give_their_range() -> None:
    times = summarize([30.0, 10.0, 20.0])
    assert (times.median_ns, times.low_ns, times.high_ns, times.rounds) == (20.0, 10.0, 30.0, 3)


@pytest.mark.parametrize(
    ("count", "left_out"),
    # Hollander, Wolfe and Chicken: P(Binomial(n, ½) ≤ left out) is the largest tail of at most 2.5 %.
    [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (15, 3), (20, 5), (60, 21), (100, 39), (1000, 468)],
)
def test_interval_leaves_out_as_many_as_the_binomial_allows(count: int, left_out: int) -> None:
    times = summarize([float(value) for value in range(count, 0, -1)])
    assert (times.low_ns, times.high_ns) == (1.0 + left_out, count - left_out)


@pytest.mark.parametrize("count", [2000, 2001, 5000])
def test_many_samples_agree_with_the_exact_rank(count: int) -> None:
    times = summarize([float(value) for value in range(count)])
    left_out = int(times.low_ns)
    tail = sum(math.comb(count, k) for k in range(left_out + 1)) / (1 << count)
    assert 0.02 < tail <= 0.025


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_no_summary_without_finite_samples(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="sample"):
        summarize(samples)
