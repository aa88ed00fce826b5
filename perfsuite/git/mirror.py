"""A bare copy of a remote repository that a service keeps, and working trees of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from perfsuite.config import STATE_FOLDER
from perfsuite.errors import MachineError, UsageError
from perfsuite.git.definitions import Place, find_definitions
from perfsuite.git.history import History
from perfsuite.git.locking import locked
from perfsuite.git.repository import LISTED_KEY, NAME_KEY, TRUSTED_KEY
from perfsuite.git.running import CHECKOUT_TIMEOUT_S, TIMEOUT_S, GitError, run_git, run_network
from perfsuite.git.submodules import Sources, Submodule, submodules

_BRANCHES = "+refs/heads/*:refs/heads/*"
_PULLS = "refs/perfsuite/pull"
_LEFT_OVER_S = 24 * 3600.0
"""A download that nobody went on with for a day never ends."""
_MOST_REPAIRS = 20


def _without_header() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Mirror(History):
    """A bare repository at `root`. Several processes may use it at once; a killed one leaves nothing that
    the next call does not mend."""

    url: str
    name: str
    """`owner/name`: what working trees of it call themselves."""
    header_of: Callable[[], str | None] = _without_header
    """The HTTP header that opens the remote, asked for at each use, since tokens expire."""

    @classmethod
    def open(
        cls, folder: Path, url: str, name: str, header_of: Callable[[], str | None] = _without_header
    ) -> Mirror:
        """The mirror at `folder`, made there if it is missing or no repository; nothing is fetched.

        Raises:
            MachineError: the disk is read-only or full, or there is no git.
        """
        mirror = cls(folder.absolute(), url, name, header_of)
        settings = {NAME_KEY: name, "remote.origin.url": url}
        if mirror._whole() and all(mirror._ask("config", "--get", key) == settings[key] for key in settings):
            return mirror  # without waiting for whoever fetches
        with mirror._locked() as lock:
            if not mirror._whole():
                mirror._create(lock)
            for key, value in settings.items():
                mirror._repairing(lock, "config", "--replace-all", key, value)
        return mirror

    def fetch(self, branches: bool = True, pulls: Sequence[int] = ()) -> tuple[int, ...]:
        """Brings branches and heads of pull requests up to date, force-pushed and deleted ones too.

        Returns:
            Those of `pulls` that the remote does not have.

        Raises:
            MachineError: the remote does not answer.
            UsageError: it refuses us.
        """
        missing: list[int] = []
        with self._locked() as lock:
            while True:
                wanted = [number for number in pulls if number not in missing]
                refs = [f"+refs/pull/{number}/head:{_PULLS}/{number}" for number in wanted]
                refs += [_BRANCHES] if branches else []
                if not refs:
                    return tuple(missing)
                try:
                    self._repairing(
                        lock, "fetch", "--quiet", "--no-tags", "--prune", "--", self.url, *refs, network=True
                    )
                except GitError as error:
                    gone = re.search(r"couldn't find remote ref refs/pull/(\d+)/head", error.output)
                    if gone is None or int(gone[1]) in missing:
                        raise
                    missing.append(int(gone[1]))
                else:
                    return tuple(missing)

    def pull_head(self, number: int) -> str | None:
        """Sha of a pull request's head as it was last fetched."""
        return self._ask("rev-parse", "--verify", "--quiet", f"{_PULLS}/{number}^{{commit}}") or None

    def say_default(self, branch: str) -> None:
        """Tells working trees which branch the main line is."""
        with self._locked() as lock:
            self._repairing(lock, "symbolic-ref", "refs/remotes/origin/HEAD", f"refs/heads/{branch}")

    def definitions(self, sha: str, names: Collection[str]) -> Mapping[str, Place]:
        """Where functions of these names are defined at a commit: path, first and last line.

        Of several of one name the first by path; a name that is defined nowhere is not in it.
        """
        return find_definitions(self._run, lambda path: self.read(sha, path), self.resolve(sha).sha, names)

    def home(self, folder: Path, sha: str) -> Path:
        """A working tree that stays, brought to exactly that commit whatever happened to it.

        `.perfsuite` in it is kept: that is where caches lie. Its files are read as configuration by whoever
        works there: it is for commits that are trusted, those of the default branch. One job at a time may
        use it. It has no submodules: what is measured are worktrees made from it.

        Raises:
            UsageError: there is no such commit, or it tracks `.perfsuite`.
        """
        commit = self.resolve(sha).sha
        if self._ask("ls-tree", commit, "--", STATE_FOLDER):
            raise UsageError(
                f"commit {commit[:10]} tracks {STATE_FOLDER}, which is ours to write",
                f"git rm -r --cached {STATE_FOLDER}",
            )
        folder = folder.absolute()
        with self._locked() as lock:
            if not self._is_home(folder):
                self._rebuild(folder, commit, lock)
            try:
                self._bring(folder, commit, lock)
            except (GitError, OSError):
                self._rebuild(folder, commit, lock)
                self._bring(folder, commit, lock)
        return folder

    def trust_submodules(self, home: Path, sha: str) -> None:
        """From now on only addresses that submodules of this commit have may be used in any working tree."""
        found = {module.url for module in self._submodules(home, sha, None)}
        if self._trusted() == found:
            return
        with self._locked() as lock:
            self._repairing(lock, "config", "--replace-all", LISTED_KEY, "true")
            with contextlib.suppress(GitError):
                self._repairing(lock, "config", "--unset-all", TRUSTED_KEY)
            for url in sorted(found):
                self._repairing(lock, "config", "--add", TRUSTED_KEY, url)

    def cache_submodules(self, home: Path, sha: str) -> None:
        """Downloads the submodules of a commit to where worktrees made in `home` look first: they then need
        neither the network nor our header.

        Raises:
            UsageError: one has an address that is not trusted.
            MachineError: a remote does not answer.
        """
        self._submodules(home, sha, self._trusted())

    def prune(self, pulls: Collection[int] | None = None) -> None:
        """Removes what nobody needs: entries of working trees that are gone, downloads that never ended, and
        heads of all pull requests but these, if given."""
        with self._locked() as lock:
            self._repairing(lock, "worktree", "prune")
            oldest = time.time() - _LEFT_OVER_S
            for file in (self.root / "objects" / "pack").glob("tmp_*"):
                with contextlib.suppress(OSError):
                    if file.stat().st_mtime < oldest:
                        file.unlink()
            for ref in self._ask("for-each-ref", "--format=%(refname)", _PULLS).split():
                if pulls is not None and int(ref.rpartition("/")[2]) not in pulls:
                    self._repairing(lock, "update-ref", "-d", ref)

    def gc(self) -> None:
        """What git itself finds worth doing: packing, and removing what has long been unreachable."""
        with self._locked() as lock:
            self._repairing(lock, "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")

    @property
    def size(self) -> int:
        """Bytes of its objects on disk."""
        counts = dict(line.split(": ", 1) for line in self._run("count-objects", "-v").splitlines())
        return 1024 * sum(int(counts.get(key, 0)) for key in ("size", "size-pack", "size-garbage"))

    def _locked(self) -> contextlib.AbstractContextManager[int]:
        return locked(self.root.with_name(f"{self.root.name}.lock"))

    def _whole(self) -> bool:
        return self.root.is_dir() and self._ask("rev-parse", "--is-bare-repository") == "true"

    def _create(self, lock: int) -> None:
        part = self.root.with_name(f"{self.root.name}.part")
        try:
            for left in (part, self.root):
                _remove(left)
            self.root.parent.mkdir(parents=True, exist_ok=True)
            command = ("init", "--quiet", "--bare", "--initial-branch=main", str(part))
            run_git(self.root.parent, *command, keep=(lock,))
            part.rename(self.root)
        except OSError as error:
            raise MachineError(
                f"cannot make {self.root}: {error.strerror or error}", "make it writable or free some space"
            ) from error

    def _is_home(self, folder: Path) -> bool:
        if folder.is_symlink() or not (folder / ".git").is_file():
            return False
        try:
            common = run_git(folder, "rev-parse", "--git-common-dir", environ=_not_above(folder))
        except GitError:
            return False
        return (folder / common).resolve() == self.root.resolve()

    def _bring(self, folder: Path, sha: str, lock: int) -> None:
        state, kept = folder / STATE_FOLDER, _aside(folder)
        if state.is_symlink():
            state.unlink()
        if kept.is_dir() and not state.exists():
            kept.rename(state)
        environ = _not_above(folder)
        git_folder = folder / run_git(folder, "rev-parse", "--git-dir", environ=environ)
        (git_folder / "index.lock").unlink(missing_ok=True)
        for command in (
            ("checkout", "--quiet", "--force", "--detach", sha),
            ("clean", "--quiet", "-ffdx", f"--exclude=/{STATE_FOLDER}"),
        ):
            run_git(
                folder,
                *("-c", "core.hooksPath=/dev/null", *command),
                environ=environ,
                timeout_s=CHECKOUT_TIMEOUT_S,
                keep=(lock,),
            )

    def _rebuild(self, folder: Path, sha: str, lock: int) -> None:
        """A new working tree in the place of whatever is there, but for the caches."""
        state, kept = folder / STATE_FOLDER, _aside(folder)
        try:
            if not folder.is_symlink() and not state.is_symlink() and state.is_dir() and not kept.exists():
                state.rename(kept)
            _remove(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(
                f"cannot make {folder} anew: {error.strerror or error}", "remove it by hand"
            ) from error
        self._repairing(
            lock,
            *("-c", "core.hooksPath=/dev/null", "worktree", "add", "--force", "--force", "--detach"),
            *("--quiet", str(folder), sha),
        )

    def _submodules(self, home: Path, sha: str, allowed: Collection[str] | None) -> list[Submodule]:
        sources = Sources(home / STATE_FOLDER / "submodules", self.url, allowed, header=self._header())
        environ = {"GIT_DIR": str(self.root)}
        return submodules(self.root, self.resolve(sha).sha, sources, environ)

    def _trusted(self) -> set[str] | None:
        if self._ask("config", "--type=bool", "--get", LISTED_KEY) != "true":
            return None
        return set(filter(None, self._ask("config", "--get-all", TRUSTED_KEY).split("\n")))

    def _header(self) -> tuple[str, str] | None:
        """For all of the remote's host, where submodules usually lie, too."""
        parts = urlsplit(self.url)
        value = self.header_of() if parts.scheme in ("http", "https") else None
        host = parts.netloc.rpartition("@")[2]
        return (f"{parts.scheme}://{host}/", value) if value else None

    def _repairing(self, lock: int, *command: str, network: bool = False) -> str:
        """Runs git; locks that a killed git left are removed: nobody else is at work while we hold ours."""
        environ = {"GIT_DIR": str(self.root)}
        for _ in range(_MOST_REPAIRS):
            try:
                if network:
                    return run_network(
                        self.root, *command, header=self._header(), environ=environ, keep=(lock,)
                    )
                return run_git(
                    self.root, *command, environ=environ, timeout_s=CHECKOUT_TIMEOUT_S, keep=(lock,)
                )
            except GitError as error:
                left = _lock_in_the_way(error.output)
                if left is None or not left.is_relative_to(self.root):
                    raise
                left.unlink(missing_ok=True)
        raise MachineError(f"{self.root} is full of locks of a git that was killed", f"rm -r {self.root}")

    def _run(
        self, *command: str, environ: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> str:
        # Named, not found: a broken mirror inside another repository must not be taken for that one.
        own = {"GIT_DIR": str(self.root), **(environ or {})}
        return run_git(self.root, *command, environ=own, timeout_s=timeout_s, strip=False)


def _aside(folder: Path) -> Path:
    """Where the caches of a working tree wait while it is made anew."""
    return folder.with_name(f"{folder.name}.state")


def _not_above(folder: Path) -> dict[str, str]:
    """git does not look for a repository above a folder that is broken."""
    return {"GIT_CEILING_DIRECTORIES": os.fspath(folder.parent)}


def _lock_in_the_way(output: str) -> Path | None:
    """The lock file that git complains about."""
    file = re.search(r"Unable to create '([^']+\.lock)': File exists", output)
    config = re.search(r"could not lock config file (.+): File exists", output)
    if file:
        return Path(file[1])
    return Path(f"{config[1]}.lock") if config else None


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
