"""GitHub over github3.py, whose sole importer this is.

github3's session carries authentication, time limits and errors. Its comment models are not used: they raise
on a comment whose author's account is gone, and one such comment would hide ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import github3
import requests
from github3 import exceptions
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util.retry import Retry

from ci.comment import Comment
from ci.post import CommentGone
from perfsuite.errors import MachineError, PerfsuiteError, UsageError

API_URL = "https://api.github.com"
ACTIONS_AUTHOR = "github-actions[bot]"
"""Who writes with the token of a GitHub Actions job, which may not ask `GET /user`."""

_NOT_FOR_APPS = "not accessible by integration"
_PER_PAGE = 100
_RETRIES = 4
_LONGEST_WAIT_S = 60.0
"""A longer Retry-After is not waited for: a job on a GPU runner would be held idle."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _CappedRetry(Retry):
    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        wait_s = super().get_retry_after(response)
        return None if wait_s is None else min(wait_s, _LONGEST_WAIT_S)


def _retries() -> _CappedRetry:
    # POST is left out: GitHub may have taken it before the answer was lost. Repeating the whole upsert is
    # safe, repeating one POST is not.
    return _CappedRetry(
        total=_RETRIES,
        backoff_factor=0.5,
        status_forcelist=(429, 502, 503, 504),
        allowed_methods={"GET", "PUT", "PATCH", "DELETE"},
        respect_retry_after_header=True,
        raise_on_status=False,
    )


def connect(token: str, api_url: str = API_URL) -> github3.GitHub:
    """A client with retries mounted. Nothing is sent yet.

    Raises:
        UsageError: the address is not https (a token would travel in clear) and not this machine.
    """
    parts = urlsplit(api_url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise UsageError(
            f"refusing to send a token to {api_url!r}, which is not https", "give --api-url https://…"
        )
    client = github3.GitHub()
    client.session.base_url = api_url.rstrip("/")
    client.session.mount(f"{parts.scheme}://{parts.netloc}", HTTPAdapter(max_retries=_retries()))
    client.session.token_auth(token)
    return client


@dataclass(frozen=True, slots=True)
class PullRequestComments:
    """`ci.post.Comments` of one pull request on GitHub."""

    client: github3.GitHub
    repository: str
    """`owner/name`"""
    number: int
    login: str | None = None
    """Login of the token's account; None: ask GitHub."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+/(?!\.{1,2}$)[\w.-]+", self.repository, re.ASCII):
            raise UsageError(f"not a repository: {self.repository!r}", "write it as owner/name")
        if self.number < 1:
            raise UsageError(f"not a pull request's number: {self.number}", "take it from its address")

    def author(self) -> str:
        if self.login is not None:
            return self.login
        try:
            return str(self._call("GET", "user")["login"])
        except exceptions.GitHubError as error:
            # Only this refusal: taking a rate limit for it would miss our comment and write a second one.
            if error.code == 403 and _NOT_FOR_APPS in str(error.msg):
                return ACTIONS_AUTHOR
            raise self._explain(error) from error

    def list(self) -> Iterator[Comment]:
        page = 1
        while True:
            rows = self._ask("GET", f"{self._issue}/comments", params={"per_page": _PER_PAGE, "page": page})
            yield from map(_comment, rows)
            if len(rows) < _PER_PAGE:
                return
            page += 1

    def create(self, body: str) -> Comment:
        return _comment(self._ask("POST", f"{self._issue}/comments", json={"body": body}))

    def edit(self, comment: Comment, body: str) -> Comment:
        path = f"repos/{self.repository}/issues/comments/{comment.id}"
        try:
            return _comment(self._call("PATCH", path, json={"body": body}))
        except exceptions.NotFoundError as error:
            raise CommentGone(str(comment.id)) from error
        except exceptions.GitHubError as error:
            raise self._explain(error) from error

    @property
    def _issue(self) -> str:
        return f"repos/{self.repository}/issues/{self.number}"

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            return self._call(method, path, **arguments)
        except exceptions.GitHubError as error:
            raise self._explain(error) from error

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        """One request; the answer's JSON.

        Raises:
            exceptions.GitHubError: GitHub refused.
            UsageError: GitHub does not know the token.
            MachineError: it was not reached, or what answered is not GitHub's API.
        """
        session = self.client.session
        url = session.build_url(path)
        try:
            response = session.request(method, url, **arguments)
        except requests.RequestException as error:
            raise _unreachable(session.base_url, error) from error
        if response.status_code >= 500:
            raise MachineError(
                f"GitHub answered {response.status_code} to {method} {url}",
                "repeat the command later",
            )
        if response.status_code == 401:
            raise UsageError(
                f"GitHub does not accept the token (401 from {session.base_url})",
                "check that it is not expired and belongs to this server",
            )
        if not response.ok:
            raise exceptions.error_for(response)
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise MachineError(f"{url} did not answer with JSON", "check --api-url") from error

    def _explain(self, error: exceptions.GitHubError) -> PerfsuiteError:
        headers = error.response.headers
        if error.code == 404:
            return UsageError(
                f"no pull request #{self.number} in {self.repository}, or the token may not see it (404)",
                "check --repo and --pr, and that the token can read the repository",
            )
        if error.code == 429 or headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in headers:
            return MachineError(
                f"GitHub's rate limit is used up ({error.code}: {error.msg})", "repeat the command later"
            )
        if error.code == 403:
            return UsageError(
                f"the token may not comment in {self.repository} (403: {error.msg})",
                "give it write access to pull requests (`permissions: pull-requests: write` in a workflow)",
            )
        return UsageError(f"GitHub refused with {error.code}: {error.msg} {error.errors or ''}".rstrip())


def _comment(row: Any) -> Comment:
    user = row.get("user") or {}
    return Comment(int(row["id"]), user.get("login"), row.get("body") or "", row.get("html_url") or "")


def _unreachable(base_url: str, error: requests.RequestException) -> MachineError:
    reason = str(error).splitlines()[0][:200]
    return MachineError(f"GitHub is not reachable at {base_url}: {reason}", "check the network, then repeat")
