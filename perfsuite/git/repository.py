"""One working tree and its history."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from perfsuite.config import STATE_FOLDER
from perfsuite.errors import MachineError, UsageError
from perfsuite.folders import claimed_folder
from perfsuite.git.addresses import quoted, remote_name
from perfsuite.git.history import History
from perfsuite.git.running import CHECKOUT_TIMEOUT_S, GitError, run_git, run_network
from perfsuite.git.submodules import Sources, check_out, submodules
from perfsuite.model import Commit

UNVERSIONED = Commit(sha="0" * 40, subject="not under version control")
"""Commit of what is measured outside a repository, or before its first commit."""

NAME_KEY = "perfsuite.name"
"""Setting of git: whose repository a mirror is."""
LISTED_KEY = "perfsuite.submodulesListed"
"""Setting of git: whether only the addresses under the next may be used."""
TRUSTED_KEY = "perfsuite.submodule"
_DEEPEN = (100, 400, 1600)
"""Commits more of a shallow clone at each try, before all of it is fetched."""
_DIRTY_DIGITS = 16
_STATE_PATHS = (f":(top){STATE_FOLDER}", f":(top,glob)**/{STATE_FOLDER}/**")


class NotARepository(UsageError):
    """The folder is in no git repository."""


@dataclass(frozen=True, slots=True)
class Repository(History):
    """One working tree and its history."""

    @classmethod
    def discover(cls, path: Path) -> Repository:
        """The repository that holds `path`.

        Raises:
            NotARepository: none does.
            MachineError: there is no git.
        """
        try:
            return cls(Path(run_git(path, "rev-parse", "--show-toplevel")))
        except GitError as error:
            if "not a git repository" in error.output:
                raise NotARepository(
                    f"{path} is not in a git repository", "git init && git add . && git commit, or go to one"
                ) from error
            raise

    @property
    def name(self) -> str:
        """What `git config perfsuite.name` says, else `owner/name` of the remote `origin`, else the folder's
        name."""
        named = self._ask("config", "--get", NAME_KEY)
        return named or remote_name(self._ask("config", "--get", "remote.origin.url")) or self.root.name

    @property
    def user(self) -> str:
        """Who works here, as git is told; empty where it is not."""
        return self._ask("config", "--get", "user.name")

    def head(self) -> Commit:
        """What the working tree holds: HEAD, and a hash of the changes if there are any.

        Before the first commit it is `UNVERSIONED` with that hash.
        """
        sha = self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if not sha:
            return replace(UNVERSIONED, subject="no commit yet", dirty=self.dirty_hash())
        commit = self._commit(sha, self._ask("symbolic-ref", "--quiet", "--short", "HEAD") or None)
        return replace(commit, dirty=self.dirty_hash())

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

    def ensure_merge_base(self, first: str, second: str) -> Commit:
        """`merge_base`, with as much more history of a shallow clone as it takes.

        Raises:
            UsageError: a revision is unknown, or they have no common ancestor at all.
            MachineError: the remote does not answer.
        """
        ends = (self.resolve(first).sha, self.resolve(second).sha)
        for depth in (*_DEEPEN, None):
            if self._ask("merge-base", *ends) or not self._shallow():
                break
            self._fetch_more("--unshallow" if depth is None else f"--deepen={depth}", ends)
        return self.merge_base(first, second)

    def _fetch_more(self, how: str, ends: tuple[str, str]) -> None:
        command = ("fetch", "--quiet", "--no-tags", how, "origin")
        try:
            run_network(self.root, *command, *ends)
        except (UsageError, MachineError):
            # A commit that only this clone has cannot be asked for: the branches, then.
            run_network(self.root, *command)

    def dirty_hash(self) -> str:
        """16 hex digits over the uncommitted content, empty for a clean tree.

        Tracked changes and untracked files that are not ignored count; `.perfsuite` does not.
        """
        with self._working_tree() as (tree, _):
            return "" if tree == self._head_tree() else tree[:_DIRTY_DIGITS]

    @contextlib.contextmanager
    def worktree(
        self,
        revision: str,
        *,
        folder: Path | None = None,
        allowed_submodules: Collection[str] | None = None,
    ) -> Iterator[Path]:
        """A detached worktree of a revision, removed at the end.

        It lies at a path that depends on the commit only, unless another process holds that one. What a
        killed process left is removed by the next. It has its submodules, theirs too, at the recorded
        commits: where no addresses are given or listed, those that were initialized in this clone.

        Args:
            revision: what to check out.
            folder: where, default `.perfsuite/worktrees`.
            allowed_submodules: addresses that submodules may come from; None: those that git's settings list
                (a mirror's do), else any.

        Raises:
            UsageError: there is no such revision, or a submodule comes from elsewhere.
        """
        commit = self.resolve(revision)
        with self._checkout(commit.sha, commit.sha[:12], folder) as path:
            self._fill(commit.sha, path, allowed_submodules)
            yield path

    @contextlib.contextmanager
    def snapshot(self, *, folder: Path | None = None) -> Iterator[Path]:
        """A worktree of HEAD with the uncommitted changes on top: edits made meanwhile do not reach it."""
        sha = self._run("rev-parse", "--verify", "HEAD^{commit}").strip()
        with contextlib.ExitStack() as stack:
            with self._working_tree() as (tree, environ):
                path = stack.enter_context(self._checkout(sha, f"{sha[:12]}-{tree[:8]}", folder))
                self._overlay(tree, environ, path)
                self._fill(tree, path, None, environ)
            yield path

    @contextlib.contextmanager
    def _checkout(self, sha: str, name: str, folder: Path | None) -> Iterator[Path]:
        folder = folder or self.root / STATE_FOLDER / "worktrees"
        with claimed_folder(folder, name, self._remove_worktree) as path:
            # No hooks: they are the user's, for the user's own checkouts.
            self._run(
                *("-c", "core.hooksPath=/dev/null", "worktree", "add", "--force", "--detach", "--quiet"),
                *(str(path), sha),
                timeout_s=CHECKOUT_TIMEOUT_S,
            )
            yield path

    def _fill(
        self,
        tree: str,
        path: Path,
        allowed: Collection[str] | None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Puts the submodules that a tree wants into its checkout."""
        if not (path / ".gitmodules").is_file():
            return
        origin = self._ask("config", "--get", "remote.origin.url") or str(self.root)
        if allowed is None and self._ask("config", "--type=bool", "--get", LISTED_KEY) == "true":
            allowed = self._ask("config", "--get-all", TRUSTED_KEY).split("\n")
        # Beside the worktrees, where the next checkout finds them.
        cache = path.parent.parent / "submodules"
        names = self._initialized() if allowed is None else None
        sources = Sources(cache, origin, allowed, self._path("modules"), names=names)
        check_out(submodules(self.root, tree, sources, environ), path)

    def _initialized(self) -> set[str]:
        """Submodules that this clone uses: what its working tree does without, a worktree does without."""
        lines = self._ask("config", "--name-only", "--get-regexp", r"^submodule\..*\.url$").split("\n")
        return {line.removeprefix("submodule.").removesuffix(".url") for line in lines}

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
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(self._path("objects")),
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
        self._run("checkout-index", "--all", "--force", prefix, environ=environ, timeout_s=CHECKOUT_TIMEOUT_S)
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
