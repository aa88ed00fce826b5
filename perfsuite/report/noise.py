"""Noise floors: what unchanged code stays within, case by case, and what a comparison sees because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from perfsuite.model import Environment, Noise
from perfsuite.report.columns import columns
from perfsuite.report.words import plain
from perfsuite.stats.noise import floor_of
from perfsuite.units import format_share

_UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Floor:
    """One case. Shares are fractions; None while too little of its noise was seen."""

    case: str
    version: str
    noise: Noise
    floor: float | None
    """What the shortest ordinary comparison of unchanged code stays within."""
    sees: float | None
    """The same for one that takes all the pairs it may."""


def floors(known: Mapping[str, tuple[str, Noise]], pairs: int, blocks: int) -> list[Floor]:
    """By case.

    Args:
        known: case → version and noise.
        pairs: the most of a comparison.
        blocks: of one pair.
    """
    return [
        Floor(case, version, noise, floor_of(noise), floor_of(noise, pairs, pairs * blocks))
        for case, (version, noise) in sorted(known.items())
    ]


def noise_text(found: Sequence[Floor], environment: Environment) -> str:
    """The answer, then a line a case, the noisiest last, where the prompt is."""
    if not found:
        return f"No noise is known on {plain(environment.label)}: perfsuite noise measures it.\n"
    ordered = sorted(found, key=lambda one: (one.floor is None, one.floor or 0.0, one.case))
    rows = [
        (
            plain(one.case),
            _share(one.floor),
            str(one.noise.comparisons),
            str(one.noise.pairs),
            f"sees {_share(one.sees)}" if one.sees is not None else "too few pairs yet",
        )
        for one in ordered
    ]
    headings = ("case", "floor", "comparisons", "pairs", "what is seen")
    lines = [
        _answer(found),
        *columns(headings, rows, right=(1, 2, 3)),
        f"environment {plain(environment.label)}",
    ]
    return "\n".join(lines) + "\n"


def noise_json(found: Sequence[Floor], repository: str, environment: Environment) -> dict[str, Any]:
    """Plain values; shares are fractions."""
    return {
        "schema": 1,
        "repository": repository,
        "environment": {"fingerprint": environment.fingerprint, "label": environment.label},
        "cases": [
            {
                "case": one.case,
                "version": one.version,
                "floor": one.floor,
                "sees": one.sees,
                "pairs": one.noise.pairs,
                "comparisons": one.noise.comparisons,
            }
            for one in found
        ],
    }


def _answer(found: Sequence[Floor]) -> str:
    known = [one.sees for one in found if one.sees is not None]
    cases = "1 case" if len(found) == 1 else f"{len(found)} cases"
    if not known:
        return f"{cases}, none seen often enough yet: perfsuite noise again."
    return f"{cases}: half of them see {_share(median(known))} or less, the noisiest {_share(max(known))}."


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else format_share(value, signed=False)
