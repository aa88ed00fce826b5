"""Choosing one run, comparison, alert or job by what a person typed. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TypeVar

from perfsuite.errors import UsageError
from perfsuite.model import Alert, Comparison, Job, Run

T = TypeVar("T", Run, Comparison, Alert, Job)
_SHOWN = 3
_FIRST_STEPS = {
    "run": "measure with `perfsuite run`",
    "comparison": "compare with `perfsuite compare`",
    "alert": "`perfsuite alerts update` looks through the series of the default branch",
    "job": "`perfsuite ci watch` makes jobs of what is to be measured",
}


def choose(noun: str, ref: str, found: Sequence[T], near: Callable[[], Sequence[T]], label: str) -> T:
    """The one that was meant.

    Args:
        noun: what is looked for, for messages.
        ref: what was typed.
        found: everything whose id or sha begins like that, newest first.
        near: candidates for a near miss, newest first; asked for only when nothing was found.
        label: the database, for messages.

    Raises:
        UsageError: nothing was found, or several different ones.
    """
    exact = [item for item in found if item.id == ref.lower()]
    # Several runs of one commit are told apart by time: the newest is meant.
    names = {_name(item, ref) for item in found}
    if exact or len(names) == 1:
        return (exact or found)[0]
    if found:
        shown = ", ".join(_describe(item) for item in found[:_SHOWN])
        raise UsageError(f"{ref!r} is the beginning of {len(names)} {noun}s: {shown}", "give more digits")
    candidates = near()
    if not candidates:
        raise UsageError(f"there is no {noun} in {label} yet", _first_step(noun))
    nearest = sorted(candidates, key=lambda item: -_likeness(item, ref))[:_SHOWN]
    shown = "\n    ".join(_describe(item) for item in nearest)
    raise UsageError(f"there is no {noun} {ref!r} in {label}", f"the nearest are\n    {shown}")


def _name(item: Run | Comparison | Alert | Job, ref: str) -> str:
    if isinstance(item, Run) and not item.id.startswith(ref.lower()):
        return item.commit.sha
    return item.id


def _describe(item: Run | Comparison | Alert | Job) -> str:
    if isinstance(item, Alert):
        return f"{item.id[:12]} ({item.case[:60]} {item.kind}, {item.raised_at:%Y-%m-%d %H:%M})"
    if isinstance(item, Job):
        return f"{item.id[:12]} ({item.key[:60]} {item.state.value}, {item.created_at:%Y-%m-%d %H:%M})"
    if isinstance(item, Run):
        text = f"{item.commit.label} {item.commit.subject}".strip()
    else:
        text = f"{item.base.commit.label} → {item.head.commit.label}"
    return f"{item.id[:12]} ({text[:60]}, {item.started_at:%Y-%m-%d %H:%M})"


def _likeness(item: Run | Comparison | Alert | Job, ref: str) -> float:
    names = [item.id, item.commit.sha] if isinstance(item, Run) else [item.id]
    beginnings = [name[: len(ref)] for name in names]
    return max(difflib.SequenceMatcher(None, ref.lower(), name).ratio() for name in beginnings)


def _first_step(noun: str) -> str:
    return _FIRST_STEPS[noun]
