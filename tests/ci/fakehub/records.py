"""What the fake GitHub keeps, and its clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


def sha_of(text: str) -> str:
    """40 hex digits for tests that need a commit's name but no commit."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Clock:
    """GitHub's clock, in whole seconds as its own. The real one until it is set; then it stands."""

    _standing: datetime | None = None
    _ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return (self._standing or datetime.now(UTC) + self._ahead).replace(microsecond=0)

    def set(self, at: datetime) -> None:
        self._standing = at

    def advance(self, seconds: float) -> None:
        if self._standing is None:
            self._ahead += timedelta(seconds=seconds)
        else:
            self._standing += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Request:
    """One request that arrived."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    status: int = 0
    """What was answered; 0 where the connection was cut."""
    encoded_path: str = ""
    """As it was sent."""

    @property
    def raw_path(self) -> str:
        return self.encoded_path or self.path


@dataclass
class Item:
    """An issue or, with `branch` set, a pull request: they share their numbers."""

    number: int
    title: str
    author: str | None
    body: str
    created_at: datetime
    updated_at: datetime
    open: bool = True
    labels: list[str] = field(default_factory=list)
    closed_at: datetime | None = None
    branch: str = ""
    head: str = ""
    head_repository: str | None = None
    base_branch: str = ""
    base: str = ""
    """The base branch's tip when the head was last pushed: GitHub lets it grow old, too."""
    draft: bool = False
    merged_as: str | None = None

    @property
    def is_pull(self) -> bool:
        return bool(self.branch)


@dataclass
class CommentRow:
    id: int
    number: int
    """Of its issue or pull request."""
    login: str | None
    body: str
    created_at: datetime
    updated_at: datetime
    reactions: list[tuple[str | None, str]] = field(default_factory=list)
    """Login and content, once each."""


@dataclass
class EventRow:
    id: int
    number: int
    kind: str
    login: str | None
    at: datetime
    label: str = ""
    sha: str | None = None


@dataclass
class CheckRow:
    id: int
    sha: str
    name: str
    status: str
    created_at: datetime
    app: str
    """Slug of the App that owns it: nobody else may change it."""
    conclusion: str | None = None
    external_id: str = ""
    details_url: str | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)
    completed_at: datetime | None = None


@dataclass
class StatusRow:
    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    created_at: datetime
    login: str


@dataclass
class Fault:
    """What goes wrong with the requests that it matches."""

    kind: str
    """`answer` (this status instead), `cut` (nothing is done), `lost` (done, but the answer never comes),
    `slow` (done late)."""
    times: int | None
    """How many requests; None: until `recover`."""
    method: str = ""
    path: str = ""
    """Regular expression, searched in the path."""
    status: int = 0
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
