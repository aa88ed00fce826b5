"""A repository on GitHub with its pull requests: what people do to it, as methods for tests."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fakehub.bare import Bare
from fakehub.records import CheckRow, Clock, CommentRow, EventRow, Fault, Item, Request, StatusRow, sha_of

ACTIONS = "github-actions"
_FIRST_ID = 1000


@dataclass
class State:
    """The far side's memory. All methods are safe to call while requests arrive."""

    repository: str = "acme/kernels"
    token: str = "good-token"
    login: str = "perf-bot"
    actions: bool = False
    """The token is a GitHub Actions job's: it may not read /user and writes as github-actions[bot]."""
    app_id: int = 4242
    app_slug: str = "perf-app"
    app_public_key: str = ""
    """PEM; where it is given, JSON web tokens are checked against it."""
    default_branch: str = "main"
    git: Path | None = None
    """A bare repository: its branches are this one's, and what tests push there is pushed here."""
    private: bool = False

    clock: Clock = field(default_factory=Clock)
    items: dict[int, Item] = field(default_factory=dict)
    comments: dict[int, CommentRow] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    check_runs: dict[int, CheckRow] = field(default_factory=dict)
    status_rows: list[StatusRow] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    """Without `git`: name → sha."""
    permissions: dict[str, str] = field(default_factory=dict)
    """Login → admin, maintain, write, triage, read. Everybody else may read."""
    deleted: set[str] = field(default_factory=set)
    """Accounts that are gone: what they wrote is nobody's."""
    installation_tokens: dict[str, datetime] = field(default_factory=dict)
    """Token → when it expires."""
    token_lifetime_s: float = 3600.0
    remaining: int = 5000
    """Of the rate limit."""
    reset_at: datetime | None = None
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.created_at = self.clock.now()
        self._ids = itertools.count(_FIRST_ID)
        self._numbers = itertools.count(1)
        self.bare = None if self.git is None else Bare(self.git)
        self.branches.setdefault(self.default_branch, sha_of(self.default_branch))

    # What people do.

    def open_pull(
        self,
        branch: str = "feature",
        head: str = "",
        *,
        number: int | None = None,
        title: str = "A change",
        author: str | None = "alice",
        body: str = "",
        base_branch: str = "",
        head_repository: str = "",
        draft: bool = False,
        labels: Iterable[str] = (),
    ) -> int:
        """Opens a pull request; its number.

        Args:
            head: sha; with `git` it may be left out where the branch exists there.
            head_repository: `owner/name` of a fork; its commits must be in `git` already.
        """
        with self.lock:
            number = self._free_number() if number is None else number
            now = self.clock.now()
            base_branch = base_branch or self.default_branch
            pull = Item(
                number, title, author, body, now, now, labels=list(labels), branch=branch, draft=draft
            )
            pull.head_repository = head_repository or self.repository
            pull.base_branch, pull.base = base_branch, self.tips()[base_branch]
            pull.head = head or self.tips().get(branch) or sha_of(f"{number}/{branch}")
            self.items[number] = pull
            self._point(pull)
            return number

    def push(self, number: int, sha: str, *, forced: bool = False) -> None:
        """A new head. With `git` whether it was forced is seen there."""
        with self.lock:
            self._pushed(self.items[number], sha, forced)
            self._point(self.items[number])

    def push_branch(self, name: str, sha: str) -> None:
        """Moves a branch of the repository itself, such as the default branch."""
        with self.lock:
            self.branches[name] = sha
            if self.bare:
                self.bare.point(f"refs/heads/{name}", sha)

    def delete_branch(self, name: str) -> None:
        """Its open pull requests are closed, as GitHub does."""
        with self.lock:
            self.branches.pop(name, None)
            if self.bare:
                self.bare.point(f"refs/heads/{name}", None)
            for pull in self._of_branch(name):
                self._event(pull, "head_ref_deleted", pull.author)
                self.close(pull.number)

    def delete_fork(self, number: int) -> None:
        with self.lock:
            self.items[number].head_repository = None

    def close(self, number: int, by: str = "alice") -> None:
        with self.lock:
            item = self.items[number]
            item.open, item.closed_at = False, self.clock.now()
            self._event(item, "closed", by)

    def reopen(self, number: int, by: str = "alice") -> None:
        with self.lock:
            item = self.items[number]
            item.open, item.closed_at = True, None
            self._event(item, "reopened", by)

    def merge(self, number: int, sha: str = "", by: str = "alice") -> str:
        """Merges it into its base branch (with `git` for real); the sha of the merge commit."""
        with self.lock:
            pull = self.items[number]
            tip = self.tips()[pull.base_branch]
            if not sha and self.bare:
                sha = self.bare.merge(tip, pull.head, f"Merge pull request #{number}")
            pull.merged_as = sha or sha_of(f"merge {tip} {pull.head}")
            self.push_branch(pull.base_branch, pull.merged_as)
            self._event(pull, "merged", by, sha=pull.merged_as)
            self.close(number, by)
            return pull.merged_as

    def edit(self, number: int, **changes: Any) -> None:
        """Changes any field of an issue or pull request: title, draft, base_branch, author …"""
        with self.lock:
            item = self.items[number]
            for name, value in changes.items():
                assert hasattr(item, name), name
                setattr(item, name, value)
            item.updated_at = self.clock.now()

    def label(self, number: int, name: str, by: str = "alice") -> None:
        with self.lock:
            item = self.items[number]
            if name not in item.labels:
                item.labels.append(name)
                self._event(item, "labeled", by, label=name)

    def unlabel(self, number: int, name: str, by: str = "alice") -> None:
        with self.lock:
            item = self.items[number]
            if name in item.labels:
                item.labels.remove(name)
                self._event(item, "unlabeled", by, label=name)

    def comment(self, number: int, login: str | None, body: str) -> int:
        """Writes a comment; its id."""
        with self.lock:
            now = self.clock.now()
            row = CommentRow(next(self._ids), number, login, _as_kept(body), now, now)
            self.comments[row.id] = row
            if number in self.items:
                self.items[number].updated_at = now
            return row.id

    def edit_comment(self, comment_id: int, body: str) -> None:
        with self.lock:
            row = self.comments[comment_id]
            row.body, row.updated_at = _as_kept(body), self.clock.now()

    def delete_comment(self, comment_id: int) -> None:
        with self.lock:
            del self.comments[comment_id]

    def delete_account(self, login: str) -> None:
        with self.lock:
            self.deleted.add(login)
            self.permissions.pop(login, None)

    def open_issue(
        self, title: str, author: str | None = "alice", body: str = "", labels: Iterable[str] = ()
    ) -> int:
        with self.lock:
            now = self.clock.now()
            number = self._free_number()
            self.items[number] = Item(number, title, author, _as_kept(body), now, now, labels=list(labels))
            return number

    # What tests look at.

    @property
    def us(self) -> str:
        """Login under which what the token writes appears."""
        return f"{ACTIONS}[bot]" if self.actions else self.login

    def our_comments(self, number: int, login: str | None = None) -> list[CommentRow]:
        """Those that the token's account (or `login`) wrote, oldest first."""
        with self.lock:
            return [c for c in self.comments.values() if (c.number, c.login) == (number, login or self.us)]

    def checks(self, sha: str) -> list[CheckRow]:
        with self.lock:
            return [check for check in self.check_runs.values() if check.sha == sha]

    def statuses(self, sha: str) -> list[StatusRow]:
        """All that were ever set, oldest first."""
        with self.lock:
            return [status for status in self.status_rows if status.sha == sha]

    def reactions(self, comment_id: int) -> list[str]:
        with self.lock:
            return [content for _, content in self.comments[comment_id].reactions]

    def issues(self) -> list[Item]:
        with self.lock:
            return [item for item in self.items.values() if not item.is_pull]

    def writes(self) -> list[Request]:
        """Requests that asked for a change."""
        with self.lock:
            return [request for request in self.requests if request.method != "GET"]

    # What the routes need.

    def tips(self) -> dict[str, str]:
        """Branch → sha."""
        if self.bare is None:
            return self.branches
        heads = "refs/heads/"
        refs = self.bare.refs().items()
        return {name.removeprefix(heads): sha for name, sha in refs if name.startswith(heads)}

    def look(self) -> None:
        """Takes over what was pushed to the bare repository since the last request."""
        if self.bare is None:
            return
        refs = self.bare.refs()
        for pull in [item for item in self.items.values() if item.is_pull and item.open]:
            sha = refs.get(self._ref(pull))
            if sha is None and pull.head_repository == self.repository:
                self._event(pull, "head_ref_deleted", pull.author)
                self.close(pull.number)
            elif sha is not None and sha != pull.head:
                self._pushed(pull, sha, forced=False)
                self._point(pull)

    def new_id(self) -> int:
        return next(self._ids)

    def _free_number(self) -> int:
        return next(number for number in self._numbers if number not in self.items)

    def _ref(self, pull: Item) -> str:
        ours = pull.head_repository == self.repository
        return f"refs/heads/{pull.branch}" if ours else f"refs/pull/{pull.number}/head"

    def _point(self, pull: Item) -> None:
        if pull.head_repository == self.repository:
            self.branches[pull.branch] = pull.head
        if self.bare:
            self.bare.point(self._ref(pull), pull.head)
            self.bare.point(f"refs/pull/{pull.number}/head", pull.head)

    def _pushed(self, pull: Item, sha: str, forced: bool) -> None:
        if sha == pull.head:
            return
        forced = not self.bare.descends(pull.head, sha) if self.bare else forced
        pull.head, pull.base, pull.updated_at = sha, self.tips()[pull.base_branch], self.clock.now()
        if forced:
            self._event(pull, "head_ref_force_pushed", pull.author, sha=sha)

    def _of_branch(self, name: str) -> list[Item]:
        return [
            item
            for item in self.items.values()
            if item.open and item.branch == name and item.head_repository == self.repository
        ]

    def _event(
        self, item: Item, kind: str, login: str | None, *, label: str = "", sha: str | None = None
    ) -> None:
        now = self.clock.now()
        item.updated_at = now
        self.events.append(EventRow(self.new_id(), item.number, kind, login, now, label, sha))


def _as_kept(body: str) -> str:
    """With plain line ends; what is answered has those of a web form (`rows`)."""
    return body.replace("\r\n", "\n")
