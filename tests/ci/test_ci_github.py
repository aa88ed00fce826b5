"""The comment over the real github3.py and real HTTP, against a GitHub of ours that keeps state."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from fake_github import FakeGitHub

from ci.comment import MARKER
from ci.github import PullRequestComments, connect
from ci.post import Action, upsert
from perfsuite.errors import MachineError, UsageError

BODY = f"{MARKER}\nNothing got slower.\n"


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as fake:
        yield fake


def comments(
    github: FakeGitHub, *, token: str = "good-token", repository: str = "acme/kernels", number: int = 7
) -> PullRequestComments:
    return PullRequestComments(connect(token, github.url), repository, number)


def test_the_first_post_creates_and_the_next_edits_the_same_comment(github: FakeGitHub) -> None:
    first = upsert(comments(github), BODY)
    second = upsert(comments(github), BODY + "Something did.\n")
    assert (first.action, second.action) == (Action.CREATED, Action.EDITED)
    assert second.comment.id == first.comment.id
    assert len(github.comments) == 1
    assert "Something did." in github.comments[first.comment.id]["body"]


def test_an_unchanged_report_sends_no_edit(github: FakeGitHub) -> None:
    upsert(comments(github), BODY)
    upsert(comments(github), BODY + "more\n")
    github.requests.clear()
    assert upsert(comments(github), BODY + "more\n").action is Action.UNCHANGED
    assert not [request for request in github.requests if request.startswith(("POST", "PATCH"))]


def test_our_comment_is_found_on_a_late_page_behind_a_deleted_account(github: FakeGitHub) -> None:
    for number in range(230):
        github.add(None if number % 50 == 0 else "reviewer", f"{MARKER} quoted {number}")
    ours = github.add("perf-bot", BODY)
    github.add("reviewer", "thanks")
    assert upsert(comments(github), BODY + "more").comment.id == ours


def test_the_token_of_an_actions_job_writes_as_the_actions_bot(github: FakeGitHub) -> None:
    github.app = True
    first = upsert(comments(github), BODY)
    again = upsert(comments(github), BODY + "more")
    assert again.comment.id == first.comment.id
    assert again.action is Action.EDITED


def test_a_rate_limit_while_asking_who_we_are_writes_nothing(github: FakeGitHub) -> None:
    github.answers_first = [(403, {"message": "API rate limit exceeded"}, {"X-RateLimit-Remaining": "0"})]
    # The list is a generator: the login is asked for first.
    with pytest.raises(MachineError, match="rate limit"):
        upsert(comments(github), BODY)
    assert not github.comments


def test_passing_server_trouble_is_waited_out(github: FakeGitHub) -> None:
    busy = (502, {"message": "Bad Gateway"}, {})
    limited = (429, {"message": "slow down"}, {"Retry-After": "0"})
    github.answers_first = [busy, limited]
    assert upsert(comments(github), BODY).action is Action.CREATED


def test_a_failed_post_is_not_repeated(github: FakeGitHub) -> None:
    talk = comments(github)
    github.answers_first = [(502, {"message": "Bad Gateway"}, {})]
    with pytest.raises(MachineError, match="502"):
        talk.create(BODY)
    assert len(github.requests) == 1


def test_lasting_server_trouble_is_named(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.github._RETRIES", 1)
    github.answers_first = [(503, {"message": "down"}, {})] * 5
    with pytest.raises(MachineError, match="503"):
        upsert(comments(github), BODY)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"token": "stale"}, "does not accept the token"),
        ({"repository": "acme/other"}, "no pull request #7 in acme/other"),
        ({"number": 8}, "no pull request #8 in acme/kernels"),
    ],
)
def test_refusals_are_named_with_what_to_check(
    github: FakeGitHub, arguments: dict[str, object], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        upsert(comments(github, **arguments), BODY)  # type: ignore[arg-type]
    assert caught.value.next_step


def test_a_token_that_may_only_read_is_told_the_permission(github: FakeGitHub) -> None:
    talk = comments(github)
    talk.author()
    github.answers_first = [(403, {"message": "Resource not accessible by personal access token"}, {})]
    with pytest.raises(UsageError, match="may not comment"):
        talk.create(BODY)


def test_an_unreachable_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.github._RETRIES", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(MachineError, match="not reachable"):
        upsert(PullRequestComments(connect("t", url), "acme/kernels", 7), BODY)


def test_a_page_that_is_not_the_api_is_named(github: FakeGitHub) -> None:
    github.answers_first = [(200, "<html>a proxy's login page</html>", {"Content-Type": "text/html"})]
    with pytest.raises(MachineError, match="did not answer with JSON"):
        upsert(comments(github), BODY)


def test_a_token_is_never_sent_in_clear_to_another_machine() -> None:
    with pytest.raises(UsageError, match="not https"):
        connect("secret", "http://github.example.com/api/v3")


@pytest.mark.parametrize(
    "repository", ["kernels", "acme/kernels/issues", "acme/../user", "acme/k?x=1", "../user", "acme/.."]
)
def test_what_is_not_a_repository_is_refused(repository: str) -> None:
    with pytest.raises(UsageError, match="not a repository"):
        PullRequestComments(connect("t", "http://127.0.0.1:1"), repository, 1)
