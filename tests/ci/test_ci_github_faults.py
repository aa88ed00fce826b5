"""GitHub in trouble, or refusing: what is repeated, what is told, what is never sent twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fakehub import FakeGitHub, sha_of

from ci.comment import MARKER
from ci.github import ACTIONS_AUTHOR, GitHubHub, connect
from ci.hub import Comment, HubBusy
from ci.post import Action, PullComments, upsert
from perfsuite.errors import MachineError, UsageError

BODY = f"{MARKER}\nNothing got slower.\n"
SECRET = "ghp_topSecret123"


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(token=SECRET) as fake:
        fake.open_pull("topic", number=7)
        yield fake


@pytest.fixture
def hub(github: FakeGitHub) -> GitHubHub:
    """A service's: impatient."""
    return GitHubHub(connect(SECRET, github.url, patient=False), "acme/kernels")


def patient(github: FakeGitHub) -> GitHubHub:
    return GitHubHub(connect(SECRET, github.url), "acme/kernels", login="perf-bot")


def test_asking_again_for_what_did_not_change_costs_no_limit(github: FakeGitHub, hub: GitHubHub) -> None:
    for _ in range(3):
        hub.open_pulls()
        list(hub.comments(7))
    assert [r.status for r in github.requests] == [200, 200, 304, 304, 304, 304]
    assert github.remaining == 4998


def test_an_answer_from_memory_has_githubs_time_of_now(github: FakeGitHub, hub: GitHubHub) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    github.clock.set(noon)
    hub.pull(7)
    github.clock.advance(90)
    assert hub.pull(7).seen_at == noon + timedelta(seconds=90)
    assert github.requests[-1].status == 304
    github.push(7, sha_of("new"))
    assert hub.pull(7).head == sha_of("new")


def test_pages_are_read_from_memory_too(github: FakeGitHub, hub: GitHubHub) -> None:
    for i in range(250):
        github.comment(7, "bob", str(i))
    assert len(list(hub.comments(7))) == 250
    assert [c.body for c in hub.comments(7)] == [str(i) for i in range(250)]
    assert [r.status for r in github.requests] == [200] * 3 + [304] * 3
    github.comment(7, "bob", "one more")
    assert [c.body for c in hub.comments(7)][-1] == "one more"


