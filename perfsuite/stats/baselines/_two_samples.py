"""Two-sample tests on many pairs of windows at once: rows of equal width."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from perfsuite.stats.baselines._points import Floats

_WIDEST_EXACT = 20
"""Wider rows: normal approximation. Up to here the exact counts are exact in double precision as well."""
_CHUNK = 4_000_000
"""Comparisons held in memory at once."""


def mann_whitney_p(before: Floats, after: Floats) -> Floats:
    """Two-sided p-values; ties count half (Mann & Whitney, Annals of Mathematical Statistics 18, 1947)."""
    return _by_chunks(_mann_whitney, before, after)


def kolmogorov_smirnov_p(before: Floats, after: Floats) -> Floats:
    """Two-sided exact p-values (Gnedenko & Korolyuk 1951); conservative with ties."""
    return _by_chunks(_kolmogorov_smirnov, before, after)


def medians(windows: Floats) -> Floats:
    return np.asarray(np.median(windows, axis=1), dtype=np.float64)


def spread_over(places: NDArray[np.intp], values: Floats | float, count: int, empty: float) -> Floats:
    """Values of some places as an array of all."""
    spread = np.full(count, empty)
    spread[places] = values
    return spread


def _by_chunks(test: Callable[[Floats, Floats], Floats], before: Floats, after: Floats) -> Floats:
    rows = max(1, _CHUNK // before.shape[1] ** 2)
    parts = [test(before[i : i + rows], after[i : i + rows]) for i in range(0, len(before), rows)]
    return np.concatenate(parts) if parts else np.empty(0)


def _mann_whitney(before: Floats, after: Floats) -> Floats:
    width = before.shape[1]
    signs = np.sign(after[:, :, None] - before[:, None, :])
    wins = (np.sum(signs, axis=(1, 2)) + width * width) / 2
    fewer = np.minimum(wins, width * width - wins)
    if width <= _WIDEST_EXACT:
        p = 2 * _tail(width)[np.floor(fewer + 0.5).astype(np.intp)]
    else:
        p = _normal_p(width * width / 2 - fewer, np.concatenate((before, after), axis=1))
    return np.asarray(np.minimum(1.0, p), dtype=np.float64)


def _normal_p(apart: Floats, both: Floats) -> Floats:
    """Corrected for ties and continuity; 1 where all are equal."""
    size = both.shape[1]
    ties = np.array([np.sum(np.unique(row, return_counts=True)[1] ** 3.0) - size for row in both])
    variance = (size / 2) ** 2 / 12 * (size + 1 - ties / (size * (size - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(variance > 0, np.maximum(apart - 0.5, 0.0) / np.sqrt(variance), 0.0)
    return np.asarray(2 * ndtr(-score), dtype=np.float64)


@cache
def _tail(width: int) -> Floats:
    """P(U <= u): the coefficients of the Gaussian binomial, summed, over their sum."""
    counts = np.zeros(width * width + 1)
    counts[0] = 1.0
    for k in range(1, width + 1):
        # Times 1 - q^(width + k), divided by 1 - q^k.
        shifted = counts.copy()
        shifted[width + k :] -= counts[: len(counts) - width - k]
        for start in range(k):
            shifted[start::k] = np.cumsum(shifted[start::k])
        counts = shifted
    return np.asarray(np.cumsum(counts) / comb(2 * width, width))


def _kolmogorov_smirnov(before: Floats, after: Floats) -> Floats:
    both = np.concatenate((before, after), axis=1)[:, :, None]
    above = np.sum(before[:, None, :] <= both, axis=2) - np.sum(after[:, None, :] <= both, axis=2)
    tail = _distance_tail(before.shape[1])
    return np.asarray(tail[np.max(np.abs(above), axis=1)], dtype=np.float64)


@cache
def _distance_tail(width: int) -> Floats:
    """P(D >= d / width) for d = 0 … width."""
    total = comb(2 * width, width)

    def tail(distance: int) -> float:
        if not distance:
            return 1.0
        steps = range(1, width // distance + 1)
        ways = sum((1 if j % 2 else -1) * comb(2 * width, width - j * distance) for j in steps)
        return 2 * ways / total

    return np.array([min(1.0, tail(distance)) for distance in range(width + 1)])
