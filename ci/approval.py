"""May the code of a foreign pull request run here? Only where a maintainer said so of exactly that commit.

Pure. The danger is a push between what a maintainer read and what runs.

A *label* says nothing of a commit: it is there, whatever the head was or is. It approves head H only where H
is known to have been the head at that moment: we saw H as the head before the label was set, we saw it as the
head afterwards, and the branch was neither forced nor deleted since we first saw it. A branch that is only
pushed to never returns to a commit that it left, so it stood at H all the while. GitHub's times are whole
seconds: within one second nothing is known of the order, and what would need it is not approved.

A *command* names the commit, by all 40 digits of it. Fewer are no name: whoever makes both commits makes two
that share ten digits in seconds, and pushes the other one when the first is approved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ci.hub import Event, PullRequest
from perfsuite.model import Command

LABEL = "perf-approved"
_REWRITES = ("head_ref_force_pushed", "head_ref_deleted", "head_ref_restored")
"""Events after which a branch may be back at a commit that it had left."""
_CUT = "other commits can begin with the same digits; all 40 digits of the sha are needed"


@dataclass(frozen=True, slots=True)
class Approved:
    by: str
    """Login of the maintainer."""
    source: str
    """As `Command.source`: the command, or `event/ID` of a label, to be stored as the command `approve` with
    the whole sha, so that it holds when the label is gone."""


@dataclass(frozen=True, slots=True)
class NotYet:
    reason: str
    """For people: what is missing. Ours, but for the label's name."""


def approval(
    pull: PullRequest,
    first_seen: datetime | None,
    events: Sequence[Event],
    commands: Sequence[Command],
    label: str = LABEL,
    *,
    may_write: Callable[[str], bool],
) -> Approved | NotYet:
    """Whether the present head of a pull request may run.

    Args:
        pull: as GitHub has just told it.
        first_seen: when we first saw this head as the head, by GitHub's clock.
        events: what happened to the pull request, asked for after `pull`.
        commands: commands on this pull request; those that approve were checked for write access when they
            were handled.
        may_write: whether somebody has write access now; asked only where all else is right.
    """
    approving = [c for c in commands if c.verb == "approve" and c.pull == pull.number]
    for command in approving:
        if _sha(command) == pull.head:
            return Approved(command.author, command.source)
    labelled = _labelled(pull, events, label)
    if labelled is None:
        cut = any(pull.head.startswith(_sha(command) or "-") for command in approving)
        return NotYet(_CUT if cut else "nobody has approved this head")
    doubt = _doubt(labelled, pull, first_seen, events)
    if doubt:
        return NotYet(f"the label {label} does not approve this head: {doubt}")
    if labelled.actor is None or not may_write(labelled.actor):
        return NotYet(f"the label {label} was not set by somebody with write access")
    return Approved(labelled.actor, f"event/{labelled.id}")


def _sha(command: Command) -> str:
    return str(command.arguments.get("sha", "")).lower()


def _labelled(pull: PullRequest, events: Sequence[Event], label: str) -> Event | None:
    """The event that set the label, where it is still there."""
    name = label.casefold()
    if name not in (held.casefold() for held in pull.labels):
        return None
    ours = [event for event in events if event.label.casefold() == name]
    changes = [event for event in ours if event.kind in ("labeled", "unlabeled")]
    newest = max(changes, key=lambda event: (event.at, event.id), default=None)
    return newest if newest is not None and newest.kind == "labeled" else None


def _doubt(
    labelled: Event, pull: PullRequest, first_seen: datetime | None, events: Sequence[Event]
) -> str | None:
    """Why the head may have been another one when the label was set; None where it was this one."""
    if first_seen is None or pull.seen_at is None:
        return "it is not known since when this is the head"
    if any(event.kind in _REWRITES and event.at >= first_seen for event in events):
        return "the branch was rewritten since this head was first seen"
    if not first_seen < labelled.at:
        return "this head was first seen after the label was set; set it anew"
    if not labelled.at < pull.seen_at:
        return "it was set a moment ago; the next look tells"
    return None
