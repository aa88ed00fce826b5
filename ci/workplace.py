"""Where one watched repository lives on this machine: a bare mirror, a checkout to measure from, caches.

Everything here is of trusted commits: the checkout is the merge base (or a commit of main), so that the
suite, the thresholds and the paths are those of the repository, not those of a pull request. The code under
test is only ever checked out by the comparison itself, into worktrees of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from perfsuite.config import STATE_FOLDER, Config, load_config
from perfsuite.errors import MachineError, UsageError
from perfsuite.git.mirror import Mirror
from perfsuite.model import Commit

CACHE_LIMIT_BYTES = 20 << 30
"""Of the Triton caches and logs of one repository; above it the caches are made anew."""
_CACHES = ("triton", "submodules")
"""Below the checkout's state, in the order in which they go: the second has to be downloaded again."""
_MOST_LOGS = 200
CONFIG_FILE = "pyproject.toml"


class NothingToMeasure(Exception):
    """There is a reason, and it is no failure."""


class NoTable(UsageError):
    """A commit that says nothing about benchmarks."""


class CommitGone(Exception):
    """The commit cannot be fetched any more: a force-push, or a deleted branch."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checkout from which to measure."""

    home: Path
    """Where commands run: the folder of the configuration."""
    config: Config
    base: str = ""
    """Sha of the merge base; empty for a single commit."""


