"""Where the segments of a history begin: many weak candidates, then the weakest dropped until all hold.

1. Candidates: the best split of each of the seeded intervals (Kovács, Bühlmann, Li & Munk, Biometrika 110,
   2023), the strongest first; intervals that hold a chosen one fall away.
2. Elimination: each candidate is tested between its two neighbours (perfsuite.stats.segment_test); the one
   that falls shortest goes and its neighbours are tested anew, until all reach their threshold.
3. Each survivor moves to where the evidence between its neighbours is greatest, and 2 is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from perfsuite.stats.history_noise import Floats, Prepared
from perfsuite.stats.segment_test import (
    LEAST_POINTS,
    PRIOR_FREEDOM,
    Ranks,
    deviate,
    evidence,
    least_points,
    threshold,
)

_CANDIDATE_SHARE = 0.75
"""Candidates need this share of the strength that a change point of long segments needs."""
_WEAKEST_CANDIDATE = 1.5
_DECAY = math.sqrt(2)
"""Each layer of intervals is shorter by this factor; and they overlap by three quarters."""
_OVERLAP = 4
_NARROW_POINTS = 10
_NARROW_APART = 6
_NARROW_BELOW = 3.0
"""Candidates for the tests on ranks: distributions of 10 points on both sides that differ by 0.6, which in
one place has a p of 0.05; where candidates need a strength above `_NARROW_BELOW`, by 0.7 (p = 0.01)."""
_MOVE_POINTS = 20
"""How far a change point may move from where its candidate lay."""
_ROUNDS = 3
"""Elimination and moving settle after one or two."""


def segments(series: Prepared, sensitivity: float = 1.0) -> list[int]:
    """First points of the new levels, in order; empty where nothing moved."""
    found = _candidates(series, sensitivity)
    for _ in range(_ROUNDS):
        found = _eliminate(series, found, sensitivity)
        moved = _moved(series, found, sensitivity)
        if moved == found:
            break
        found = moved
    else:
        found = _eliminate(series, found, sensitivity)
    return found


def _candidates(series: Prepared, sensitivity: float) -> list[int]:
    least = _CANDIDATE_SHARE * float(threshold(series.total, series.total, sensitivity))
    side, least = least_points(sensitivity), max(least, _WEAKEST_CANDIDATE)
    layers = [_layer(series, length, side, least) for length in _lengths(len(series), side)]
    if not layers:
        return []
    start, stop, at, strength = (np.concatenate([layer[i] for layer in layers]) for i in range(4))
    order = np.argsort(-strength, kind="stable")
    start, stop, at = start[order], stop[order], at[order]
    chosen = []
    while len(at):
        place = at[0]
        chosen.append(int(place))
        kept = ~((start < place) & (place < stop)) & (np.abs(at - place) >= side)
        start, stop, at = start[kept], stop[kept], at[kept]
    near = np.zeros(len(series) + side, dtype=np.bool_)
    for place in chosen:
        near[max(0, place - side + 1) : place + side] = True
    asked = _NARROW_APART if least <= _NARROW_BELOW else _NARROW_APART + 1
    return sorted([*chosen, *(place for place in _narrow(series, asked) if not near[place])])


def _narrow(series: Prepared, asked: int) -> list[int]:
    """Places where the distributions of the points on both sides are furthest apart, and clearly so."""
    if len(series) < 2 * _NARROW_POINTS:
        return []
    windows = sliding_window_view(series.raw, 2 * _NARROW_POINTS)
    below = windows[:, :, None] <= windows[:, None, :]
    before = below[:, :_NARROW_POINTS].sum(axis=1, dtype=np.int16)
    apart = np.max(np.abs(below[:, _NARROW_POINTS:].sum(axis=1, dtype=np.int16) - before), axis=1)
    around = np.max(sliding_window_view(np.pad(apart, LEAST_POINTS), 2 * LEAST_POINTS + 1), axis=1)
    return [int(i) + _NARROW_POINTS for i in np.flatnonzero((apart >= asked) & (apart == around))]


def _lengths(count: int, side: int) -> list[int]:
    lengths, length = set(), float(count)
    while length >= 2 * side:
        lengths.add(round(length))
        length /= _DECAY
    return sorted(lengths)


_Splits = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Floats]


def _layer(series: Prepared, length: int, side: int, least: float) -> _Splits:
    """The best split of each interval of one length: starts, stops, splits, strengths (those above least)."""
    count = len(series)
    clean = series.clean - series.clean.mean()
    sums = np.concatenate(([0.0], np.cumsum(clean)))
    squares = np.concatenate(([0.0], np.cumsum(clean * clean)))
    steps = math.ceil((count - length) / max(1.0, length / _OVERLAP)) + 1
    start = np.unique(np.round(np.linspace(0, count - length, steps)).astype(np.intp))
    left = np.arange(side, length - side + 1)
    part = sums[start[:, None] + left] - sums[start][:, None]
    whole = (sums[start + length] - sums[start])[:, None]
    between = (part - whole * (left / length)) ** 2 * (length / (left * (length - left)))
    best = np.argmax(between, axis=1)
    at = start + left[best]
    top = between[np.arange(len(start)), best]
    total = squares[start + length] - squares[start] - whole[:, 0] ** 2 / length
    freedom = length - 2 + PRIOR_FREEDOM
    rest = (np.maximum(total - top, 0.0) + PRIOR_FREEDOM * series.noise[at] ** 2) / freedom
    strength = deviate(top / np.maximum(rest, np.finfo(float).tiny), freedom)
    kept = strength >= least
    return start[kept], start[kept] + length, at[kept], strength[kept]


def _eliminate(series: Prepared, found: Sequence[int], sensitivity: float) -> list[int]:
    """Drops the change point that falls shortest of its threshold until none does."""
    edges = [0, *found, len(series)]
    excess = [_excess(series, edges, i, sensitivity) for i in range(1, len(edges) - 1)]
    while excess:
        weakest = min(range(len(excess)), key=excess.__getitem__)
        if excess[weakest] >= 0:
            break
        del edges[weakest + 1], excess[weakest]
        for i in (weakest - 1, weakest):
            if 0 <= i < len(excess):
                excess[i] = _excess(series, edges, i + 1, sensitivity)
    return edges[1:-1]


def _excess(series: Prepared, edges: Sequence[int], i: int, sensitivity: float) -> float:
    start, at, stop = edges[i - 1 : i + 2]
    return evidence(series, start, at, stop).strength - float(
        threshold(series.total, min(at - start, stop - at), sensitivity)
    )


def _moved(series: Prepared, found: Sequence[int], sensitivity: float) -> list[int]:
    moved: list[int] = []
    for i, at in enumerate(found):
        start = moved[-1] if moved else 0
        stop = found[i + 1] if i + 1 < len(found) else len(series)
        places, excess = profile(series, start, at, stop, sensitivity)
        moved.append(int(places[np.argmax(excess)]) if len(places) else at)
    return moved


def profile(
    series: Prepared, start: int, at: int, stop: int, sensitivity: float = 1.0
) -> tuple[NDArray[np.intp], Floats]:
    """Places about `at` and by how much a step there exceeds its threshold: the mean of both tests."""
    start, stop = max(start, at - _MOVE_POINTS), min(stop, at + _MOVE_POINTS)
    length = stop - start
    side = least_points(sensitivity)
    left = np.arange(side, length - side + 1)
    if not len(left):
        return left, np.empty(0)
    clean = series.clean[start:stop] - series.clean[start:stop].mean()
    weight = length / (left * (length - left))
    between = np.cumsum(clean)[left - 1] ** 2 * weight
    freedom = length - 2 + PRIOR_FREEDOM
    rest = np.maximum(clean @ clean - between, 0.0) + PRIOR_FREEDOM * series.noise[start + left] ** 2
    strength = deviate(between * freedom / np.maximum(rest, np.finfo(float).tiny), freedom)
    by_rank = Ranks.of(series.raw[start:stop]).strength(left)
    strength = (strength + by_rank) / 2
    asked = threshold(series.total, np.minimum(left, length - left), sensitivity)
    return start + left, strength - asked
