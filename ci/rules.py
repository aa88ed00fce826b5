"""What verdicts on a pull request rest on: the terms of the commit it starts from, and main since then."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.sorting import Trunk, launch_orders
from ci.workplace import CONFIG_FILE
from perfsuite.config import Config, load_config
from perfsuite.errors import UsageError
from perfsuite.git import Repository
from perfsuite.model import Run, Status
from perfsuite.report.conditions import is_untrusted
from perfsuite.store import Reader

MOST_COMMITS = 500
"""Of main after a merge base: a pull request that is further behind has other worries."""


@dataclass(frozen=True, slots=True)
class Rules:
    config: Config
    threshold: float | None = None
    """In place of the configured one."""
    commits: tuple[str, ...] = ()
    """Shas of the base branch after the merge base."""


def rules_at(clone: Path, base: str, branch: str, threshold: float | None = None) -> Rules:
    """The terms of a commit of a branch on GitHub.

    Args:
        clone: a clone with the history of that branch.

    Raises:
        UsageError: the commit is none of the branch's, or has no benchmarks.
    """
    repository = Repository.discover(clone)
    tip = f"refs/remotes/origin/{branch}"
    if not (repository.has(base) and repository.is_ancestor(base, tip)):
        raise UsageError(
            f"{base[:10]} is no commit of {branch!r} in {clone}", "check out that branch with fetch-depth: 0"
        )
    text = repository.read(base, CONFIG_FILE)
    if text is None:
        raise UsageError(f"{base[:10]} has no {CONFIG_FILE}", "measure against a commit that has one")
    with tempfile.TemporaryDirectory(prefix="perfsuite-rules-") as folder:
        Path(folder, CONFIG_FILE).write_bytes(text)
        config = load_config(Path(folder), {})
    return Rules(config, threshold, commits_after(repository, base, branch))


def commits_after(repository: Repository, base: str, branch: str) -> tuple[str, ...]:
    """Shas of a branch on GitHub that are not in `base`, oldest first."""
    commits = repository.commits((base, f"refs/remotes/origin/{branch}"), limit=MOST_COMMITS)
    return tuple(commit.sha for commit in commits)


def newest_run(reader: Reader, repository: str, fingerprint: str, commits: Sequence[str]) -> Run | None:
    """The run in one environment, if it came to its end, of the latest that there is of these commits.

    Older commits may be measured later (backfills): when it was decides only between runs of one commit.

    Args:
        commits: oldest first.
    """
    places = {sha: place for place, sha in enumerate(commits)}
    runs = [
        run
        for run in reader.runs(limit=None, kind="run", repository=repository, shas=commits)
        if run.environment.fingerprint == fingerprint
        and run.finished_at is not None
        and not run.commit.dirty
        and not is_untrusted(run.environment)
    ]
    # Of equals the first stays, which is the newest.
    return max(runs, key=lambda run: places[run.commit.sha], default=None)


def trunk_of(reader: Reader, repository: str, fingerprint: str, commits: Sequence[str]) -> Trunk:
    """What the series of main knows beyond the merge base.

    Args:
        commits: shas of main after it, oldest first; without any, main knows nothing more.
    """
    if not commits:
        return Trunk()
    newest = newest_run(reader, repository, fingerprint, commits)
    results = reader.results(newest.id, samples=False) if newest else []
    failing = [result.case for result in results if result.status in (Status.INCORRECT, Status.FAILED)]
    return Trunk(reader.alerts(repository), launch_orders(results), failing, commits)
