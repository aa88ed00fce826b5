"""`ci.hub.Hub` on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ci.github.checks import annotations_in, runs_of, same_run, same_status, status_of
from ci.github.client import Client, Parameters
from ci.github.refusals import Refused
from ci.github.rows import to_comment, to_event, to_issue, to_login, to_pull
from ci.hub import WRITERS, Check, Comment, Event, Gone, Issue, PullRequest, Reaction
from perfsuite.errors import UsageError

ACTIONS_AUTHOR = "github-actions[bot]"
"""Who writes with the token of a GitHub Actions job, which may not ask `GET /user`."""
_NOT_FOR_APPS = "not accessible by integration"
_LONGEST_TITLE = 256
"""Characters of an issue's title."""
_NO_CHECK_RUNS = (403, 404)
"""What a plain token is answered that asks for a check run."""


class GitHubHub:
    """One repository. Conditional requests throughout: asking again for what did not change costs no limit.

    Args:
        login: of the token's account, where it is known; else GitHub is asked once.
        checks: whether the token may write check runs (that of an App or a GitHub Actions job); None: try,
            and remember.
    """

    def __init__(
        self, client: Client, repository: str, login: str | None = None, checks: bool | None = None
    ) -> None:
        if not re.fullmatch(r"[\w-]+/(?!\.{1,2}$)[\w.-]+", repository, re.ASCII):
            raise UsageError(f"not a repository: {repository!r}", "write it as owner/name")
        self._client = client
        self._repository = repository
        self._login = login
        self._checks = checks

    @property
    def repository(self) -> str:
        return self._repository

    def author(self) -> str:
        if self._login is None:
            self._login = self._client.credentials.login() or self._ask_login()
        return self._login

    def clone_url(self) -> str:
        return str(self._get("")["clone_url"])

    def git_header(self) -> str:
        """The header with which git may fetch; made anew each time, since an App's tokens end."""
        return self._client.credentials.git_header()

    def default_branch(self) -> str:
        return str(self._get("")["default_branch"])

    def branch(self, name: str) -> str:
        try:
            return str(self._get(f"/git/ref/{_quoted(f'heads/{name}')}")["object"]["sha"])
        except Refused as refused:
            # 409: a repository without any commit.
            if refused.gone or refused.status == 409:
                raise Gone(f"branch {name}") from None
            raise

    def open_pulls(self) -> list[PullRequest]:
        wanted: Parameters = {"state": "open", "sort": "created", "direction": "asc"}
        pages = self._client.pages(self._path("/pulls"), wanted)
        return [to_pull(row, page.at) for page in pages for row in page.content]

    def pull(self, number: int) -> PullRequest:
        try:
            answer = self._client.get(self._path(f"/pulls/{number}"))
        except Refused as refused:
            raise _gone_or(refused, f"pull request {number}") from None
        return to_pull(answer.content, answer.at)

    def comments(self, number: int) -> Iterator[Comment]:
        return map(to_comment, self._rows(f"/issues/{number}/comments"))

    def recent_comments(self, since: datetime) -> Iterator[Comment]:
        at = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return map(to_comment, self._rows("/issues/comments", since=at, sort="updated", direction="asc"))

    def create_comment(self, number: int, body: str) -> Comment:
        return to_comment(self._send("POST", f"/issues/{number}/comments", {"body": body}))

    def edit_comment(self, comment: Comment, body: str) -> Comment:
        try:
            return to_comment(self._send("PATCH", f"/issues/comments/{comment.id}", {"body": body}))
        except Refused as refused:
            raise _gone_or(refused, f"comment {comment.id}") from None

    def delete_comment(self, comment: Comment) -> None:
        self._unless_gone("DELETE", f"/issues/comments/{comment.id}")

    def react(self, comment_id: int, reaction: Reaction) -> None:
        self._unless_gone("POST", f"/issues/comments/{comment_id}/reactions", {"content": reaction.value})

    def may_write(self, login: str) -> bool:
        try:
            row = self._get(f"/collaborators/{_quoted(login)}/permission")
        except Refused as refused:
            if refused.gone:
                return False
            raise
        return row["permission"] in WRITERS

    def events(self, number: int) -> list[Event]:
        return [to_event(row) for row in self._rows(f"/issues/{number}/events")]

    def remove_label(self, number: int, label: str) -> None:
        self._unless_gone("DELETE", f"/issues/{number}/labels/{_quoted(label)}")

    def publish_check(self, check: Check) -> None:
        if self._checks is not False:
            try:
                self._publish_run(check)
            except Refused as refused:
                if self._checks or refused.status not in _NO_CHECK_RUNS:
                    raise
            else:
                self._checks = True
                return
        self._publish_status(check)
        # Only now: a token that may write neither is told so each time.
        self._checks = False

    def issues(self, label: str) -> list[Issue]:
        rows = self._rows("/issues", labels=label, state="open", sort="created", direction="asc")
        ours = self.author().casefold()
        found = [to_issue(row) for row in rows if "pull_request" not in row]
        return [issue for issue in found if (issue.author or "").casefold() == ours]

    def create_issue(self, title: str, body: str, label: str) -> Issue:
        row = {"title": title[:_LONGEST_TITLE], "body": body, "labels": [label]}
        return to_issue(self._send("POST", "/issues", row))

    def change_issue(self, number: int, *, body: str | None = None, open: bool | None = None) -> None:
        changes = {} if body is None else {"body": body}
        if open is not None:
            changes["state"] = "open" if open else "closed"
        if changes:
            self._send("PATCH", f"/issues/{number}", changes)

    def _ask_login(self) -> str:
        try:
            return str(self._client.get("user").content["login"])
        except Refused as refused:
            # Only this refusal: taking another for it would miss our comment and write a second one.
            if refused.status == 403 and _NOT_FOR_APPS in refused.said:
                return ACTIONS_AUTHOR
            raise

    def _publish_run(self, check: Check) -> None:
        run = self._find_run(check)
        if run is not None and same_run(run, check):
            return
        for body in runs_of(check, annotations_in(run)):
            if run is None:
                run = self._send("POST", "/check-runs", {"head_sha": check.head, **body})
            else:
                self._send("PATCH", f"/check-runs/{run['id']}", body)

    def _find_run(self, check: Check) -> Any:
        """The newest of ours with this name and external id; those of other Apps may not be changed."""
        rows = self._client.rows(
            self._path(f"/commits/{check.head}/check-runs"),
            {"check_name": check.name, "filter": "all"},
            key="check_runs",
        )
        ours = [row for row in rows if row.get("external_id") == check.external_id and self._owns(row)]
        return max(ours, key=lambda row: int(row["id"]), default=None)

    def _owns(self, run: Any) -> bool:
        return f"{(run.get('app') or {}).get('slug')}[bot]".casefold() == self.author().casefold()

    def _publish_status(self, check: Check) -> None:
        wanted = status_of(check)
        rows = self._rows(f"/commits/{check.head}/statuses")
        # The newest comes first. GitHub keeps at most 1000 of a context, so none is sent twice.
        newest = next((row for row in rows if row.get("context") == check.name and self._set(row)), None)
        if not same_status(newest, wanted):
            self._send("POST", f"/statuses/{check.head}", wanted)

    def _set(self, status: Any) -> bool:
        return (to_login(status, "creator") or "").casefold() == self.author().casefold()

    def _path(self, rest: str) -> str:
        return f"repos/{self._repository}{rest}"

    def _get(self, rest: str) -> Any:
        return self._client.get(self._path(rest)).content

    def _rows(self, rest: str, **parameters: str) -> Iterator[Any]:
        return self._client.rows(self._path(rest), parameters)

    def _send(self, method: str, rest: str, body: dict[str, Any]) -> Any:
        return self._client.send(method, self._path(rest), body)

    def _unless_gone(self, method: str, rest: str, body: dict[str, Any] | None = None) -> None:
        try:
            self._client.send(method, self._path(rest), body)
        except Refused as refused:
            if not refused.gone:
                raise


def _gone_or(refused: Refused, what: str) -> Exception:
    return Gone(what) if refused.gone else refused


def _quoted(text: str) -> str:
    return quote(text, safe="")
