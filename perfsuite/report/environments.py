"""Which environments continue each other's histories, and what lies between two of them, in words."""

from __future__ import annotations

from collections.abc import Hashable

from perfsuite.model import Environment

_FACTS = ("driver", "cuda", "torch", "triton", "python", "clocks")


def machine_model(environment: Environment) -> Hashable:
    """Equal for environments whose histories follow each other: those of one GPU model, or of one CPU.

    What else differs (driver, Triton, …) is a boundary in the history.
    """
    if environment.gpu:
        return environment.gpu, environment.gpu_memory_bytes
    return environment.cpu or environment.host


def differences(old: Environment, new: Environment) -> list[str]:
    """`driver 580.1 → 590.2`, one a fact that decides speed; none where the fingerprint is the same."""
    if old.fingerprint == new.fingerprint:
        return []
    return [
        f"{name} {getattr(old, name)} → {getattr(new, name)}"
        for name in _FACTS
        if getattr(old, name) != getattr(new, name)
    ]
