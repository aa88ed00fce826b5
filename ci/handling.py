"""Comments and labels become commands, commands become jobs and acceptances. First the store, then GitHub.

A command is written down together with its job, keyed by its comment: read twice, it is known. Its reaction
and its answer follow; a crash between the two is made good at the next turn (`acknowledge`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ci import orders
from ci.approval import LABEL, Approved, NotYet, approval
from ci.comment import MARKER
from ci.hub import Comment, Gone, Hub, HubBusy, PullRequest, Reaction
from ci.orders import Order
from ci.plan import asked_job
from perfsuite.cases import match_cases
from perfsuite.errors import PerfsuiteError, StoreError
from perfsuite.model import CaseComparison, Command, Job, JobKind
from perfsuite.report.escape import code, text
from perfsuite.store import Store

log = logging.getLogger("perfsuite.ci")
ACKNOWLEDGED = "acknowledged"
"""Key in a command's arguments: GitHub has its reaction and its answer."""
SEEN = "seen"
_REACTIONS = {"accept": Reaction.LIKED, "approve": Reaction.LIKED, "help": Reaction.LIKED}
_BAD = ("unknown", "refused")

Verdicts = Callable[[PullRequest], Sequence[CaseComparison]]
"""What is red in the newest comparison of a pull request's head."""


@contextlib.contextmanager
def passing_over(what: str) -> Iterator[None]:
    """What GitHub refuses of one pull request is told and does not stop the others. While GitHub or the store
    is away, everything waits."""
    try:
        yield
    except (HubBusy, StoreError):
        raise
    except (PerfsuiteError, Gone) as error:
        log.warning("%s: %s", what, error)


def seen_source(pull: PullRequest) -> str:
    """Of the command under which a head is kept since it was first seen."""
    return f"seen/{pull.number}/{pull.head}"


