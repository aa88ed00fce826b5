"""`perfsuite bisect` in processes of its own: plain benchmarks, and a commit that cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from git_example import commit, git, repository

PYPROJECT = '[tool.perfsuite]\nsuite = "suite"\n'
SUITE = """from work import work


def test_work(benchmark):
    assert benchmark.pedantic(work, rounds=2, iterations=1) == 1
"""
GOOD, BAD, BROKEN = "def work():\n    return {}\n", "def work():\n    return -{}\n", "def work(:\n# {}\n"


def test_the_commit_that_broke_a_case_is_found_beside_one_that_does_not_import(tmp_path: Path) -> None:
    folder = repository(tmp_path / "watched", "a suite", **{"pyproject.toml": PYPROJECT})
    texts = [GOOD, BROKEN, GOOD, BAD]
    shas = [
        commit(
            folder,
            f"commit {number}",
            **{"suite__work.py": text.format(1), "suite__test_work.py": f"{SUITE}# {number}\n"},
        )
        for number, text in enumerate(texts)
    ]
    command = (sys.executable, "-P", "-m", "perfsuite.cli", "bisect", "work", shas[0])
    done = subprocess.run(
        (*command, "--json", "--profile", "quick"),
        cwd=folder,
        env={**os.environ, "PERFSUITE_DB": str(tmp_path / "store.db")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kind"] == "failed" and found["first_bad"]["commit"] == shas[3]
    skipped = [step["commit"] for step in found["steps"] if step["state"] == "skipped"]
    assert skipped == [shas[1]]
    assert git(folder, "worktree", "list", "--porcelain").count("worktree ") == 1
