"""Verdicts on two sets of samples, for the rules that can judge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perfsuite.stats.baselines._points import Floats
from perfsuite.stats.scoring_pairs import Compared


@dataclass(frozen=True, slots=True)
class NamedPairRule:
    """A rule from a function."""

    name: str
    function: Callable[[Compared], int]

    def __call__(self, compared: Compared) -> int:
        return self.function(compared)


def direction(change: float, limit: float) -> int:
    """1 slower than 1 + limit times the base, -1 faster by the same factor, else 0."""
    return int(change > limit) - int(change < -limit / (1 + limit))


def sign(change: float) -> int:
    return int(np.sign(change))


def ratio(compared: Compared, limit: float, summary: Callable[[Floats], float]) -> int:
    """The verdict of a fixed limit on the ratio of two summaries."""
    base, head = summary(compared.rounds(head=False)), summary(compared.rounds(head=True))
    return direction(head / base - 1, limit)


def mean(values: Floats) -> float:
    return float(np.mean(values))


def median(values: Floats) -> float:
    return float(np.median(values))


def least(values: Floats) -> float:
    return float(np.min(values))
