"""Keep exactly one comment up to date, over any service that has comments."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ci.comment import MARKER, find_comment, needs_update
from ci.hub import Comment, Gone, Hub
from perfsuite.errors import UsageError


class Comments(Protocol):
    """The comments of one pull request."""

    def author(self) -> str:
        """Login under which `create` writes."""

    def list(self) -> Iterable[Comment]:
        """All comments, oldest first."""

    def create(self, body: str) -> Comment: ...

    def edit(self, comment: Comment, body: str) -> Comment:
        """Raises `Gone` when it is not there any more."""

    def delete(self, comment: Comment) -> None:
        """One that is gone is no error."""


@dataclass(frozen=True, slots=True)
class PullComments:
    """`Comments` of one pull request of a hub."""

    hub: Hub
    number: int

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UsageError(f"not a pull request's number: {self.number}", "take it from its address")

    def author(self) -> str:
        return self.hub.author()

    def list(self) -> Iterable[Comment]:
        return self.hub.comments(self.number)

    def create(self, body: str) -> Comment:
        return self.hub.create_comment(self.number, body)

    def edit(self, comment: Comment, body: str) -> Comment:
        return self.hub.edit_comment(comment, body)

    def delete(self, comment: Comment) -> None:
        self.hub.delete_comment(comment)


class Action(StrEnum):
    CREATED = "created"
    EDITED = "edited"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Posted:
    action: Action
    comment: Comment


def upsert(comments: Comments, body: str, marker: str = MARKER) -> Posted:
    """Create our comment, or edit it in place; safe to repeat after any failure.

    An answer that is lost after the comment was written is no harm: the next call finds the comment. Of
    several (two watchers wrote at the same time) the oldest is kept and the others are deleted: a reader
    would not know which one counts.
    """
    ours, created = _ours(comments, marker), None
    if not ours:
        created = comments.create(body)
        ours = _ours(comments, marker) or [created]
    kept, *others = ours
    for surplus in others:
        # One that may not be deleted stays, and is looked at again next time.
        with suppress(Gone, UsageError):
            comments.delete(surplus)
    if created is not None and kept.id == created.id:
        return Posted(Action.CREATED, created)
    if not needs_update(kept.body, body):
        return Posted(Action.UNCHANGED, kept)
    try:
        return Posted(Action.EDITED, comments.edit(kept, body))
    except Gone:
        return Posted(Action.CREATED, comments.create(body))


def _ours(comments: Comments, marker: str) -> list[Comment]:
    author = comments.author()
    rows = iter(comments.list())
    # Each search goes on behind the one before.
    return list(iter(lambda: find_comment(rows, author, marker), None))
