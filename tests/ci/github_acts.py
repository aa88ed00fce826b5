"""All that the hub can be asked, method by method: what the proofs against GitHub's description walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fakehub import FakeGitHub, sha_of
from github_app_keys import make_key, public_of

from ci.github import Client, GitHubHub, connect, connect_app
from ci.hub import Annotation, Check, CheckState, Comment, Reaction
from ci.post import PullComments, upsert

HEAD = sha_of("head")
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
RUN = Check("perfsuite", HEAD, "job-1", CheckState.RUNNING, None, "measuring 3/40", "so far")
DONE = Check(
    "perfsuite",
    HEAD,
    "job-1",
    CheckState.DONE,
    "failure",
    "2 kernels slower",
    "summary",
    "```json\n{}\n```",
    details_url="https://example.com/1",
)
MANY = tuple(Annotation("kernels/a.py", i + 1, i + 9, "failure", "slower", "why") for i in range(60))

Act = Callable[[GitHubHub, FakeGitHub], object]


def _checks(state: CheckState, *conclusions: str | None) -> Act:
    def act(hub: GitHubHub, github: FakeGitHub) -> None:
        for conclusion in conclusions:
            title = f"{state} {conclusion}"
            hub.publish_check(replace(DONE, state=state, conclusion=conclusion, title=title))

    return act


def _on_comment(act: Callable[[GitHubHub, Comment], object]) -> Act:
    return lambda hub, github: act(hub, Comment(github.comment(7, github.us, "old"), github.us, "old"))


def _on_issue(**changes: Any) -> Act:
    return lambda hub, github: hub.change_issue(github.open_issue("An alert", github.us), **changes)


def _on_surplus(hub: GitHubHub, github: FakeGitHub) -> None:
    for _ in range(2):
        github.comment(7, github.us, "<!-- perfsuite:comment -->\nold")
    upsert(PullComments(hub, 7), "<!-- perfsuite:comment -->\nnew")


ACTS: dict[str, tuple[Act, ...]] = {
    "repository": (lambda hub, github: hub.repository,),
    "author": (lambda hub, github: hub.author(),),
    "clone_url": (lambda hub, github: hub.clone_url(),),
    "git_header": (lambda hub, github: hub.git_header(),),
    "default_branch": (lambda hub, github: hub.default_branch(),),
    "branch": (
        lambda hub, github: hub.branch("main"),
        lambda hub, github: (github.push_branch("release/1.0 b", HEAD), hub.branch("release/1.0 b")),
    ),
    "open_pulls": (
        lambda hub, github: hub.open_pulls(),
        lambda hub, github: (
            github.open_pull("x", author=None, head_repository="bob/k", labels=["a"]),
            github.delete_fork(7),
            hub.open_pulls(),
        ),
    ),
    "pull": (
        lambda hub, github: hub.pull(7),
        lambda hub, github: (github.merge(7), hub.pull(7)),
    ),
    "comments": (
        lambda hub, github: list(hub.comments(7)),
        lambda hub, github: (
            [github.comment(7, "bob" if i % 9 else None, "x") for i in range(101)],
            list(hub.comments(7)),
            list(hub.comments(7)),
        ),
    ),
    "recent_comments": (lambda hub, github: (github.comment(7, "b", "x"), list(hub.recent_comments(SINCE))),),
    "create_comment": (lambda hub, github: hub.create_comment(7, "text\n"), _on_surplus),
    "edit_comment": (_on_comment(lambda hub, comment: hub.edit_comment(comment, "new")),),
    "delete_comment": (_on_comment(lambda hub, comment: hub.delete_comment(comment)),),
    "react": tuple(
        _on_comment(lambda hub, comment, each=each: hub.react(comment.id, each))  # type: ignore[misc]
        for each in Reaction
    ),
    "may_write": (
        lambda hub, github: hub.may_write("alice"),
        lambda hub, github: hub.may_write("dependabot[bot]"),
    ),
    "events": (
        lambda hub, github: (
            github.label(7, "x"),
            github.push(7, sha_of("other"), forced=True),
            github.unlabel(7, "x"),
            github.close(7),
            github.reopen(7),
            hub.events(7),
        ),
    ),
    "remove_label": (lambda hub, github: (github.label(7, "a: b/c"), hub.remove_label(7, "a: b/c")),),
    "publish_check": (
        _checks(CheckState.QUEUED, None),
        _checks(CheckState.RUNNING, None),
        _checks(CheckState.DONE, "success", "failure", "neutral", "cancelled"),
        lambda hub, github: hub.publish_check(RUN),
        lambda hub, github: hub.publish_check(replace(DONE, annotations=MANY)),
        lambda hub, github: hub.publish_check(replace(DONE, annotations=MANY, title="again")),
    ),
    "issues": (
        lambda hub, github: (github.open_issue("a", labels=["perf-alert"]), hub.issues("perf-alert")),
    ),
    "create_issue": (lambda hub, github: hub.create_issue("Title", "body", "perf-alert"),),
    "change_issue": (
        _on_issue(body="new"),
        _on_issue(open=False),
        _on_issue(open=True),
        _on_issue(open=True, body="b"),
    ),
}
"""Method of the hub → all that it may be asked."""

ACCOUNTS = ("person", "actions", "app")
_KEY = make_key()


@contextmanager
def account_of(kind: str) -> Iterator[FakeGitHub]:
    """A GitHub with pull request 7, as one kind of account knows it."""
    public = public_of(_KEY) if kind == "app" else ""
    with FakeGitHub(actions=kind == "actions", app_public_key=public) as github:
        if kind == "app":
            github.login = f"{github.app_slug}[bot]"
        github.open_pull("topic", HEAD, number=7)
        yield github


def client_of(kind: str, url: str) -> Client:
    if kind == "app":
        return connect_app("4242", _KEY, "acme/kernels", url)
    return connect("good-token", url, patient=False)
