"""The bare repository behind the fake: the real git, by plumbing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_WHO = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in {"NAME": "GitHub", "EMAIL": "noreply@example.com"}.items()
}


class Bare:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def refs(self) -> dict[str, str]:
        """Full name → sha, of branches and pull requests."""
        lines = self._git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/pull")
        return dict(line.rsplit(" ", 1) for line in lines.splitlines())

    def point(self, name: str, sha: str | None) -> None:
        """Moves a ref, or deletes it."""
        if sha is None:
            self._git("update-ref", "-d", name)
        else:
            self._git("update-ref", name, sha)

    def descends(self, old: str, new: str) -> bool:
        """Whether `new` holds `old`: else the push was forced."""
        return self._run("merge-base", "--is-ancestor", old, new).returncode == 0

    def merge(self, base: str, head: str, message: str) -> str:
        """Sha of the merge of both, as GitHub's button makes it."""
        tree = self._git("merge-tree", "--write-tree", base, head).splitlines()[0]
        return self._git("commit-tree", tree, "-p", base, "-p", head, "-m", message)

    def _git(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return subprocess.run(
            ["git", "--git-dir", self.folder, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=clean | _WHO,
        )
