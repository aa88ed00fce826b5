"""GitHub is away for an hour: asked seldom, never given up, and caught up with when it is back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakehub import FakeGitHub
from watched import SLOW_S, Watched, sources

from ci.github import GitHubHub, connect
from ci.hub import PullRequest
from ci.watch import LONGEST_PAUSE_S, Watcher
from ci.watching import Options, watcher_of
from perfsuite.model import JobState
from perfsuite.store import open_store

HOUR_S = 3600
INTERVAL_S = 30.0


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Looking(GitHubHub):
    """Counts how often it is asked what is open."""

    looks = 0

    def open_pulls(self) -> list[PullRequest]:
        self.looks += 1
        return super().open_pulls()


@contextlib.contextmanager
def watching(
    folder: Path, github: FakeGitHub, watched: Watched, clock: Clock
) -> Iterator[tuple[Watcher, Looking]]:
    hub = Looking(connect(github.token, github.url, patient=False), github.repository)
    options = Options(
        state=folder / "state", environ=dict(os.environ), interval_s=INTERVAL_S, git_url=str(watched.origin)
    )
    with open_store(folder / "perfsuite.db") as store, watcher_of(hub, store, options) as watcher:
        # What is measured is not what this is about.
        watcher.runner.turn = lambda: None  # type: ignore[method-assign]
        watcher.seconds = clock
        watcher.begin()
        yield watcher, hub
        watcher.end()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.make(tmp_path)


@pytest.mark.parametrize("away", ["refused", 503, "limited"])
def test_an_hour_away(tmp_path: Path, watched: Watched, away: str | int) -> None:
    clock = Clock()
    with (
        FakeGitHub(git=watched.origin) as github,
        watching(tmp_path, github, watched, clock) as (
            watcher,
            hub,
        ),
    ):
        watcher.turn()
        hub.looks = 0
        if away == "refused":
            github.go_down()
        elif away == "limited":
            github.use_up_rate_limit(HOUR_S)
        else:
            github.fail(int(away), times=None)
        watched.branch("slow")
        watched.commit("slower", sources(SLOW_S))
        head = watched.push("slow")
        while clock.seconds < HOUR_S:
            clock.seconds += 5
            watcher.turn()
        # An hour by GitHub's clock as well; then everything works again.
        github.clock.advance(HOUR_S)
        github.recover()
        if away == "refused":
            github.come_up()
        number = github.open_pull("slow")
        assert 1 <= hub.looks <= 15
        seen = hub.looks
        while hub.looks == seen:
            clock.seconds += 5
            watcher.turn()
        assert clock.seconds <= HOUR_S + LONGEST_PAUSE_S + 10
        (job,) = watcher.store.jobs.jobs(pull=number)
        assert (job.head, job.state) == (head, JobState.QUEUED)
        assert len(github.our_comments(number)) == 1
