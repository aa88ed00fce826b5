"""A small repository under watch: a real bare origin with a suite whose benchmark sleeps, which is steady."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PYPROJECT = """\
[tool.perfsuite]
suite = "benchmarks"
paths = ["toy/**"]
threshold = "50%"
"""
SUITE = """\
from toy.work import work


def test_work(benchmark):
    benchmark.pedantic(work, rounds=5, iterations=1)
"""
WORK = """\
import time


def work():
    time.sleep({seconds})
"""
QUICK_S, SLOW_S = 0.01, 0.05
CASE = "work/work"


@dataclass(frozen=True)
class Watched:
    """`origin` is what the service fetches from, `clone` where tests write commits."""

    origin: Path
    clone: Path

    @classmethod
    def make(cls, folder: Path) -> Watched:
        watched = cls(folder / "origin.git", folder / "clone")
        watched.clone.mkdir(parents=True)
        run(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(watched.origin))
        # As GitHub does: what is known by its hash may be fetched by it.
        run(watched.origin, "config", "uploadpack.allowAnySHA1InWant", "true")
        run(watched.clone, "init", "--quiet", "--initial-branch=main")
        run(watched.clone, "remote", "add", "origin", str(watched.origin))
        watched.commit("a suite", {"pyproject.toml": PYPROJECT, **sources(QUICK_S)})
        watched.push("main")
        return watched

    def commit(self, subject: str, files: dict[str, str]) -> str:
        """Writes files on the present branch; the sha."""
        for name, content in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        run(self.clone, "add", "--all")
        run(self.clone, "commit", "--quiet", "--allow-empty", "-m", subject)
        return self.head()

    def branch(self, name: str, at: str = "main") -> None:
        run(self.clone, "checkout", "--quiet", "-B", name, at)

    def head(self) -> str:
        return run(self.clone, "rev-parse", "HEAD")

    def push(self, branch: str, *, pull: int | None = None, force: bool = True) -> str:
        """Pushes the present head as a branch of the origin, or as a pull request's head alone."""
        ref = f"refs/heads/{branch}" if pull is None else f"refs/pull/{pull}/head"
        run(self.clone, "push", "--quiet", *(["--force"] if force else []), "origin", f"HEAD:{ref}")
        return self.head()


def sources(seconds: float, **more: str) -> dict[str, str]:
    return {
        "toy/__init__.py": "",
        "toy/work.py": WORK.format(seconds=seconds),
        "benchmarks/test_work.py": SUITE,
        **more,
    }


_last_s = time.time()


def run(folder: Path, *arguments: str) -> str:
    """git, with a time of its own for each commit: series are ordered by the second."""
    global _last_s
    if arguments[0] in ("commit", "revert"):
        _last_s = max(time.time(), _last_s + 1)
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Ann"), ("EMAIL", "ann@example.com"))
    }
    when = {f"GIT_{role}_DATE": f"{int(_last_s)} +0000" for role in ("AUTHOR", "COMMITTER")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**clean, **who, **when},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()
