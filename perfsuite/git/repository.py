"""The only module that starts git.

Every call runs with `GIT_*` scrubbed, `LC_ALL=C` and a time limit; a failure carries the command and its
output.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from perfsuite.config import STATE_FOLDER, process_environ
from perfsuite.errors import MachineError, UsageError
from perfsuite.folders import claimed_folder
from perfsuite.model import Commit

UNVERSIONED = Commit(sha="0" * 40, subject="not under version control")
"""Commit of what is measured outside a repository, or before its first commit."""

_TIMEOUT_S = 120.0
_CHECKOUT_TIMEOUT_S = 900.0
_DIRTY_DIGITS = 16
# Like pre-commit: a hook or an alias that starts us must not redirect git to another repository, but what
# git needs to start at all, to trust the folder and to reach a remote stays.
_KEPT = (
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_NO_VERIFY",
    "GIT_CEILING_DIRECTORIES",
)
_KEPT_PREFIX = "GIT_CONFIG_"
_COMMIT_FORMAT = "%H%x00%s%x00%an%x00%cI"
_STATE_PATHS = (f":(top){STATE_FOLDER}", f":(top,glob)**/{STATE_FOLDER}/**")


class GitError(UsageError):
    """git refused: the command and what it said."""

    def __init__(self, command: tuple[str, ...], code: int, output: str) -> None:
        self.command, self.code, self.output = command, code, output.strip()
        lines = self.output.replace("\n", "\n    ") or "(no output)"
        super().__init__(
            f"git {' '.join(command)} failed with exit code {code}:\n    {lines}",
            "mend what git complains about",
        )


class NotARepository(UsageError):
    """The folder is in no git repository."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One working tree and its history."""

    root: Path
    """Top of the working tree."""

    @classmethod
    def discover(cls, path: Path) -> Repository:
        """The repository that holds `path`.

        Raises:
            NotARepository: none does.
            MachineError: there is no git.
        """
        try:
            return cls(Path(_git(path, "rev-parse", "--show-toplevel")))
        except GitError as error:
            if "not a git repository" in error.output:
                raise NotARepository(
                    f"{path} is not in a git repository", "git init && git add . && git commit, or go to one"
                ) from error
            raise

    @property
    def name(self) -> str:
        """`owner/name` of the remote `origin`, else the folder's name."""
        return _remote_name(self._ask("config", "--get", "remote.origin.url")) or self.root.name

    @property
    def user(self) -> str:
        """Who works here, as git is told; empty where it is not."""
        return self._ask("config", "--get", "user.name")

    def resolve(self, revision: str) -> Commit:
        """The commit that a revision names.

        Raises:
            UsageError: there is none; names the nearest branches and tags.
        """
        sha = ""
        if revision and not revision.startswith("-"):
            sha = self._ask("rev-parse", "--verify", "--quiet", revision + "^{commit}")
        if not sha:
            raise UsageError(
                f"there is no revision {revision!r} in {self.root}", self._nearest_revisions(revision)
            )
        name = self._ask("rev-parse", "--symbolic-full-name", revision)
        return self._commit(sha, name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None)

    def head(self) -> Commit:
        """What the working tree holds: HEAD, and a hash of the changes if there are any.

        Before the first commit it is `UNVERSIONED` with that hash.
        """
        sha = self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if not sha:
            return replace(UNVERSIONED, subject="no commit yet", dirty=self.dirty_hash())
        commit = self._commit(sha, self._ask("symbolic-ref", "--quiet", "--short", "HEAD") or None)
        return replace(commit, dirty=self.dirty_hash())

    def merge_base(self, first: str, second: str) -> Commit:
        """The newest common ancestor of two revisions.

        Raises:
            UsageError: a revision is unknown, or they have no common ancestor.
        """
        pair = (self.resolve(first).sha, self.resolve(second).sha)
        sha = self._ask("merge-base", *pair)
        if not sha:
            shallow = self._ask("rev-parse", "--is-shallow-repository") == "true"
            raise UsageError(
                f"{first} and {second} have no common ancestor"
                + (" in this shallow clone" if shallow else ""),
                "git fetch --unshallow" if shallow else "name both revisions: perfsuite compare BASE HEAD",
            )
        return self._commit(sha)

    def default_branch(self, configured: str | None = None) -> str:
        """A revision for the main line: configured, else origin's HEAD, else `main` or `master`.

        Raises:
            UsageError: none of them exists.
        """
        if configured:
            self.resolve(configured)
            return configured
        remote = self._ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        for candidate in (remote, "main", "master", "origin/main", "origin/master"):
            if candidate and self._ask("rev-parse", "--verify", "--quiet", candidate + "^{commit}"):
                return candidate
        raise UsageError(
            f"{self.root} has neither origin/HEAD nor a branch main or master",
            'set default_branch = "…" in [tool.perfsuite], or name the base: perfsuite compare BASE',
        )

    def dirty_hash(self) -> str:
        """16 hex digits over the uncommitted content, empty for a clean tree.

        Tracked changes and untracked files that are not ignored count; `.perfsuite` does not.
        """
        with self._working_tree() as (tree, _):
            return "" if tree == self._head_tree() else tree[:_DIRTY_DIGITS]

    def changed_paths(self, base: str, head: str) -> tuple[str, ...]:
        """Paths that differ between two commits, both names of a renamed file."""
        out = self._run("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base, head, "--")
        return tuple(path for path in out.split("\0") if path)

    @contextlib.contextmanager
    def worktree(self, revision: str, *, folder: Path | None = None) -> Iterator[Path]:
        """A detached worktree of a revision, removed at the end.

        It lies at a path that depends on the commit only, unless another process holds that one. What a
        killed process left is removed by the next.

        Args:
            revision: what to check out.
            folder: where, default `.perfsuite/worktrees`.
        """
        commit = self.resolve(revision)
        with self._checkout(commit.sha, commit.sha[:12], folder) as path:
            yield path

    @contextlib.contextmanager
    def snapshot(self, *, folder: Path | None = None) -> Iterator[Path]:
        """A worktree of HEAD with the uncommitted changes on top: edits made meanwhile do not reach it."""
        sha = self._run("rev-parse", "--verify", "HEAD^{commit}").strip()
        with contextlib.ExitStack() as stack:
            with self._working_tree() as (tree, environ):
                path = stack.enter_context(self._checkout(sha, f"{sha[:12]}-{tree[:8]}", folder))
                self._overlay(tree, environ, path)
            yield path

    @contextlib.contextmanager
    def _checkout(self, sha: str, name: str, folder: Path | None) -> Iterator[Path]:
        folder = folder or self.root / STATE_FOLDER / "worktrees"
        with claimed_folder(folder, name, self._remove_worktree) as path:
            # No hooks: they are the user's, for the user's own checkouts.
            self._run(
                *("-c", "core.hooksPath=/dev/null", "worktree", "add", "--force", "--detach", "--quiet"),
                *(str(path), sha),
                timeout_s=_CHECKOUT_TIMEOUT_S,
            )
            yield path

    def _remove_worktree(self, path: Path) -> None:
        self._ask("worktree", "remove", "--force", "--force", str(path))
        shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _working_tree(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The tree object of the files as they are now, and the environment in which it exists.

        A copy of the index and a private object folder: neither the user's index nor the repository change.
        """
        with tempfile.TemporaryDirectory(prefix="perfsuite-git-") as temporary:
            index, objects = Path(temporary, "index"), Path(temporary, "objects")
            objects.mkdir()
            with contextlib.suppress(FileNotFoundError):
                # With its time: git looks into files that are not older than the index, and trusts others.
                shutil.copy2(self._path("index"), index)
            environ = {
                "GIT_INDEX_FILE": str(index),
                "GIT_OBJECT_DIRECTORY": str(objects),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(self._path("objects")),
            }
            # The index is a copy: without this git would look for a shared index beside it.
            config = (
                "-c",
                "core.splitIndex=false",
                "-c",
                "core.compression=0",
                "-c",
                "advice.addEmbeddedRepo=false",
            )
            self._run(*config, "add", "--all", "--", ".", environ=environ)
            # Afterwards: `add` fails on a path that is excluded here and ignored by .gitignore as well.
            self._run(
                "rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", *_STATE_PATHS, environ=environ
            )
            yield self._run("write-tree", environ=environ).strip(), environ

    def _overlay(self, tree: str, environ: Mapping[str, str], path: Path) -> None:
        """Makes a worktree of HEAD equal to a tree that lives in `environ`."""
        prefix = f"--prefix={path}/"
        self._run(
            "checkout-index", "--all", "--force", prefix, environ=environ, timeout_s=_CHECKOUT_TIMEOUT_S
        )
        gone = self._run(
            *("diff", "--name-only", "--no-renames", "--diff-filter=D", "-z", "HEAD", tree, "--"),
            environ=environ,
        )
        for name in filter(None, gone.split("\0")):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                (path / name).unlink()

    def _path(self, name: str) -> Path:
        return self.root / self._run("rev-parse", "--git-path", name).rstrip("\n")

    def _head_tree(self) -> str:
        return self._ask("rev-parse", "--verify", "--quiet", "HEAD^{tree}")

    def _commit(self, sha: str, branch: str | None = None) -> Commit:
        shown = self._run("log", "-1", "--no-show-signature", f"--format={_COMMIT_FORMAT}", sha, "--")
        full, subject, author, date = shown.rstrip("\n").split("\0")
        return Commit(full, subject, author, datetime.fromisoformat(date), branch)

    def _nearest_revisions(self, revision: str) -> str:
        names = self._ask(
            "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes"
        )
        near = difflib.get_close_matches(revision, names.split(), n=3, cutoff=0.4)
        if near:
            return f"did you mean {', '.join(near)}?"
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            return "git fetch, if the commit is only on the remote"
        return "see git branch --all, git tag and git log for what there is"

    def _ask(self, *command: str) -> str:
        """The output, or nothing where git says no: for questions whose answer may be missing."""
        try:
            return self._run(*command).strip()
        except GitError:
            return ""

    def _run(
        self, *command: str, environ: Mapping[str, str] | None = None, timeout_s: float = _TIMEOUT_S
    ) -> str:
        return _git(self.root, *command, environ=environ, timeout_s=timeout_s, strip=False)


def _git(
    folder: Path,
    *command: str,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = _TIMEOUT_S,
    strip: bool = True,
) -> str:
    """Runs git in a folder.

    Raises:
        GitError: it failed.
        MachineError: there is no git, it hangs, or the folder cannot be entered.
    """
    try:
        done = subprocess.run(
            ("git", *command),
            cwd=folder,
            env={**_environ(process_environ()), **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}", "correct the path") from error
        raise MachineError("git is not installed", "install git (apt-get install git)") from error
    except subprocess.TimeoutExpired as error:
        raise MachineError(
            f"git {' '.join(command)} did not answer within {timeout_s:.0f} s",
            f"run it in {folder} to see what it waits for",
        ) from error
    if done.returncode != 0:
        raise GitError(command, done.returncode, os.fsdecode(done.stderr or done.stdout))
    out = os.fsdecode(done.stdout)
    return out.strip() if strip else out


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_PREFIX)
    }
    # No prompt ever: there may be nobody to answer it.
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


def _remote_name(url: str) -> str:
    """`git@host:owner/name.git`, `https://host/owner/name` → `owner/name`; empty for a local path."""
    match = re.fullmatch(r"(?:\w[\w+.-]*://[^/]+/|[^/:]+:(?!//))(?:.*/)?([^/]+/[^/]+?)(?:\.git)?/?", url)
    return match[1] if match and not url.startswith("file:") else ""


def _quoted(path: Path) -> str:
    """A path as one entry of a list that colons separate."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