@dataclass(frozen=True, slots=True)
class Handler:
    """What is said in pull requests, put to work."""

    hub: Hub
    store: Store
    red_cases: Verdicts
    label: str = LABEL

    def comments(
        self, comments: Sequence[Comment], pulls: Mapping[int, PullRequest], now: datetime
    ) -> set[int]:
        """Handles the commands among comments. The numbers of the pull requests that they are about."""
        touched = set()
        for comment in comments:
            pull = pulls.get(comment.pull)
            # Ours are known by their markers, not by their author: the token may be a maintainer's own.
            if pull is None or comment.author is None or MARKER in comment.body or self._known(comment):
                continue
            order = orders.parse(comment.body)
            if order is not None:
                with passing_over(f"{comment.url or comment.id}"):
                    self._handle(comment, comment.author, order, pull, now)
                    touched.add(pull.number)
        return touched

    def approved(self, pull: PullRequest, now: datetime) -> bool:
        """Whether the head of a pull request may run. Our own branches may; a fork's needs somebody's word
        for exactly that head."""
        if not pull.foreign(self.hub.repository):
            return True
        with passing_over(f"#{pull.number}"):
            return self._approved(pull, now)
        return False

    def _approved(self, pull: PullRequest, now: datetime) -> bool:
        approvals = self.store.jobs.commands(self.hub.repository, pull=pull.number, verb="approve")
        seen = self._first_seen(pull)
        events = self.hub.events(pull.number) if self.label in pull.labels else []
        found = approval(pull, seen, events, approvals, label=self.label, may_write=self.hub.may_write)
        if isinstance(found, Approved) and found.source and not self._has(found.source):
            self._add(
                Command(
                    self.hub.repository,
                    found.source,
                    "approve",
                    pull.number,
                    pull.head,
                    found.by,
                    now,
                    {"sha": pull.head, ACKNOWLEDGED: True},
                )
            )
        return isinstance(found, Approved)

    def acknowledge(self) -> None:
        """Gives every command its reaction and its answer, once."""
        jobs, repository = self.store.jobs, self.hub.repository
        for command in jobs.commands(repository, source="comment/", without=ACKNOWLEDGED):
            number = int(command.source.removeprefix("comment/"))
            kind = Reaction.REFUSED if command.verb in _BAD else _REACTIONS.get(command.verb, Reaction.SEEN)
            with passing_over(f"#{command.pull}"):
                self.hub.react(number, kind)
            with passing_over(f"#{command.pull}"):
                if command.answer:
                    self._answer(command)
            # What GitHub refuses (a conversation that was locked) it will refuse again.
            arguments = {**command.arguments, ACKNOWLEDGED: True}
            jobs.change_command(repository, command.source, arguments=arguments)

    def _answer(self, command: Command) -> None:
        us = self.hub.author().casefold()
        for comment in self.hub.comments(command.pull):
            ours = comment.author is not None and comment.author.casefold() == us
            if ours and orders.reply_source(comment.body) == command.source:
                return
        self.hub.create_comment(command.pull, orders.reply_body(command.source, command.answer))

    def _first_seen(self, pull: PullRequest) -> datetime | None:
        """When this head was first seen, by GitHub's clock."""
        seen = self.store.jobs.command(self.hub.repository, seen_source(pull))
        return seen.at if seen else None

    def _known(self, comment: Comment) -> bool:
        return self._has(f"comment/{comment.id}")

    def _has(self, source: str) -> bool:
        return self.store.jobs.command(self.hub.repository, source) is not None

    def _handle(self, comment: Comment, author: str, order: Order, pull: PullRequest, now: datetime) -> None:
        if not self.hub.may_write(author):
            # One reaction and no words: anybody can write, and an answer each would be a way to spam.
            self._add(self._command(comment, author, "refused", pull, now))
            return
        match order.verb:
            case "run" | "full" | "rerun" | "bisect":
                self._ask(comment, author, order, pull, now)
            case "accept":
                self._accept(comment, author, order, pull, now)
            case "approve":
                self._approve(comment, author, order, pull, now)
            case "help":
                self._add(self._command(comment, author, "help", pull, now, answer=orders.help_text()))
            case _:
                answer = orders.answer_unknown(order)
                self._add(self._command(comment, author, "unknown", pull, now, answer=answer))

    def _ask(self, comment: Comment, author: str, order: Order, pull: PullRequest, now: datetime) -> None:
        if not self.approved(pull, now):
            answer = f"This is a fork. Approve its present head first: `/perf approve {pull.head}`"
            self._add(self._command(comment, author, "refused", pull, now, answer=answer))
            return
        job = asked_job(
            self.hub.repository,
            f"comment/{comment.id}",
            pull,
            now,
            kind=JobKind.BISECT if order.verb == "bisect" else JobKind.COMPARE,
            pattern=order.case if order.verb == "bisect" else order.pattern,
            profile="full" if order.verb == "full" else "pr",
            by=author,
            facts={"anew": True} if order.verb == "rerun" else {},
        )
        arguments = {"pattern": job.pattern}
        self._add(self._command(comment, author, order.verb, pull, now, arguments), job)

    def _accept(self, comment: Comment, author: str, order: Order, pull: PullRequest, now: datetime) -> None:
        red = {compared.case: compared for compared in self.red_cases(pull)}
        cases = match_cases(order.case, list(red))
        if not cases:
            there = ", ".join(code(case) for case in list(red)[:10]) or "none"
            answer = f"No red case matches {code(order.case)}. Red at {pull.head[:10]}: {there}."
            self._add(self._command(comment, author, "unknown", pull, now, answer=answer))
            return
        limits = {case: red[case].high for case in cases if red[case].high is not None}
        arguments = {"case": order.case, "cases": cases, "reason": order.reason, "limits": limits}
        self._add(self._command(comment, author, "accept", pull, now, arguments))

    def _approve(self, comment: Comment, author: str, order: Order, pull: PullRequest, now: datetime) -> None:
        if not pull.head.startswith(order.sha.lower()):
            answer = f"The head is {pull.head[:10]} now, not {text(order.sha)}. Nothing was approved."
            self._add(self._command(comment, author, "refused", pull, now, answer=answer))
            return
        # As it was written: how much of the sha somebody wrote decides what it vouches for.
        command = self._command(comment, author, "approve", pull, now, {"sha": order.sha.lower()})
        found = approval(pull, self._first_seen(pull), [], [command], may_write=self.hub.may_write)
        if isinstance(found, NotYet):
            answer = f"Nothing was approved: {text(found.reason)}"
            command = replace(command, verb="refused", arguments={}, answer=answer)
        self._add(command)

    def _command(
        self,
        comment: Comment,
        author: str,
        verb: str,
        pull: PullRequest,
        now: datetime,
        arguments: Mapping[str, object] | None = None,
        answer: str = "",
    ) -> Command:
        return Command(
            self.hub.repository,
            f"comment/{comment.id}",
            verb,
            pull.number,
            pull.head,
            author,
            comment.created_at or now,
            dict(arguments or {}),
            answer,
        )

    def _add(self, command: Command, job: Job | None = None) -> None:
        self.store.jobs.add_command(command, job)