def test_memory_for_answers_has_a_limit(
    github: FakeGitHub, hub: GitHubHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.github.client._MOST_REMEMBERED", 40_000)
    for number in (1, 2, 3):
        github.open_pull("other", number=number)
    for _ in range(2):
        for number in (1, 2, 3, 3):
            assert hub.pull(number).number == number
    # Each takes some 14 kB: only what was asked last is there still.
    assert [r.status for r in github.requests] == [200, 200, 200, 304] * 2
    assert hub._client._remembered_bytes <= 40_000


def test_the_token_of_an_actions_job_writes_as_the_actions_bot(github: FakeGitHub, hub: GitHubHub) -> None:
    github.actions = True
    assert hub.author() == ACTIONS_AUTHOR
    assert hub.create_comment(7, "x").author == ACTIONS_AUTHOR


def test_a_rate_limit_while_asking_who_we_are_writes_nothing(github: FakeGitHub, hub: GitHubHub) -> None:
    github.use_up_rate_limit()
    comments = PullComments(GitHubHub(connect(SECRET, github.url), "acme/kernels"), 7)
    # The list is a generator: the login is asked for first.
    with pytest.raises(MachineError, match="rate limit"):
        upsert(comments, BODY)
    assert not github.comments


def test_how_long_to_wait_is_told(github: FakeGitHub, hub: GitHubHub) -> None:
    github.use_up_rate_limit(reset_in_s=1800)
    with pytest.raises(HubBusy) as primary:
        hub.pull(7)
    assert primary.value.retry_after_s == pytest.approx(1800, abs=5)
    github.recover()
    github.fail(403, retry_after_s=42)
    with pytest.raises(HubBusy) as secondary:
        hub.pull(7)
    assert secondary.value.retry_after_s == 42
    github.fail(429, retry_after_s=7)
    with pytest.raises(HubBusy) as limited:
        hub.create_comment(7, "x")
    assert limited.value.retry_after_s == 7
    # GitHub does not say how long; its guide asks for a minute at least.
    github.fail(403)
    with pytest.raises(HubBusy) as silent:
        hub.create_comment(7, "x")
    assert silent.value.retry_after_s == 60
    assert not github.comments


@pytest.mark.parametrize("what", [502, 429, "cut"])
def test_passing_server_trouble_is_waited_out(github: FakeGitHub, what: int | str) -> None:
    github.fail(what, retry_after_s=0)
    assert patient(github).pull(7).number == 7


@pytest.mark.parametrize("what", [502, 503, "cut"])
def test_a_failed_post_is_not_repeated(github: FakeGitHub, what: int | str) -> None:
    github.fail(what, times=None)
    with pytest.raises(HubBusy):
        patient(github).create_comment(7, BODY)
    assert len(github.requests) == 1


def test_a_post_whose_answer_was_lost_is_found_by_the_next_upsert(github: FakeGitHub) -> None:
    github.fail("lost", method="POST")
    comments = PullComments(GitHubHub(connect(SECRET, github.url), "acme/kernels"), 7)
    with pytest.raises(HubBusy):
        upsert(comments, BODY)
    assert upsert(comments, BODY).action is Action.UNCHANGED
    assert len(github.our_comments(7)) == 1


def test_lasting_server_trouble_is_named(github: FakeGitHub, hub: GitHubHub) -> None:
    github.fail(503, times=None)
    with pytest.raises(HubBusy, match="503"):
        hub.pull(7)
    github.recover()
    assert hub.pull(7).number == 7


def test_a_server_that_is_away_and_comes_back(github: FakeGitHub, hub: GitHubHub) -> None:
    assert hub.pull(7).number == 7
    github.go_down()
    with pytest.raises(HubBusy, match="not reachable"):
        hub.pull(7)
    github.come_up()
    assert hub.pull(7).number == 7


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda hub: list(hub.comments(8)), "issues/8/comments: not there"),
        (lambda hub: hub.create_comment(7, "x" * 65_537), "with 422: Validation Failed"),
        (lambda hub: hub.create_comment(7, " "), "422"),
    ],
)
def test_refusals_are_named_with_what_to_check(hub: GitHubHub, act: object, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        act(hub)  # type: ignore[operator]
    assert caught.value.next_step


def test_another_repository_and_a_stale_token_are_named(github: FakeGitHub) -> None:
    with pytest.raises(UsageError, match="acme/other"):
        GitHubHub(connect(SECRET, github.url), "acme/other").default_branch()
    with pytest.raises(UsageError, match="does not accept the token"):
        GitHubHub(connect("stale", github.url), "acme/kernels").default_branch()


def test_somebody_elses_comment_is_not_ours_to_edit(github: FakeGitHub, hub: GitHubHub) -> None:
    id = github.comment(7, "alice", "hers")
    with pytest.raises(UsageError, match="may not PATCH"):
        hub.edit_comment(Comment(id, "alice", "hers"), "mine")
    assert github.comments[id].body == "hers"


def test_a_token_that_may_only_read_is_told_the_permission(github: FakeGitHub, hub: GitHubHub) -> None:
    needed = {"X-Accepted-GitHub-Permissions": "issues=write; pull_requests=write"}
    github.fail(403, message="Resource not accessible by personal access token", headers=needed)
    with pytest.raises(UsageError, match="may not POST") as caught:
        hub.create_comment(7, BODY)
    assert "pull_requests=write" in caught.value.next_step


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_that_is_not_the_api_is_named(github: FakeGitHub, hub: GitHubHub, kind: str) -> None:
    github.fail(200, message="<html>a proxy's login page</html>", headers={"Content-Type": kind})
    with pytest.raises(HubBusy, match="did not answer with"):
        hub.open_pulls()


def test_an_unreachable_server_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        hub = GitHubHub(connect(SECRET, url, patient=False), "acme/kernels")
        with pytest.raises(HubBusy, match=r"not reachable.*refused"):
            hub.default_branch()


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match="not an address"):
        GitHubHub(connect(SECRET, "https://exa mple.com:x", patient=False), "acme/kernels").default_branch()


def test_a_token_is_never_sent_in_clear_to_another_machine() -> None:
    with pytest.raises(UsageError, match="not https"):
        connect("secret", "http://github.example.com/api/v3")


def test_no_error_and_no_value_tells_the_token(github: FakeGitHub, hub: GitHubHub) -> None:
    told = [repr(hub), repr(vars(hub)), repr(hub._client.credentials)]
    for what in (401, 403, 404, 422, 429, 500, "cut"):
        github.fail(what, times=4)
        with pytest.raises(Exception) as caught:
            hub.create_comment(7, BODY)
        github.recover()
        told += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert not [text for text in told if SECRET in text]