class Workplace:
    """One at a time uses a folder: a second process of the same state waits in `held`."""

    def __init__(
        self, state: Path, repository: str, url: Callable[[], str], header_of: Callable[[], str | None]
    ) -> None:
        """
        Args:
            state: folder of the service; made if missing.
            repository: `owner/name`.
            url: where to clone from; asked when it is first needed.
            header_of: the authorization header for fetching; None where none is needed.
        """
        self.folder = state / "repositories" / repository.replace("/", "--")
        self.repository = repository
        self._url, self._header_of = url, header_of
        self._mirror: Mirror | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """The lock of this folder. Its descriptor is handed to measurements, which hold it as well: what a
        killed service left running is waited for.

        Raises:
            MachineError: another process has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise MachineError(
                f"another process watches {self.repository} with the state in {self.folder}",
                "stop it, or give this one a --state of its own",
            ) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @property
    def mirror(self) -> Mirror:
        if self._mirror is None:
            self._mirror = Mirror.open(
                self.folder / "mirror.git", self._url(), self.repository, self._header_of
            )
        return self._mirror

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def fetch(self, pulls: Sequence[int] = ()) -> None:
        """All branches, and the heads of these pull requests.

        Raises:
            MachineError: the remote does not answer, or refuses us: whichever, it may be better later.
        """
        try:
            self.mirror.fetch(branches=True, pulls=pulls)
        except UsageError as error:
            raise MachineError(error.what, "check the address and the token's access") from error

    def prepare_pull(self, number: int, head: str, base_branch: str) -> Prepared:
        """Fetches, and brings the checkout to the merge base.

        Raises:
            CommitGone: the head is not to be had any more.
            NothingToMeasure: no change can move a benchmark, or the base has no benchmarks.
        """
        self.fetch([number])
        mirror = self.mirror
        if not mirror.has(head):
            raise CommitGone(f"{head[:10]} cannot be fetched any more (force-push or deleted branch)")
        try:
            base = mirror.merge_base(f"refs/heads/{base_branch}", head).sha
        except UsageError as error:
            raise NothingToMeasure(f"no common history with {base_branch}: {error.what}") from error
        if base == head:
            raise NothingToMeasure(f"{head[:10]} is in {base_branch} already")
        prepared = self._at(base, base_branch)
        mirror.trust_submodules(self.home, base)
        if not mirror.changed_paths(base, head, globs_of(prepared.config)):
            raise NothingToMeasure(f"nothing in {', '.join(prepared.config.paths)} changed")
        for sha in (base, head):
            mirror.cache_submodules(self.home, sha)
        return prepared

    def prepare_commit(self, sha: str, branch: str) -> Prepared:
        """Brings the checkout to a commit of the main line. Raises: CommitGone, NothingToMeasure."""
        if not self.mirror.has(sha):
            self.fetch()
        if not self.mirror.has(sha):
            raise CommitGone(f"{sha[:10]} is not in the repository any more")
        prepared = self._at(sha, branch)
        self.mirror.trust_submodules(self.home, sha)
        self.mirror.cache_submodules(self.home, sha)
        return prepared

    def waiting_commits(self, branch: str, measured: Collection[str], most: int) -> list[Commit]:
        """Commits of a branch, oldest first, that can move a benchmark and are newer than the newest measured
        one; where none is measured yet, only the newest of all."""
        commits = self.mirror.commits(f"refs/heads/{branch}", limit=most)
        newest = max((i for i, commit in enumerate(commits) if commit.sha in measured), default=None)
        if newest is None:
            return commits[-1:]
        new = commits[newest + 1 :]
        if not new:
            return []
        config = self.config_at(new[-1].sha)
        if config is None:
            return []
        globs = globs_of(config)
        before = [commits[newest], *new]
        return [
            commit
            for parent, commit in zip(before, new, strict=False)
            if self.mirror.changed_paths(parent.sha, commit.sha, globs)
        ]

    def clean_up(self, pulls: Collection[int] | None = None) -> None:
        """Keeps caches and logs within bounds; nothing here is needed to go on.

        Only while nothing is measured: a measurement works in the caches.

        Args:
            pulls: the open pull requests: heads of others are let go; None: all are kept.
        """
        state = self.home / STATE_FOLDER
        for folder in (self.logs, state / "logs"):
            _keep_newest(folder, _MOST_LOGS)
        for cache in _CACHES:
            if size_of(state) > CACHE_LIMIT_BYTES:
                shutil.rmtree(state / cache, ignore_errors=True)
        self.mirror.prune(pulls)
        self.mirror.gc()

    def _at(self, sha: str, branch: str) -> Prepared:
        self.mirror.say_default(branch)
        self.mirror.home(self.home, sha)
        try:
            config = _config_of(self.home)
        except NoTable:
            missing = f"there is no [tool.perfsuite] table in {CONFIG_FILE} at {sha[:10]}"
            raise NothingToMeasure(f"no baseline: {missing}") from None
        except UsageError as error:
            # Published: the file's name is known to everybody, its folder here is nobody's business.
            words = error.what.replace(f"{self.home.resolve()}/", "").replace(f"{self.home}/", "")
            raise NothingToMeasure(f"no baseline: at {sha[:10]} {words}") from error
        if not (self.home / config.suite).exists():
            raise NothingToMeasure(f"no baseline: {sha[:10]} has no benchmarks at {config.suite}")
        return Prepared(self.home, config, sha)

    def config_at(self, sha: str) -> Config | None:
        """The configuration of a commit, without touching the checkout: something may be measured there."""
        text = self.mirror.read(sha, CONFIG_FILE)
        if text is None:
            return None
        with tempfile.TemporaryDirectory(prefix="perfsuite-") as folder:
            Path(folder, CONFIG_FILE).write_bytes(text)
            try:
                return _config_of(Path(folder))
            except UsageError:
                return None


def _config_of(folder: Path) -> Config:
    """The configuration that lies in a folder, not one further up, which is another project's.

    Raises:
        NoTable: there is none.
        UsageError: it is broken.
    """
    config = load_config(folder, {}, required=False)
    if config.file is None or config.root != folder.resolve():
        raise NoTable(f"{CONFIG_FILE} has no [tool.perfsuite] table")
    return config


def globs_of(config: Config) -> tuple[str, ...]:
    """What can move a benchmark: the configured paths, the benchmarks and the configuration itself."""
    suite = config.suite.rstrip("/")
    return tuple(dict.fromkeys((*config.paths, suite, f"{suite}/**", CONFIG_FILE)))


def _keep_newest(folder: Path, most: int) -> None:
    """Removes all logs of a folder but so many; one may be removed by hand meanwhile."""
    ages: dict[Path, float] = {}
    for file in folder.glob("*.log"):
        with contextlib.suppress(FileNotFoundError):
            ages[file] = file.stat().st_mtime
    for file in sorted(ages, key=lambda file: (ages[file], file.name))[:-most]:
        file.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(root, name).lstat().st_size
    return total
