"""The hub over the real github3.py and real HTTP, against a GitHub of ours that keeps state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakehub import FakeGitHub, sha_of

from ci.comment import MARKER
from ci.github import GitHubHub, connect
from ci.hub import Comment, Gone, Hub, Issue, PullRequest, Reaction
from ci.post import Action, PullComments, upsert
from perfsuite.errors import UsageError

BODY = f"{MARKER}\nNothing got slower.\n"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as fake:
        fake.clock.set(NOON)
        fake.open_pull("topic", number=7)
        yield fake


@pytest.fixture
def hub(github: FakeGitHub) -> GitHubHub:
    return GitHubHub(connect("good-token", github.url, patient=False), "acme/kernels")


def test_it_is_a_hub(hub: GitHubHub) -> None:
    assert isinstance(hub, GitHubHub)
    whole: Hub = hub
    assert whole.repository == "acme/kernels"


def test_a_pull_request_with_everything(github: FakeGitHub, hub: GitHubHub) -> None:
    number = github.open_pull("fix/a b", sha_of("head"), title="T", draft=True, labels=["a"])
    assert hub.pull(number) == PullRequest(
        number=number,
        title="T",
        author="alice",
        head=sha_of("head"),
        head_branch="fix/a b",
        head_repository="acme/kernels",
        base_branch="main",
        base=sha_of("main"),
        open=True,
        draft=True,
        labels=("a",),
        seen_at=NOON,
    )


def test_a_deleted_fork_and_a_deleted_author_leave_none(github: FakeGitHub, hub: GitHubHub) -> None:
    number = github.open_pull("topic", author="mallory", head_repository="mallory/kernels")
    assert hub.pull(number).foreign("acme/kernels")
    github.delete_fork(number)
    github.delete_account("mallory")
    pull = hub.pull(number)
    assert (pull.author, pull.head_repository) == (None, None)
    assert pull.foreign("acme/kernels")


def test_merged_is_told_from_closed(github: FakeGitHub, hub: GitHubHub) -> None:
    other = github.open_pull("other")
    merged_as = github.merge(7)
    github.close(other)
    assert (hub.pull(7).open, hub.pull(7).merged_as) == (False, merged_as)
    assert (hub.pull(other).open, hub.pull(other).merged_as) == (False, None)
    assert hub.branch("main") == merged_as


def test_open_pull_requests_over_all_pages_oldest_first(github: FakeGitHub, hub: GitHubHub) -> None:
    numbers = [7, *(github.open_pull(f"b{i}") for i in range(104))]
    github.close(numbers[50])
    found = hub.open_pulls()
    assert sorted(p.number for p in found) == sorted({*numbers} - {numbers[50]})
    assert [p.number for p in found] == sorted(p.number for p in found)
    assert {p.seen_at for p in found} == {NOON}


def test_what_is_not_there_is_gone(hub: GitHubHub) -> None:
    with pytest.raises(Gone):
        hub.pull(99)
    with pytest.raises(Gone):
        hub.branch("never")
    with pytest.raises(Gone):
        hub.edit_comment(Comment(5, "perf-bot", "x"), "y")


def test_the_repository(github: FakeGitHub, hub: GitHubHub) -> None:
    github.push_branch("release/1.0", sha_of("r"))
    assert hub.default_branch() == "main"
    assert hub.clone_url() == "https://github.com/acme/kernels.git"
    assert hub.branch("release/1.0") == sha_of("r")
    assert hub.git_header() == "Authorization: Basic eC1hY2Nlc3MtdG9rZW46Z29vZC10b2tlbg=="


def test_comments_are_read_with_their_pull_request_and_times(github: FakeGitHub, hub: GitHubHub) -> None:
    first = github.comment(7, "alice", "/perf help\nplease")
    github.clock.advance(60)
    github.edit_comment(first, "changed")
    (comment,) = hub.comments(7)
    assert (comment.id, comment.author, comment.pull) == (first, "alice", 7)
    assert (comment.created_at, comment.updated_at) == (NOON, NOON + timedelta(minutes=1))
    assert comment.url.endswith(f"/pull/7#issuecomment-{first}")


def test_recent_comments_of_the_whole_repository(github: FakeGitHub, hub: GitHubHub) -> None:
    old = github.comment(7, "alice", "old")
    edited = github.comment(7, "bob", "first")
    github.clock.advance(100)
    issue = github.open_issue("An issue")
    new = github.comment(issue, "bob", "new")
    github.clock.advance(1)
    github.edit_comment(edited, "second")
    found = [(c.id, c.pull) for c in hub.recent_comments(NOON + timedelta(seconds=100))]
    assert found == [(new, issue), (edited, 7)]
    assert old not in dict(found)


def test_our_comment_is_found_on_a_late_page_behind_a_deleted_account(github: FakeGitHub) -> None:
    for number in range(230):
        github.comment(7, None if number % 50 == 0 else "reviewer", f"{MARKER} quoted {number}")
    ours = github.comment(7, "perf-bot", BODY)
    github.comment(7, "reviewer", "thanks")
    comments = PullComments(GitHubHub(connect("good-token", github.url), "acme/kernels"), 7)
    assert upsert(comments, BODY + "more").comment.id == ours
    assert github.comments[ours].body == BODY + "more"


def test_the_first_post_creates_and_the_next_edits_the_same_comment(github: FakeGitHub) -> None:
    comments = PullComments(GitHubHub(connect("good-token", github.url), "acme/kernels"), 7)
    first = upsert(comments, BODY)
    second = upsert(comments, BODY + "Something did.\n")
    third = upsert(comments, BODY + "Something did.\n")
    assert [p.action for p in (first, second, third)] == [Action.CREATED, Action.EDITED, Action.UNCHANGED]
    assert [c.body for c in github.our_comments(7)] == [BODY + "Something did.\n"]
    assert [r.method for r in github.writes()] == ["POST", "PATCH"]


def test_surplus_comments_are_deleted_there(github: FakeGitHub) -> None:
    older, newer = (github.comment(7, "perf-bot", BODY) for _ in range(2))
    comments = PullComments(GitHubHub(connect("good-token", github.url), "acme/kernels"), 7)
    assert upsert(comments, BODY).comment.id == older
    assert newer not in github.comments


def test_reactions_may_be_repeated_and_the_comment_gone(github: FakeGitHub, hub: GitHubHub) -> None:
    id = github.comment(7, "alice", "/perf run")
    hub.react(id, Reaction.SEEN)
    hub.react(id, Reaction.SEEN)
    hub.react(id, Reaction.LIKED)
    assert github.reactions(id) == ["eyes", "+1"]
    github.delete_comment(id)
    hub.react(id, Reaction.DONE)


@pytest.mark.parametrize(
    ("role", "may"),
    [("admin", True), ("maintain", True), ("write", True), ("triage", False), ("read", False), (None, False)],
)
def test_who_may_write(github: FakeGitHub, hub: GitHubHub, role: str | None, may: bool) -> None:
    if role is not None:
        github.permissions["carol"] = role
    assert hub.may_write("carol") is may


def test_odd_and_deleted_logins_may_not_write(github: FakeGitHub, hub: GitHubHub) -> None:
    github.delete_account("gone")
    assert not hub.may_write("gone")
    assert not hub.may_write("dependabot[bot]")
    assert not hub.may_write("../../x")


def test_rights_that_are_taken_away_count_at_once(github: FakeGitHub, hub: GitHubHub) -> None:
    github.permissions["carol"] = "write"
    assert hub.may_write("carol")
    del github.permissions["carol"]
    assert not hub.may_write("carol")


def test_events_say_who_and_when(github: FakeGitHub, hub: GitHubHub) -> None:
    github.label(7, "perf-approved", by="carol")
    github.clock.advance(5)
    github.push(7, sha_of("rewritten"), forced=True)
    github.unlabel(7, "perf-approved", by="gone")
    github.delete_account("gone")
    found = hub.events(7)
    assert [(e.kind, e.actor, e.label) for e in found] == [
        ("labeled", "carol", "perf-approved"),
        ("head_ref_force_pushed", "alice", ""),
        ("unlabeled", None, "perf-approved"),
    ]
    assert [e.at for e in found] == [NOON, NOON + timedelta(seconds=5), NOON + timedelta(seconds=5)]


def test_a_label_is_removed_and_may_be_away_already(github: FakeGitHub, hub: GitHubHub) -> None:
    github.label(7, "perf: run/all")
    hub.remove_label(7, "perf: run/all")
    hub.remove_label(7, "perf: run/all")
    assert github.items[7].labels == []


def test_issues_that_we_wrote(github: FakeGitHub, hub: GitHubHub) -> None:
    github.open_issue("Theirs", labels=["perf-alert"])
    github.label(7, "perf-alert")
    made = hub.create_issue("Ours " + "x" * 300, "text\nmore", "perf-alert")
    assert made.title == ("Ours " + "x" * 300)[:256]
    assert hub.issues("perf-alert") == [replace(made, body="text\r\nmore")]
    hub.change_issue(made.number, body="other")
    hub.change_issue(made.number, open=False)
    assert hub.issues("perf-alert") == []
    assert (github.items[made.number].body, github.items[made.number].open) == ("other", False)
    hub.change_issue(made.number, open=True)
    assert hub.issues("perf-alert") == [Issue(made.number, "perf-bot", made.title, "other", True)]
    hub.change_issue(made.number)
    assert len([r for r in github.writes() if r.method == "PATCH"]) == 3


@pytest.mark.parametrize(
    "repository", ["kernels", "acme/kernels/issues", "acme/../user", "acme/k?x=1", "../user", "acme/.."]
)
def test_what_is_not_a_repository_is_refused(repository: str) -> None:
    with pytest.raises(UsageError, match="not a repository"):
        PullComments(GitHubHub(connect("t", "http://127.0.0.1:1"), repository), 1)


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(UsageError, match="not a pull request"):
        PullComments(GitHubHub(connect("t", "http://127.0.0.1:1"), "acme/kernels"), 0)
