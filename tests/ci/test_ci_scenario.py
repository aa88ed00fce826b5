"""A pull request's whole life with the kernels of this repository, on a machine without a GPU.

What is timed here is the packing of weights on the host; a kernel beside it is checked in Triton's
interpreter and compiled for its target, as everywhere without a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakehub import FakeGitHub
from service import Service
from watched import Watched, run

from perfsuite.model import Alert, AlertState, JobKind, JobState

ROOT = Path(__file__).parents[2]
HOST = "host/pack"
KERNEL = "quantize/rows[qwen3.5-35b-a3b,m=64,tile=32]"
SUITE = '''\
"""Packing weights on the host, timed by the wall clock."""

from typing import Any

import torch

from kernels.quantize import pack_int4


def test_pack(benchmark: Any) -> None:
    weight = torch.ones(1, 64, 128, dtype=torch.bfloat16)
    benchmark.pedantic(pack_int4, args=(weight, 128), rounds=3, iterations=1)
'''
BODY = "def pack_int4(weight: torch.Tensor, group: int) -> PackedWeight:\n"
STEADY_S, SLOW_S, ENDLESS_S = 0.1, 0.8, 120.0
"""Packing 64 rows takes less than a millisecond; waiting is what makes it steady on any machine."""


def packing(watched: Watched, seconds: float) -> None:
    """The repository's own source with a wait in front of the packing."""
    file = watched.clone / "kernels/quantize.py"
    lines = [line for line in file.read_text().splitlines(keepends=True) if "# wait" not in line]
    text = "".join(lines)
    assert BODY in text
    wait = f"    __import__('time').sleep({seconds})  # wait\n"
    end = text.index('"""', text.index('"""', text.index(BODY)) + 3) + 4
    file.write_text(text[:end] + wait + text[end:])


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """This repository as it is, and one more benchmark."""
    run(tmp_path, "clone", "--quiet", "--bare", "--shared", str(ROOT), "origin.git")
    origin = tmp_path / "origin.git"
    run(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    run(tmp_path, "clone", "--quiet", str(origin), "clone")
    watched = Watched(origin, tmp_path / "clone")
    run(watched.clone, "checkout", "--quiet", "-B", "main")
    packing(watched, STEADY_S)
    watched.commit("Time the packing", {"kernels/suite/test_host.py": SUITE})
    watched.push("main")
    run(origin, "symbolic-ref", "HEAD", "refs/heads/main")
    return watched


@pytest.fixture
def github(watched: Watched) -> Iterator[FakeGitHub]:
    with FakeGitHub(git=watched.origin, actions=True, permissions={"ann": "write"}) as fake:
        yield fake


@pytest.mark.timeout(900)
def test_from_the_pull_request_to_its_revert(tmp_path: Path, watched: Watched, github: FakeGitHub) -> None:
    service = Service(tmp_path / "service", github, watched.origin, ("-k", f"{HOST} or {KERNEL}"))
    try:
        assert service.once() == 0, service.tail()
        touch(watched, "before", 3)
        assert service.once() == 0, service.tail()
        number, head = reviewed(service, watched, github)
        service.until(lambda: service.conclusion(head) == "failure", "the verdict", 400)
        red = service.comment(number)
        github.comment(number, "ann", f"/perf accept {HOST} needed for the new layout")
        service.until(lambda: service.conclusion(head) == "success", "the acceptance", 100)
        green = service.comment(number)
        merged = merged_and_used(service, watched, github, number)
        reverted(service, watched, merged)
    finally:
        service.stop()
    keep(red=red, green=green)
    assert HOST in red and KERNEL in red
    assert "needed for the new layout" in green
    (slower,) = alerts_of(service)
    assert (slower.kind, slower.state, slower.changed_by) == ("slower", AlertState.EXPECTED, "ann")
    assert f"#{number}" in slower.reason
    up, down = (line for line in history(service, watched).splitlines() if " % [" in line)
    assert up.startswith("+") and down.startswith("-")
    assert 'Revert "Merge pull request' in down


def reviewed(service: Service, watched: Watched, github: FakeGitHub) -> tuple[int, str]:
    """Opened, commented, pushed again while it was being measured: the same comment, the first job ended."""
    watched.branch("slow")
    packing(watched, ENDLESS_S)
    watched.commit("Pack by another layout", {})
    watched.push("slow")
    number = github.open_pull("slow", author="ann", title="Another layout")
    first = github.items[number].head
    service.start()
    service.until(lambda: "measuring" in service.comment(number).casefold(), "a first comment")
    (ours,) = github.our_comments(number)
    packing(watched, SLOW_S)
    watched.commit("Pack faster, but not fast", {})
    second = watched.push("slow")
    service.until(lambda: service.conclusion(first) == "cancelled", "the first head's end")
    service.until(lambda: second[:10] in service.comment(number), "the second head's comment")
    assert [comment.id for comment in github.our_comments(number)] == [ours.id]
    with service.store() as store:
        states = {job.head: job.state for job in store.jobs.jobs(kind=JobKind.COMPARE)}
    assert states[first] is JobState.CANCELLED
    return number, second


def merged_and_used(service: Service, watched: Watched, github: FakeGitHub, number: int) -> str:
    merged = github.merge(number)
    service.stop()
    follow(watched)
    touch(watched, "after", 3)
    assert service.once() == 0, service.tail()
    with service.store() as store:
        assert merged in {one.commit.sha for one in store.reader.runs(kind="run")}
    return merged


def reverted(service: Service, watched: Watched, merged: str) -> None:
    run(watched.clone, "revert", "--no-edit", "-m", "1", merged)
    touch(watched, "reverted", 3)
    assert service.once() == 0, service.tail()


def touch(watched: Watched, name: str, count: int) -> None:
    """Commits to main that could move a kernel and do not."""
    for number in range(count):
        watched.commit(f"{name} {number}", {"kernels/NOTES.md": f"# Notes\n\n{name} {number}\n"})
    watched.push("main")


def follow(watched: Watched) -> None:
    run(watched.clone, "fetch", "--quiet", "origin")
    run(watched.clone, "checkout", "--quiet", "-B", "main", "origin/main")


def alerts_of(service: Service) -> list[Alert]:
    with service.store() as store:
        return [alert for alert in store.reader.alerts(case=HOST) if alert.kind in ("slower", "faster")]


def history(service: Service, watched: Watched) -> str:
    command = [sys.executable, "-P", "-m", "perfsuite.cli", "history", HOST, "--db", str(service.database)]
    command += ["--repository", "acme/kernels"]
    environ = {**os.environ, "COLUMNS": "140"}
    done = subprocess.run(command, cwd=watched.clone, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def keep(**bodies: str) -> None:
    """For a look by eye, where a folder is named."""
    folder = os.environ.get("PERFSUITE_SCENARIO_OUT")
    if folder:
        for name, body in bodies.items():
            Path(folder, f"{name}.md").write_text(body)
