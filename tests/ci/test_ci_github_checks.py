"""Checks: runs where the token may write them, statuses where not, and GitHub's limits on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakehub import FakeGitHub, sha_of
from hypothesis import given
from hypothesis import strategies as st

from ci.github import GitHubHub, connect
from ci.github.checks import cut
from ci.hub import Annotation, Check, CheckState
from perfsuite.errors import UsageError

HEAD = sha_of("head")
RUNNING = Check("perfsuite", HEAD, "job-1", CheckState.RUNNING, None, "measuring 3/40", "so far")
DONE = replace(RUNNING, state=CheckState.DONE, conclusion="failure", title="2 kernels slower", summary="s")


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(actions=True) as fake:
        yield fake


@pytest.fixture
def hub(github: FakeGitHub) -> GitHubHub:
    return GitHubHub(connect("good-token", github.url, patient=False), "acme/kernels")


def notes(count: int) -> tuple[Annotation, ...]:
    return tuple(Annotation("kernels/a.py", i + 1, i + 1, "warning", f"t{i}", f"m{i}") for i in range(count))


def test_one_run_from_queued_to_its_conclusion(github: FakeGitHub, hub: GitHubHub) -> None:
    hub.publish_check(replace(RUNNING, state=CheckState.QUEUED, title="queued"))
    hub.publish_check(RUNNING)
    hub.publish_check(replace(DONE, text="{}", details_url="https://example.com/1"))
    (run,) = github.checks(HEAD)
    assert (run.status, run.conclusion, run.external_id) == ("completed", "failure", "job-1")
    assert (run.title, run.summary, run.text) == ("2 kernels slower", "s", "{}")
    assert run.details_url == "https://example.com/1"


def test_the_same_check_is_not_sent_again(github: FakeGitHub, hub: GitHubHub) -> None:
    for _ in range(3):
        hub.publish_check(replace(DONE, annotations=notes(3), summary="a\nb"))
    assert len(github.writes()) == 1


def test_another_job_of_the_same_head_has_its_own_run(github: FakeGitHub, hub: GitHubHub) -> None:
    hub.publish_check(DONE)
    hub.publish_check(replace(RUNNING, external_id="job-2"))
    hub.publish_check(replace(DONE, conclusion="success"))
    assert [(r.external_id, r.conclusion) for r in github.checks(HEAD)] == [
        ("job-1", "success"),
        ("job-2", None),
    ]


def test_another_apps_run_of_that_name_is_left_alone(github: FakeGitHub, hub: GitHubHub) -> None:
    hub.publish_check(DONE)
    github.checks(HEAD)[0].app = "somebody-else"
    hub.publish_check(replace(DONE, conclusion="success"))
    assert [(r.app, r.conclusion) for r in github.checks(HEAD)] == [
        ("somebody-else", "failure"),
        ("github-actions", "success"),
    ]


def test_annotations_go_in_chunks_and_none_twice(github: FakeGitHub, hub: GitHubHub) -> None:
    hub.publish_check(replace(DONE, annotations=notes(120)))
    hub.publish_check(replace(DONE, annotations=notes(120), title="other title"))
    (run,) = github.checks(HEAD)
    assert [a["message"] for a in run.annotations] == [f"m{i}" for i in range(120)]
    assert [len(r.body["output"].get("annotations", ())) for r in github.writes()] == [50, 50, 20, 0]
    assert run.title == "other title"


def test_a_chunk_whose_answer_was_lost_is_made_up_for(github: FakeGitHub, hub: GitHubHub) -> None:
    github.fail("cut", times=None, method="PATCH")
    check = replace(DONE, annotations=notes(60))
    with pytest.raises(Exception, match="not reachable"):
        hub.publish_check(check)
    github.recover()
    hub.publish_check(check)
    (run,) = github.checks(HEAD)
    assert len(run.annotations) == 60


def test_long_texts_are_cut_to_what_github_takes(github: FakeGitHub, hub: GitHubHub) -> None:
    text = "```json\n" + "\n".join(f'{{"é": {i}}},' for i in range(20_000)) + "\n```\n"
    hub.publish_check(replace(DONE, title="x" * 400, summary="ü" * 70_000, text=text))
    (run,) = github.checks(HEAD)
    assert run.title is not None
    assert len(run.title) == 255
    assert run.summary is not None
    assert run.summary.endswith("GitHub takes no more.")
    assert run.text is not None
    assert run.text.count("```") == 2


@given(st.text(), st.integers(min_value=60, max_value=200))
def test_cut_keeps_the_limit_and_a_beginning(text: str, limit: int) -> None:
    text = text.replace("\r", "")
    found = cut(text, limit)
    assert len(found.encode()) <= limit
    assert found == text or text.startswith(found.split("\n")[0].removesuffix("…")[:1])


def test_a_plain_token_gets_commit_statuses_and_does_not_ask_again(github: FakeGitHub) -> None:
    github.actions = False
    hub = GitHubHub(connect("good-token", github.url, patient=False), "acme/kernels")
    for check in (
        RUNNING,
        DONE,
        DONE,
        replace(DONE, conclusion="neutral", title="nothing  to\nmeasure " * 20),
    ):
        hub.publish_check(check)
    assert [s.state for s in github.statuses(HEAD)] == ["pending", "failure", "success"]
    last = github.statuses(HEAD)[-1].description
    assert last is not None
    assert (len(last), last[:19], last[-1]) == (140, "nothing to measure ", "…")
    assert [r.path.rpartition("/")[2] for r in github.writes()].count("check-runs") == 1


@pytest.mark.parametrize(
    ("conclusion", "state"),
    [("success", "success"), ("neutral", "success"), ("failure", "failure"), ("cancelled", "error")],
)
def test_conclusions_as_statuses(github: FakeGitHub, conclusion: str, state: str) -> None:
    github.actions = False
    hub = GitHubHub(connect("good-token", github.url, patient=False), "acme/kernels", checks=False)
    hub.publish_check(replace(DONE, conclusion=conclusion, details_url="https://example.com/x"))
    (status,) = github.statuses(HEAD)
    assert (status.state, status.context, status.description) == (state, "perfsuite", "2 kernels slower")
    assert status.target_url == "https://example.com/x"


def test_an_address_that_github_would_refuse_is_left_out(github: FakeGitHub, hub: GitHubHub) -> None:
    hub.publish_check(replace(DONE, details_url="javascript:alert(1)"))
    assert github.checks(HEAD)[0].details_url is None


def test_a_token_that_may_write_neither_is_told(github: FakeGitHub) -> None:
    github.actions = False
    github.fail(403, times=None, method="POST", message="Resource not accessible by personal access token")
    hub = GitHubHub(connect("good-token", github.url, patient=False), "acme/kernels")
    with pytest.raises(UsageError, match="statuses"):
        hub.publish_check(DONE)
    github.recover()
    github.actions = True
    hub = GitHubHub(connect("good-token", github.url, patient=False), "acme/kernels")
    hub.publish_check(DONE)
    assert len(github.checks(HEAD)) == 1
