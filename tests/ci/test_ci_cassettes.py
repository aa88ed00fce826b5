"""Answers that were recorded from the real GitHub are understood.

The recordings are those of github3.py's own tests (betamax cassettes), which its sdist carries;
`PERFSUITE_CASSETTES` names the sdist's file. None of them is copied here.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from github_description import OPERATIONS
from requests.adapters import BaseAdapter

from ci.github import GitHubHub, connect
from ci.hub import Check, CheckState, Comment, Event, Issue, PullRequest
from perfsuite.errors import UsageError

HEX = re.compile(r"[0-9a-f]{40}")
_CASSETTES = re.compile(
    r".*/tests/cassettes/"
    r"(Check|Issue_|PullRequest_|Repository_(pull|issue|create_(issue|status))|RepoCommit_statuses|GitHub_(me|create_issue|pull)).*json"
)
_API = "https://api.github.com"


@dataclass(frozen=True)
class Recorded:
    """One request to GitHub, and what it answered."""

    cassette: str
    method: str
    path: str
    status: int
    headers: dict[str, str]
    content: Any

    @property
    def repository(self) -> str:
        return "/".join(self.path.split("/")[2:4])

    @property
    def number(self) -> int:
        """Of the issue or pull request in its path."""
        return int(next(part for part in self.path.split("/") if part.isdigit()))


@cache
def recordings() -> dict[str, list[Recorded]]:
    """Operation of ours → what was recorded of it."""
    sdist = os.environ.get("PERFSUITE_CASSETTES", "")
    if not Path(sdist).is_file():
        pytest.skip("PERFSUITE_CASSETTES does not name the sdist of github3.py 4.0.1")
    found: dict[str, list[Recorded]] = {line.strip(): [] for line in OPERATIONS.strip().splitlines()}
    patterns = {name: re.compile(re.sub(r"\{\w+\}", "[^/]+", name)) for name in found}
    for each in _all(Path(sdist)):
        for name, pattern in patterns.items():
            if pattern.fullmatch(f"{each.method} {each.path}"):
                found[name].append(each)
    return found


def _all(sdist: Path) -> Iterator[Recorded]:
    with tarfile.open(sdist) as archive:
        for member in archive:
            file = archive.extractfile(member) if _CASSETTES.fullmatch(member.name) else None
            for row in json.load(file)["http_interactions"] if file else ():
                yield _recorded(Path(member.name).stem, row)


def _recorded(cassette: str, row: Any) -> Recorded:
    request, answer = row["request"], row["response"]
    # Those of 2013 have another form.
    status = answer["status"]["code"] if "status" in answer else answer["status_code"]
    headers = {name: each if isinstance(each, str) else each[0] for name, each in answer["headers"].items()}
    body = answer["body"]
    packed = isinstance(body, dict) and body.get("base64_string")
    content = (
        base64.b64decode(packed) if packed else (body["string"] if isinstance(body, dict) else body).encode()
    )
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    path = request["uri"].removeprefix(_API).partition("?")[0]
    try:
        found = json.loads(content) if content else None
    except ValueError:
        found = content.decode(errors="replace")
    return Recorded(cassette, request["method"], path, status, headers, found)


class Replaying(BaseAdapter):
    """Answers with recordings, the next pages of a list with nothing; remembers what it was asked."""

    def __init__(self, *recorded: Recorded) -> None:
        super().__init__()
        self._recorded = recorded
        self.asked: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.asked.append(request)
        path = (request.path_url or "").partition("?")[0]
        found = next(r for r in self._recorded if (r.method, r.path) == (request.method, path))
        later = re.search(r"[?&]page=(?!1$|1&)", request.path_url)
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = found.status, request, request.url or ""
        answer.headers.update({} if later else found.headers)
        answer.headers.pop("Content-Encoding", None)
        answer._content = json.dumps([] if later else found.content).encode()
        return answer

    def close(self) -> None:
        """Nothing is open."""


def replaying(*recorded: Recorded, login: str | None = "octocat") -> tuple[GitHubHub, Replaying]:
    client = connect("token", _API, patient=False)
    adapter = Replaying(*recorded)
    client._session.mount(_API, adapter)
    repository = recorded[0].repository if recorded[0].path.startswith("/repos/") else "a/b"
    return GitHubHub(client, repository, login=login), adapter


def good(operation: str, at_least: int) -> list[Recorded]:
    found = [each for each in recordings()[operation] if each.status < 300]
    assert len(found) >= at_least
    return found


def test_pull_requests() -> None:
    for each in good("GET /repos/{owner}/{repo}/pulls/{pull_number}", 15):
        if isinstance(each.content, dict):
            _check_pull(replaying(each)[0].pull(each.number), each.content)
    for each in good("GET /repos/{owner}/{repo}/pulls", 2):
        found = replaying(each)[0].open_pulls()
        assert len(found) == len(each.content) > 0
        for pull, row in zip(found, each.content, strict=True):
            _check_pull(pull, row)


def _check_pull(pull: PullRequest, row: Any) -> None:
    assert (pull.number, pull.title, pull.author) == (row["number"], row["title"], row["user"]["login"])
    assert HEX.fullmatch(pull.head)
    assert HEX.fullmatch(pull.base)
    assert (pull.head_branch, pull.base_branch) == (row["head"]["ref"], row["base"]["ref"])
    assert pull.open is (row["state"] == "open")
    assert bool(pull.merged_as) is bool(row["merged_at"])
    assert pull.seen_at is not None


def test_comments() -> None:
    seen: list[Comment] = []
    for each in good("GET /repos/{owner}/{repo}/issues/{issue_number}/comments", 2):
        found = list(replaying(each)[0].comments(each.number))
        assert [(c.id, c.author) for c in found] == [(r["id"], r["user"]["login"]) for r in each.content]
        seen += found
    for each in good("POST /repos/{owner}/{repo}/issues/{issue_number}/comments", 2):
        seen.append(replaying(each)[0].create_comment(each.number, "body"))
        assert seen[-1].pull == each.number
    assert all(comment.pull and comment.url.startswith("https://github.com/") for comment in seen)
    assert all(comment.created_at and comment.updated_at for comment in seen)
    assert all(comment.created_at.tzinfo for comment in seen if comment.created_at)


def test_events() -> None:
    seen: list[Event] = []
    for each in good("GET /repos/{owner}/{repo}/issues/{issue_number}/events", 1):
        seen += replaying(each)[0].events(each.number)
    assert all(event.id and event.kind and event.at.tzinfo for event in seen)
    assert len({event.kind for event in seen}) > 1


def test_issues() -> None:
    seen: list[Issue] = []
    for each in good("GET /repos/{owner}/{repo}/issues", 2):
        for login in {row["user"]["login"] for row in each.content}:
            found = replaying(each, login=login)[0].issues("label")
            own = [row for row in each.content if row["user"]["login"] == login and "pull_request" not in row]
            assert [issue.number for issue in found] == [row["number"] for row in own]
            seen += found
    assert seen
    for each in good("POST /repos/{owner}/{repo}/issues", 3):
        assert replaying(each)[0].create_issue("t", "b", "l").number == each.content["number"]
    for each in good("PATCH /repos/{owner}/{repo}/issues/{issue_number}", 3):
        replaying(each)[0].change_issue(each.number, open=False)
    each = good("DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}", 1)[0]
    replaying(each)[0].remove_label(each.number, unquote(each.path.rpartition("/")[2]))


def test_the_repository_and_who_we_are() -> None:
    each = good("GET /repos/{owner}/{repo}", 10)[0]
    hub = replaying(each)[0]
    assert hub.default_branch() == each.content["default_branch"]
    assert hub.clone_url() == each.content["clone_url"]
    me = good("GET /user", 1)[0]
    assert replaying(me, login=None)[0].author() == me.content["login"]


def test_check_runs() -> None:
    listed = good("GET /repos/{owner}/{repo}/commits/{ref}/check-runs", 2)[0]
    row = listed.content["check_runs"][0]
    # In the preview of 2019, an App had no short name yet.
    row["app"].setdefault("slug", "perf-app")
    changed = good("PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}", 2)[0]
    path = f"/repos/{listed.repository}/check-runs/{row['id']}"
    answer = Recorded(changed.cassette, "PATCH", path, changed.status, changed.headers, changed.content)
    head = listed.path.split("/")[-2]
    check = Check(row["name"], head, row["external_id"], CheckState.DONE, "neutral", "title", "summary")
    hub, adapter = replaying(listed, answer, login=f"{row['app']['slug']}[bot]")
    hub.publish_check(check)
    assert [request.method for request in adapter.asked] == ["GET", "PATCH"]


def test_check_runs_and_statuses_that_are_made() -> None:
    made = good("POST /repos/{owner}/{repo}/check-runs", 2)[0]
    head = made.content["head_sha"]
    path = f"/repos/{made.repository}/commits/{head}/check-runs"
    none = Recorded("", "GET", path, 200, {}, {"total_count": 0, "check_runs": []})
    hub, adapter = replaying(made, none)
    hub.publish_check(Check("n", head, "1", CheckState.QUEUED, None, "title"))
    assert [request.method for request in adapter.asked] == ["GET", "POST"]

    status = good("POST /repos/{owner}/{repo}/statuses/{sha}", 1)[0]
    sha = status.path.rpartition("/")[2]
    rows = good("GET /repos/{owner}/{repo}/commits/{ref}/statuses", 1)[0].content
    there = Recorded("", "GET", f"/repos/{status.repository}/commits/{sha}/statuses", 200, {}, rows)
    client_hub, adapter = replaying(status, there)
    client_hub._checks = False
    client_hub.publish_check(Check("n", sha, "1", CheckState.DONE, "success", "title"))
    assert [request.method for request in adapter.asked] == ["GET", "POST"]


def test_refusals_are_told_in_githubs_words() -> None:
    refused = [each for found in recordings().values() for each in found if each.status == 422]
    assert refused
    for each in refused:
        act: Callable[[GitHubHub], object] = (
            (lambda hub: hub.create_issue("t", "b", "l"))
            if each.method == "POST"
            else (lambda hub, number=each.number: hub.change_issue(number, open=True))
        )
        with pytest.raises(UsageError, match=re.escape(each.content["message"])):
            act(replaying(each)[0])
