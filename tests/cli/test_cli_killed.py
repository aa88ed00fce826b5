"""`perfsuite run` killed without warning at seeded random moments, on a real suite with real processes."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUITE = """
import time
import pytest

@pytest.mark.parametrize("n", range(24), ids="n={}".format)
def test_case(benchmark, n):
    benchmark.pedantic(time.sleep, args=(0.06,), rounds=3)
"""
CASES = 24
KILLS = 4


def perfsuite(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "perfsuite.cli", *arguments]


def trials_of(root: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "perfsuite.plugin" in command and str(root) in command:
                found.append(entry.name)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "test_sleep.py").write_text(SUITE)
    (tmp_path / "pyproject.toml").write_text('[tool.perfsuite]\nsuite = "bench"\n')
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_kill_9_loses_at_most_the_case_in_flight(root: Path) -> None:
    moments = random.Random(9)
    database = root / ".perfsuite" / "perfsuite.db"
    for _ in range(KILLS):
        running = subprocess.Popen(
            perfsuite(root, "run", "--resume"), cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.8, 2.5))
        running.kill()
        running.wait()
        assert gone(root), "no process outlives the command"
        if database.exists():
            check = subprocess.run(
                perfsuite(root, "db", "check"), cwd=root, capture_output=True, text=True, check=False
            )
            assert check.returncode == 0, check.stdout + check.stderr
    done = subprocess.run(
        perfsuite(root, "run", "--resume", "--json"), cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    cases = [result["case"] for result in json.loads(done.stdout)["results"]]
    assert sorted(cases) == sorted(f"sleep/case[n={n}]" for n in range(CASES))
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (CASES,)


def gone(root: Path) -> bool:
    deadline = time.monotonic() + 10
    while trials_of(root) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not trials_of(root)
