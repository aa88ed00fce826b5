"""GitHub as this package sees it: frozen values, and the protocol of whoever talks to it.

Pure: `ci.github` is the real one. Every sha is 40 hex digits, every instant is aware.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from perfsuite.errors import MachineError

WRITERS = ("admin", "maintain", "write")
"""Permissions of those whose commands count."""


class HubBusy(MachineError):
    """GitHub cannot answer now: a rate limit, 5xx, or no connection. Nothing is wrong with the request.

    Args:
        retry_after_s: how long GitHub asks to wait; None where it does not say.
    """

    def __init__(self, what: str, retry_after_s: float | None = None) -> None:
        super().__init__(what, "repeat the command later")
        self.retry_after_s = retry_after_s


class Gone(Exception):
    """What was asked for is not there (any more): a comment, a branch, a pull request."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    number: int
    title: str
    author: str | None
    """Login; None where the account is gone."""
    head: str
    head_branch: str
    head_repository: str | None
    """`owner/name`; None where the fork was deleted."""
    base_branch: str
    base: str
    """Sha of the base branch's tip, as GitHub has it."""
    open: bool
    draft: bool = False
    labels: tuple[str, ...] = ()
    merged_as: str | None = None
    """Sha of the merge commit, once it is merged."""
    seen_at: datetime | None = None
    """GitHub's own clock when it said so."""

    def foreign(self, repository: str) -> bool:
        """Whether its code comes from another repository: a fork, or one that is gone."""
        return (self.head_repository or "").casefold() != repository.casefold()


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as GitHub keeps it."""

    id: int
    author: str | None
    """Login; None where the account is gone."""
    body: str
    url: str = ""
    pull: int = 0
    """Number of its issue or pull request."""
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a pull request."""

    id: int
    kind: str
    """`labeled`, `unlabeled`, `head_ref_force_pushed`, …"""
    actor: str | None
    at: datetime
    label: str = ""


class Reaction(StrEnum):
    SEEN = "eyes"
    DONE = "rocket"
    REFUSED = "confused"
    LIKED = "+1"


@dataclass(frozen=True, slots=True)
class Annotation:
    path: str
    line: int
    end_line: int
    level: str
    """`notice`, `warning` or `failure`."""
    title: str
    message: str


class CheckState(StrEnum):
    QUEUED = "queued"
    RUNNING = "in_progress"
    DONE = "completed"


@dataclass(frozen=True, slots=True)
class Check:
    """A check run, or what a commit status can hold of it."""

    name: str
    head: str
    external_id: str
    """The job's id: how it is found again."""
    state: CheckState
    conclusion: str | None
    """`success`, `failure`, `neutral`, `cancelled`; None until it is done."""
    title: str
    """One line, at most 140 characters."""
    summary: str = ""
    text: str = ""
    annotations: tuple[Annotation, ...] = ()
    details_url: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    number: int
    author: str | None
    title: str
    body: str
    open: bool


class Hub(Protocol):
    """One repository on GitHub. Every method raises HubBusy, or UsageError where GitHub refuses."""

    @property
    def repository(self) -> str:
        """`owner/name`"""

    def author(self) -> str:
        """Login under which we write."""

    def clone_url(self) -> str: ...

    def git_header(self) -> str:
        """The HTTP header with which git may fetch; asked for at each use, since tokens expire."""

    def default_branch(self) -> str: ...

    def branch(self, name: str) -> str:
        """Sha of its tip. Raises: Gone."""

    def open_pulls(self) -> list[PullRequest]:
        """All of them, the oldest first."""

    def pull(self, number: int) -> PullRequest:
        """Raises: Gone."""

    def comments(self, number: int) -> Iterator[Comment]:
        """All comments of a pull request, oldest first."""

    def recent_comments(self, since: datetime) -> Iterable[Comment]:
        """Those of all pull requests and issues that were written or changed since then."""

    def create_comment(self, number: int, body: str) -> Comment: ...

    def edit_comment(self, comment: Comment, body: str) -> Comment:
        """Raises: Gone."""

    def delete_comment(self, comment: Comment) -> None:
        """One that is gone is no error."""

    def react(self, comment_id: int, reaction: Reaction) -> None:
        """Safe to repeat. A comment that is gone is no error."""

    def may_write(self, login: str) -> bool:
        """Whether this person has write access here."""

    def events(self, number: int) -> list[Event]:
        """What happened to a pull request, oldest first."""

    def remove_label(self, number: int, label: str) -> None:
        """A label that is not there is no error."""

    def publish_check(self, check: Check) -> None:
        """Creates it, or changes the one with its name, head and external id; a commit status where the token
        may not write check runs."""

    def issues(self, label: str) -> list[Issue]:
        """Open issues with that label that we wrote."""

    def create_issue(self, title: str, body: str, label: str) -> Issue: ...

    def change_issue(self, number: int, *, body: str | None = None, open: bool | None = None) -> None: ...
