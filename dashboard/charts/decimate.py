"""Which points of a long line are drawn, so that it looks as if all were. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_OF_A_BUCKET = 4
"""Its first, last, lowest and highest point: what a line of one pixel's width shows of it (Jugel and others,
"M4", VLDB 2014)."""


def decimate(values: NDArray[np.float64], most: int, keep: Iterable[int] = ()) -> NDArray[np.int64]:
    """Places of the points to draw, ascending: both ends, the extremes, and those to `keep`.

    Args:
        values: in order; NaN is a gap and never an extreme.
        most: so many at most (4 at least), `keep` apart.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    # None is empty: there are fewer than points.
    edges = np.linspace(0, count, max(1, most // _OF_A_BUCKET) + 1).astype(np.int64)
    kept = np.fromiter((at for at in keep if 0 <= at < count), dtype=np.int64)
    places = (edges[:-1], edges[1:] - 1, _lowest(values, edges), _lowest(-values, edges), kept)
    return np.unique(np.concatenate(places))


def _lowest(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    known = np.where(np.isnan(values), np.inf, values)
    buckets = itertools.pairwise(edges.tolist())
    return np.array([first + int(known[first:stop].argmin()) for first, stop in buckets], dtype=np.int64)
