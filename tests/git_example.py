"""The real git, for tests that need repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SETTINGS = ("user.name=A", "user.email=a@example.org", "commit.gpgsign=false", "protocol.file.allow=always")


def git(folder: Path, *command: str) -> str:
    settings = (
        "user.name=A",
        "user.email=a@example.org",
        "commit.gpgsign=false",
        "protocol.file.allow=always",
    )
    options = [part for setting in settings for part in ("-c", setting)]
    done = subprocess.run(("git", *options, *command), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, message: str, **files: str) -> str:
    """Writes the files (`__` in a name stands for `/`), commits everything, and returns the sha."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path, message: str = "one", **files: str) -> Path:
    """A repository on main with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, message, **files)
    return folder
