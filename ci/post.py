"""Keep exactly one comment up to date, over any service that has comments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ci.comment import MARKER, Comment, find_comment, needs_update


class CommentGone(Exception):
    """The comment was deleted after it had been listed."""


class Comments(Protocol):
    """The comments of one pull request."""

    def author(self) -> str:
        """Login under which `create` writes."""

    def list(self) -> Iterable[Comment]:
        """All comments, oldest first."""

    def create(self, body: str) -> Comment: ...

    def edit(self, comment: Comment, body: str) -> Comment:
        """Raises `CommentGone` when it is not there any more."""


class Action(StrEnum):
    CREATED = "created"
    EDITED = "edited"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Posted:
    action: Action
    comment: Comment


def upsert(comments: Comments, body: str, marker: str = MARKER) -> Posted:
    """Create our comment, or edit it in place; safe to repeat after any failure."""
    ours = find_comment(comments.list(), comments.author(), marker)
    if ours is None:
        return Posted(Action.CREATED, comments.create(body))
    if not needs_update(ours.body, body):
        return Posted(Action.UNCHANGED, ours)
    try:
        return Posted(Action.EDITED, comments.edit(ours, body))
    except CommentGone:
        return Posted(Action.CREATED, comments.create(body))
