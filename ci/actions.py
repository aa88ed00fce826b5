"""What an event of GitHub Actions asks for, and what a step tells GitHub Actions. Pure but for two files.

`ci.actions_job` measures what is wanted, `ci.artifact` carries the result to whoever may write.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ci.body import APPROVAL_LABEL
from perfsuite.errors import UsageError

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_NAME = re.compile(r"[\w-]+/(?!\.{1,2}$)[\w.-]+", re.ASCII)
_PUSHED = ("opened", "synchronize", "reopened")
_BRANCH = "refs/heads/"
_NEXT = "give --event $GITHUB_EVENT_PATH"
_LARGEST_EVENT_BYTES = 32 << 20
"""GitHub's limit of a webhook's payload is 25 MB."""


class Kind(StrEnum):
    PULL = "pull"
    """Base and head of a pull request."""
    MAIN = "main"
    """A commit of the main line, for the series."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an event asks for. Its texts come from whoever opened the pull request: shas and numbers are
    checked here, everything else is for escaped display only."""

    kind: Kind
    why_not: str = ""
    """Of `NOTHING`: the reason, one sentence."""
    head: str = ""
    """Sha that is measured: the one in the payload, however the branch has moved since."""
    pull: int = 0
    base_branch: str = ""
    before: str = ""
    """Sha of the commit before a push; empty where there is none."""
    foreign: bool = False
    """The code comes from another repository."""
    approved_by: str = ""
    """Login of who approved a foreign head with the label. That this person may write is asked elsewhere."""

    def __bool__(self) -> bool:
        return self.kind is not Kind.NOTHING


def wanted(event: str, payload: Mapping[str, Any], repository: str) -> Wanted:
    """What an event asks for.

    A foreign head is wanted only by the event that labels it: that payload names the head as it was when the
    label was given, and a push that follows brings an event of another kind. Drafts are measured like others.

    Args:
        event: its name, `pull_request` or `push`; others ask for nothing.
        payload: as GitHub wrote it.
        repository: `owner/name` where this runs.

    Raises:
        UsageError: the payload is not one of GitHub's.
    """
    if event == "pull_request":
        return _of_pull(payload, repository)
    if event == "push":
        return _of_push(payload)
    return _nothing(f"an event {event!r} asks for nothing to be measured")


def read_event(path: Path) -> dict[str, Any]:
    """The payload that GitHub Actions keeps in `GITHUB_EVENT_PATH`.

    Raises:
        UsageError: it cannot be read, or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            payload = json.loads(file.read(_LARGEST_EVENT_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read the event {path}: {error}", _NEXT) from error
    if not isinstance(payload, dict):
        raise UsageError(f"{path} holds no event", _NEXT)
    return payload


def at(payload: Mapping[str, Any], path: str) -> Any:
    """What lies at a dotted path; None where it does not."""
    value: Any = payload
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def text_at(payload: Mapping[str, Any], path: str) -> str:
    """Raises: UsageError, there is no text."""
    value = at(payload, path)
    if not isinstance(value, str):
        raise UsageError(f"the event has no {path}", "is it the payload of a GitHub event?")
    return value


def sha_at(payload: Mapping[str, Any], path: str) -> str:
    """Raises: UsageError, there is no sha."""
    value = text_at(payload, path)
    if not SHA.fullmatch(value):
        raise UsageError(f"the event's {path} is no sha: {value[:80]!r}")
    return value


def number_at(payload: Mapping[str, Any], path: str) -> int:
    """Raises: UsageError, there is no positive number."""
    value = at(payload, path)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"the event has no {path}", "is it the payload of a GitHub event?")
    return value


def repository_at(payload: Mapping[str, Any], path: str) -> str:
    """Raises: UsageError, there is no `owner/name`."""
    value = text_at(payload, path)
    if not _NAME.fullmatch(value):
        raise UsageError(f"the event's {path} is no owner/name: {value[:80]!r}")
    return value


def _nothing(why: str) -> Wanted:
    return Wanted(Kind.NOTHING, why)


def _of_pull(payload: Mapping[str, Any], repository: str) -> Wanted:
    action = text_at(payload, "action")
    label = at(payload, "label.name") if action == "labeled" else None
    number = number_at(payload, "pull_request.number")
    # The repository of the head is null where the fork was deleted: foreign too.
    source = at(payload, "pull_request.head.repo.full_name")
    foreign = not isinstance(source, str) or source.casefold() != repository.casefold()
    if at(payload, "pull_request.state") != "open":
        return _nothing(f"#{number} is closed")
    if action not in (*_PUSHED, "labeled"):
        return _nothing(f"{action!r} changes no code")
    if foreign and label != APPROVAL_LABEL:
        return _nothing(
            f"#{number} comes from another repository: nothing of it runs before the label {APPROVAL_LABEL} "
            "is given to the head as it is (after a push: taken away and given again)"
        )
    if not foreign and action == "labeled":
        return _nothing(f"#{number} was measured when it was pushed: a label changes nothing")
    return Wanted(
        Kind.PULL,
        head=sha_at(payload, "pull_request.head.sha"),
        pull=number,
        base_branch=text_at(payload, "pull_request.base.ref"),
        foreign=foreign,
        approved_by=text_at(payload, "sender.login") if foreign else "",
    )


def _of_push(payload: Mapping[str, Any]) -> Wanted:
    ref = text_at(payload, "ref")
    main = text_at(payload, "repository.default_branch")
    if not ref.startswith(_BRANCH):
        return _nothing(f"{ref!r} is no branch")
    if at(payload, "deleted"):
        return _nothing(f"{ref!r} was deleted")
    if ref != _BRANCH + main:
        return _nothing(f"only {main!r} has series, not {ref!r}")
    before = sha_at(payload, "before")
    return Wanted(
        Kind.MAIN,
        head=sha_at(payload, "after"),
        base_branch=main,
        before="" if set(before) == {"0"} else before,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What a step tells GitHub Actions: files that it names in the environment, and nothing elsewhere."""

    output: Path | None = None
    summary: Path | None = None
    log: bool = False
    """Whether GitHub Actions reads what we print, and takes lines that begin with `::` for orders."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Step:
        output, summary = (environ.get(name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"))
        log = environ.get("GITHUB_ACTIONS") == "true"
        return cls(Path(output) if output else None, Path(summary) if summary else None, log)

    def set(self, **values: str) -> None:
        """Outputs of the step. Nobody can guess the delimiter: no value can end itself and begin another."""
        if self.output is not None:
            with self.output.open("a", encoding="utf-8", newline="\n") as file:
                for name, value in values.items():
                    end = f"end_{secrets.token_hex(16)}"
                    file.write(f"{name}<<{end}\n{value}\n{end}\n")

    @contextlib.contextmanager
    def quoting(self) -> Iterator[Callable[[bytes], None]]:
        """Yields what prints the words of others: they are no orders to GitHub Actions."""
        token = secrets.token_hex(16)
        self._print(f"::stop-commands::{token}\n" if self.log else "")
        try:
            yield self._write
        finally:
            self._print(f"\n::{token}::\n" if self.log else "")

    def _print(self, text: str) -> None:
        self._write(text.encode())

    def _write(self, words: bytes) -> None:
        # One stream for all: of two, GitHub Actions would not know the order.
        sys.stderr.flush()
        os.write(sys.stderr.fileno(), words)

    def tell(self, markdown: str) -> None:
        """Adds to the page of the job."""
        if self.summary is not None:
            with self.summary.open("a", encoding="utf-8", newline="\n") as file:
                file.write(markdown.rstrip("\n") + "\n")
