"""Questions to a repository's history; they need no working tree."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from perfsuite.errors import UsageError
from perfsuite.git.running import TIMEOUT_S, GitError, run_git
from perfsuite.model import Commit

_COMMIT_FORMAT = "%H%x00%s%x00%an%x00%cI"
_FILES = ("100644", "100755")
"""Modes of plain files: a link's content is a path, not what it leads to."""


@dataclass(frozen=True, slots=True)
class History:
    """A repository, bare or not."""

    root: Path
    """Top of the working tree, or the bare repository itself."""

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

    def merge_base(self, first: str, second: str) -> Commit:
        """The newest common ancestor of two revisions.

        Raises:
            UsageError: a revision is unknown, or they have no common ancestor.
        """
        pair = (self.resolve(first).sha, self.resolve(second).sha)
        sha = self._ask("merge-base", *pair)
        if not sha:
            shallow = self._shallow()
            raise UsageError(
                f"{first} and {second} have no common ancestor"
                + (" in this shallow clone" if shallow else ""),
                "git fetch --unshallow" if shallow else "name both revisions: perfsuite compare BASE HEAD",
            )
        return self._commit(sha)

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether the first is the second or lies before it.

        Raises:
            UsageError: a revision is unknown.
        """
        pair = (self.resolve(ancestor).sha, self.resolve(descendant).sha)
        try:
            self._run("merge-base", "--is-ancestor", *pair)
        except GitError as error:
            if error.code == 1:
                return False
            raise
        return True

    def commits(
        self,
        revisions: str | tuple[str, str],
        *,
        first_parent: bool = True,
        limit: int | None = None,
        globs: Sequence[str] = (),
    ) -> list[Commit]:
        """The commits of a range, the oldest first.

        Args:
            revisions: `A..B` or (A, B): what B has and A has not; one revision: all its history.
            first_parent: of a merge only the line that was merged into.
            limit: at most so many, the newest.
            globs: only those that changed a path that matches, see `changed_paths`.

        Raises:
            UsageError: a revision is unknown.
        """
        ends = revisions if isinstance(revisions, tuple) else tuple(revisions.split("..", 1))
        shas = [self.resolve(end or "HEAD").sha for end in ends]
        wanted = f"{shas[0]}..{shas[1]}" if len(shas) == 2 else shas[0]
        options = [*(["--first-parent"] if first_parent else []), *([f"-{limit}"] if limit else [])]
        shown = self._run(
            *("log", "--no-show-signature", "--topo-order", *options, f"--format={_COMMIT_FORMAT}", wanted),
            *("--", *_pathspecs(globs)),
        )
        return [_to_commit(line) for line in reversed(shown.split("\n")) if line]

    def position(self, sha: str) -> int | None:
        """How many commits the line of first parents has up to this one; None where it is not here, or in a
        shallow clone, whose history begins anywhere."""
        if self._shallow() or not self.has(sha):
            return None
        return int(self._run("rev-list", "--count", "--first-parent", sha, "--"))

    def changed_paths(self, base: str, head: str, globs: Sequence[str] = ()) -> tuple[str, ...]:
        """Paths that differ between two commits, both names of a renamed file.

        Args:
            globs: of the top folder, such as `kernels/**`: only what matches one of them.
        """
        return tuple(
            path
            for path in self._run(
                *("diff", "--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "-z"),
                *(base, head, "--", *_pathspecs(globs)),
            ).split("\0")
            if path
        )

    def has(self, sha: str) -> bool:
        """Whether this commit is here, whole or not."""
        if not re.fullmatch(r"[0-9a-f]{7,64}", sha):
            return False
        return bool(self._ask("rev-parse", "--verify", "--quiet", sha + "^{commit}"))

    def read(self, revision: str, path: str) -> bytes | None:
        """A plain file's content at a revision; None where there is none (a folder, a link, a submodule).

        Raises:
            UsageError: the revision is unknown.
        """
        entry = self._run("ls-tree", "-z", self.resolve(revision).sha, "--", path).partition("\0")[0]
        mode, _, rest = entry.partition(" ")
        if mode not in _FILES or not entry.endswith(f"\t{path}"):
            return None
        return os.fsencode(self._run("cat-file", "blob", rest.split()[1]))

    def _shallow(self) -> bool:
        return self._ask("rev-parse", "--is-shallow-repository") == "true"

    def _commit(self, sha: str, branch: str | None = None) -> Commit:
        shown = self._run("log", "-1", "--no-show-signature", f"--format={_COMMIT_FORMAT}", sha, "--")
        return _to_commit(shown.rstrip("\n"), branch)

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
        self, *command: str, environ: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> str:
        return run_git(self.root, *command, environ=environ, timeout_s=timeout_s, strip=False)


def _pathspecs(globs: Sequence[str]) -> list[str]:
    return [f":(top,glob){glob}" for glob in globs]


def _to_commit(line: str, branch: str | None = None) -> Commit:
    full, subject, author, date = line.split("\0")
    return Commit(full, subject, author, datetime.fromisoformat(date), branch)
