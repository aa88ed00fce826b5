"""Prism before our stateful GitHub: what goes there and what comes back are both valid by the description.

So the fake may be believed where other tests rest on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from fakehub import FakeGitHub, Request
from fakehub.answers import Answer
from fakehub.records import Fault
from github_acts import ACCOUNTS, ACTS, DONE, HEAD, RUN, account_of, client_of
from github_description import node_modules, prism

from ci.comment import MARKER
from ci.github import GitHubHub
from ci.hub import Reaction
from ci.post import Action, PullComments, upsert

PACKAGES = ("@octokit/openapi", "@stoplight/prism-cli")
_DELETED_FORK = ["head", "repo"]
"""The description wants an object there; GitHub answers null where the fork is gone."""


class Relay:
    """One Prism for all tests here: it stands before a fixed address, at which each test's GitHub answers."""

    def __init__(self, github: FakeGitHub, url: str) -> None:
        self.front = github
        self.url = url
        self.violations: list[Any] = []

    def hub(self, kind: str, github: FakeGitHub) -> GitHubHub:
        self.front.now = github
        self.violations.clear()
        client = client_of(kind, self.url)
        client._session.hooks["response"].append(self._look)
        return GitHubHub(client, "acme/kernels")

    def _look(self, response: requests.Response, **_: Any) -> None:
        told = json.loads(response.headers.get("sl-violations", "[]"))
        request = f"{response.request.method} {response.request.path_url}"
        # A warning: the description does not list the answer's status, such as a 403.
        wrong = [each for each in told if each["severity"] == "Error"]
        wrong = [each for each in wrong if each["location"][-2:] != _DELETED_FORK]
        self.violations += [(request, response.status_code, each) for each in wrong]


class Front(FakeGitHub):
    """The address that Prism knows; `now` is who answers there."""

    now: FakeGitHub

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        # Prism breaks on a 304: everything is answered in full.
        headers = {name: value for name, value in request.headers.items() if name != "if-none-match"}
        return self.now.answer(replace(request, headers=headers))


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    modules = node_modules(*PACKAGES)
    folder = tmp_path_factory.mktemp("proxy")
    with Front() as front:
        front.now = front
        with prism(modules, folder, upstream=front.url) as url:
            yield Relay(front, url)


@pytest.mark.parametrize("kind", ACCOUNTS)
def test_all_that_the_hub_does_is_valid_both_ways(relay: Relay, kind: str) -> None:
    for acts in ACTS.values():
        with account_of(kind) as github:
            hub = relay.hub(kind, github)
            for act in acts:
                act(hub, github)
            assert relay.violations == []


def test_the_life_of_a_pull_request(relay: Relay) -> None:
    with account_of("actions") as github:
        hub = relay.hub("actions", github)
        comments = PullComments(hub, 7)
        github.permissions["alice"] = "write"
        actions = [upsert(comments, f"{MARKER}\n{text}").action for text in ("queued", "running", "running")]
        hub.publish_check(RUN)
        asked = github.comment(7, "alice", "/perf accept x reason")
        assert [c.id for c in hub.comments(7) if c.body.startswith("/perf")] == [asked]
        assert hub.may_write("alice")
        hub.react(asked, Reaction.SEEN)
        hub.publish_check(DONE)
        github.merge(7)
        merged = hub.pull(7)
        assert relay.violations == []
        assert actions == [Action.CREATED, Action.EDITED, Action.UNCHANGED]
        assert [c.body for c in github.our_comments(7)] == [f"{MARKER}\nrunning"]
        assert [run.conclusion for run in github.checks(HEAD)] == ["failure"]
        assert hub.branch("main") == merged.merged_as


def test_a_wrong_answer_and_a_wrong_request_are_seen(relay: Relay) -> None:
    with account_of("person") as github:
        hub = relay.hub("person", github)
        github.fail(201, method="POST", message="not a status")
        with pytest.raises(Exception):  # noqa: B017 (whatever our reading makes of it)
            hub._send("POST", f"/statuses/{HEAD}", {"state": "neutral"})
            raise ValueError("nothing was read")
        told = [each["location"][0] for _, _, each in relay.violations]
        assert {"request", "response"} <= set(told)
