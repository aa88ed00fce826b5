"""Whatever goes wrong: one comment with the right content, each head measured once, nothing lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakehub import FakeGitHub
from service import Service
from watched import CASE, SLOW_S, Watched, run, sources

from perfsuite.model import JobKind, JobState

KILLS = int(os.environ.get("PERFSUITE_KILLS", "6"))
"""50 of them take two minutes: `PERFSUITE_KILLS=50`."""
SECRET = "webhook secret"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.make(tmp_path)


@pytest.fixture
def github(watched: Watched) -> Iterator[FakeGitHub]:
    with FakeGitHub(git=watched.origin, actions=True, permissions={"ann": "write"}) as fake:
        yield fake


@pytest.fixture
def service(tmp_path: Path, github: FakeGitHub, watched: Watched) -> Iterator[Service]:
    service = Service(tmp_path / "service", github, watched.origin)
    yield service
    service.stop()


def open_slow(watched: Watched, github: FakeGitHub, name: str, seconds: float = SLOW_S) -> int:
    watched.branch(name)
    watched.commit(f"{name} sleeps {seconds}", sources(seconds, **{"toy/name.py": f"NAME = {name!r}\n"}))
    watched.push(name)
    return github.open_pull(name, author="ann")


def assert_settled(service: Service, github: FakeGitHub, numbers: list[int]) -> None:
    """One comment with the verdict on the present head, and each head measured once."""
    for number in numbers:
        head = github.items[number].head
        ours = [c for c in github.our_comments(number) if "perfsuite:comment" in c.body]
        assert len(ours) == 1, f"#{number} has {len(ours)} comments"
        assert head[:10] in ours[0].body and CASE in ours[0].body, ours[0].body
        assert service.conclusion(head) == "failure"
    with service.store() as store:
        finished = [c for c in store.reader.comparisons(limit=500) if c.finished_at is not None]
        measured = Counter(comparison.head.commit.sha for comparison in finished)
        jobs = store.jobs.jobs(kind=JobKind.COMPARE)
    assert measured == Counter(github.items[number].head for number in numbers)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}


def test_killed_at_random_moments(watched: Watched, github: FakeGitHub, service: Service) -> None:
    chance = random.Random(20261122)
    numbers = [open_slow(watched, github, f"topic-{n}") for n in range(3)]
    for _ in range(KILLS):
        service.start()
        time.sleep(chance.uniform(0.05, 3.5))
        service.kill()
    assert service.once() == 0, service.tail()
    assert service.killed >= KILLS // 2
    assert_settled(service, github, numbers)
    assert leftovers(service.folder) == []


def test_github_away_while_measuring(watched: Watched, github: FakeGitHub, service: Service) -> None:
    number = open_slow(watched, github, "topic")
    service.start()
    service.until(lambda: bool(service.comment(number)), "a first comment")
    github.go_down()
    service.until(lambda: _over(service), "the measurement, without GitHub")
    github.come_up()
    head = github.items[number].head
    service.until(lambda: service.conclusion(head) == "failure", "the verdict after the outage")
    assert service.stop() == 0, service.tail()
    assert_settled(service, github, [number])


@pytest.mark.parametrize(
    "trouble",
    [
        {"what": 502, "times": 6},
        {"what": 403, "times": 3, "retry_after_s": 1},
        {"what": 429, "times": 3, "retry_after_s": 1},
        {"what": "lost", "times": 2, "method": "POST", "path": "comments"},
        {"what": "lost", "times": 2, "method": "POST", "path": "check-runs"},
        {"what": "cut", "times": 4},
    ],
    ids=lambda trouble: f"{trouble['what']} {trouble.get('path', '')}".strip(),
)
def test_requests_that_fail(
    watched: Watched, github: FakeGitHub, service: Service, trouble: dict[str, object]
) -> None:
    number = open_slow(watched, github, "topic")
    service.start()
    service.until(lambda: bool(github.requests), "a first request")
    github.fail(**trouble)  # type: ignore[arg-type]
    head = github.items[number].head
    service.until(lambda: service.conclusion(head) == "failure", "the verdict")
    assert service.stop() == 0, service.tail()
    assert_settled(service, github, [number])
    names = [check.external_id for check in github.checks(head)]
    assert len(names) == len(set(names)), "a check was created twice"


def test_a_force_push_in_the_middle(watched: Watched, github: FakeGitHub, service: Service) -> None:
    number = open_slow(watched, github, "topic", seconds=600)
    service.start()
    service.until(lambda: "measuring" in service.comment(number).casefold(), "the measurement")
    run(watched.clone, "reset", "--quiet", "--hard", "main")
    watched.commit("something else", sources(SLOW_S))
    watched.push("topic")
    head = github.tips()["topic"]
    service.until(lambda: service.conclusion(head) == "failure", "the verdict on the new head")
    assert service.stop() == 0, service.tail()
    assert head[:10] in service.comment(number)
    assert leftovers(service.folder) == []


def test_a_branch_deleted_in_the_middle(watched: Watched, github: FakeGitHub, service: Service) -> None:
    number = open_slow(watched, github, "topic", seconds=600)
    head = github.items[number].head
    service.start()
    service.until(lambda: "measuring" in service.comment(number).casefold(), "the measurement")
    github.delete_branch("topic")
    service.until(lambda: service.conclusion(head) == "cancelled", "the cancellation")
    other = open_slow(watched, github, "other")
    service.until(lambda: service.conclusion(github.items[other].head) == "failure", "the other verdict")
    assert service.stop() == 0, service.tail()


def test_a_commenter_whose_account_is_gone(watched: Watched, github: FakeGitHub, service: Service) -> None:
    number = open_slow(watched, github, "topic")
    github.comment(number, "ann", "/perf help")
    github.comment(number, "leaver", f"/perf accept {CASE} bye")
    github.delete_account("leaver")
    github.edit(number, author="leaver")
    assert service.once() == 0, service.tail()
    assert_settled(service, github, [number])


def test_webhooks_twice_and_out_of_order_only_wake(
    watched: Watched, github: FakeGitHub, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFSUITE_WEBHOOK_SECRET", SECRET)
    port = free_port()
    service.options = ("--listen", f"127.0.0.1:{port}", "--interval", "600")
    service.start()
    service.until(lambda: bool(github.requests), "the first look")
    time.sleep(1)
    number = open_slow(watched, github, "topic")
    head = github.items[number].head
    payload = {"action": "opened", "repository": {"full_name": github.repository}}
    stale = {**payload, "action": "closed"}
    for delivery, body in (("1", payload), ("1", payload), ("3", stale), ("2", payload)):
        assert deliver(port, body, delivery) in (200, 202)
    assert deliver(port, payload, "4", secret="guessed") in (400, 401, 403)
    service.until(lambda: service.conclusion(head) == "failure", "the verdict")
    assert service.stop() == 0, service.tail()
    assert_settled(service, github, [number])


def deliver(port: int, payload: dict[str, object], delivery: str, secret: str = SECRET) -> int:
    body = json.dumps(payload).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": "pull_request",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}/webhook", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def leftovers(folder: Path) -> list[str]:
    """Processes that still work below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def _over(service: Service) -> bool:
    with service.store() as store:
        return any(job.state.over for job in store.jobs.jobs(kind=JobKind.COMPARE))
