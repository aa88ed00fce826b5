"""`perfsuite backfill`: past commits of the main line, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfsuite.cli.options import (
    CaseTimeoutOption,
    ConfineOption,
    DatabaseOption,
    EventsOption,
    JsonOption,
    PatternOption,
    Profile,
    ProfileOption,
    WaitIdleOption,
    WaitOption,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfsuite.cli.measuring import Plan
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.model import Commit, Run
    from perfsuite.store import Store

_STRENGTH = {Profile.QUICK.value: 0, Profile.PR.value: 1, Profile.FULL.value: 2}
"""A run of a stronger profile is as good as one that was asked for."""
_ALL_RUNS = 1_000_000
_PLANNED, _MEASURED, _FAILED = "planned", "measured", "failed"

RangeArgument = Annotated[
    str, typer.Argument(metavar="RANGE", help="A..B: what B has and A has not; one revision: that commit.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many commits now.")
]
EveryOption = Annotated[
    int, typer.Option("--every", metavar="N", min=1, help="Only every so many-th commit, from the newest.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be measured, in which order.")]
AgainOption = Annotated[bool, typer.Option("--again", help="Also the commits that failed before.")]
ChangedOnlyOption = Annotated[
    bool,
    typer.Option(
        "--changed-only/--all-commits", help="Leave out commits that change nothing in the configured paths."
    ),
]


def backfill(
    context: typer.Context,
    revisions: RangeArgument,
    pattern: PatternOption = "",
    profile: ProfileOption = Profile.PR,
    limit: LimitOption = None,
    every: EveryOption = 1,
    changed_only: ChangedOnlyOption = True,
    again: AgainOption = False,
    dry_run: DryRunOption = False,
    case_timeout: CaseTimeoutOption = None,
    db: DatabaseOption = None,
    json: JsonOption = None,
    events: EventsOption = None,
    wait: WaitOption = None,
    wait_idle: WaitIdleOption = None,
    confine: ConfineOption = False,
) -> None:
    """Measure past commits of the main line, so that its history has a beginning.

    Coarse to fine: the newest and the oldest commit, then the middle of every gap. What the store has of this
    environment is left out; a commit that cannot be built is recorded as failed and passed over. It can be
    interrupted at any time: the same command goes on.
    """
    from perfsuite.cli.events import check_events
    from perfsuite.cli.measuring import Manner, make_plan
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.git import Repository
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    check_events(events)
    config = services.config(db)
    repository = Repository.discover(config.root)
    branch = repository.default_branch(config.default_branch)
    chosen = _chosen(repository, config, branch, revisions, every, changed_only)
    plan = make_plan(services, config, profile, pattern, Manner(events, wait, wait_idle, confine))
    with open_store(config.database) as store:
        work = _Work(plan, store, repository, branch.removeprefix("origin/"), case_timeout)
        todo = work.todo(chosen.commits, again)
        typer.echo(_announced(chosen, todo), err=True)
        now = todo.order[:limit]
        steps = [_Step(commit) for commit in now] if dry_run else work.measure_all(now)
    _show(_document(chosen, todo, branch, steps), json)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Commits of the range that may be measured, the oldest first."""

    commits: Sequence[Commit]
    range: str
    total: int
    """Commits in the range."""
    unchanged: int
    """Of these left out because nothing that counts changed."""


@dataclass(frozen=True, slots=True)
class _Todo:
    order: Sequence[Commit]
    known: int
    failed: int
    """Not tried again."""


def _chosen(
    repository: Repository, config: Config, branch: str, revisions: str, every: int, changed_only: bool
) -> _Chosen:
    from perfsuite.errors import UsageError

    first, dots, last = revisions.partition("..")
    end = repository.resolve((last if dots else first) or "HEAD")
    if not repository.is_ancestor(end.sha, branch):
        raise UsageError(
            f"{end.label} is not part of {branch}", "the history is that of the main line: name its commits"
        )
    if not dots:
        return _Chosen([end], revisions, 1, 0)
    found = repository.commits((first or "HEAD", end.sha))
    kept = found
    if changed_only:
        below = config.root.relative_to(repository.root)
        globs = [(below / glob).as_posix() for glob in config.paths]
        changed = {commit.sha for commit in repository.commits((first or "HEAD", end.sha), globs=globs)}
        kept = [commit for commit in found if commit.sha in changed]
    return _Chosen(kept[::-1][::every][::-1], revisions, len(found), len(found) - len(kept))


@dataclass(frozen=True, slots=True)
class _Step:
    commit: Commit
    state: str = _PLANNED
    run: str | None = None
    """Its id."""


@dataclass(slots=True)
class _Work:
    plan: Plan
    store: Store
    repository: Repository
    branch: str
    case_timeout_s: float | None
    _measured: set[str] = field(default_factory=set)
    """Cases of the runs that were made."""
    _begun: set[str] = field(default_factory=set)
    """Commits with a run that was interrupted."""

    def todo(self, commits: Sequence[Commit], again: bool) -> _Todo:
        """What is to be measured, in order."""
        from perfsuite.stats.search import coarse_to_fine

        runs = self._finished_runs({commit.sha for commit in commits})
        failed = {sha for sha, of_commit in runs.items() if not any(map(self._is_good, of_commit))}
        known = [number for number, commit in enumerate(commits) if commit.sha in set(runs) - failed]
        order = [commits[number] for number in coarse_to_fine(len(commits), known)]
        passed = [] if again else [commit for commit in order if commit.sha in failed]
        return _Todo([commit for commit in order if commit not in passed], len(known), len(passed))

    def measure_all(self, commits: Sequence[Commit]) -> list[_Step]:
        steps = []
        try:
            for number, commit in enumerate(commits, 1):
                typer.echo(f"[{number}/{len(commits)}] {commit.label} {commit.subject}", err=True)
                steps.append(self._measure(commit))
        finally:
            # What was measured counts, however this ends.
            self._update_alerts()
        return steps

    def _measure(self, commit: Commit) -> _Step:
        from perfsuite.cli.alone import measure_revision
        from perfsuite.errors import UsageError
        from perfsuite.git import GitError

        try:
            run = measure_revision(
                *(self.plan, self.store, self.repository, commit.sha),
                branch=self.branch,
                resume=commit.sha in self._begun,
                case_timeout_s=self.case_timeout_s,
            )
        except GitError:
            # Whatever git refuses here is no fault of the commit's code.
            raise
        except UsageError as error:
            typer.echo(f"{commit.label} failed: {error.what}", err=True)
            return _Step(commit, _FAILED, self._record(commit, error.what).id)
        self._measured = self._measured | self.store.reader.finished_cases(run.id)
        return _Step(commit, _MEASURED if self._is_good(run) else _FAILED, run.id)

    def _update_alerts(self) -> None:
        """New points may show new change points."""
        from perfsuite.cli.updating import update_alerts

        if self._measured:
            name = self.repository.name
            changed = update_alerts(self.store, name, branch=self.branch, cases=self._measured)
            if changed:
                noun = "alert" if len(changed) == 1 else "alerts"
                typer.echo(f"{len(changed)} {noun} new or changed: perfsuite alerts", err=True)

    def _finished_runs(self, wanted: set[str]) -> dict[str, list[Run]]:
        """Sha → finished runs of this environment that hold what was asked for."""
        found: dict[str, list[Run]] = {}
        for run in self.store.reader.runs(limit=_ALL_RUNS, kind="run", repository=self.repository.name):
            if run.commit.sha in wanted and run.finished_at is None:
                self._begun.add(run.commit.sha)
            elif run.commit.sha in wanted and self._answers(run):
                found.setdefault(run.commit.sha, []).append(run)
        return found

    def _answers(self, run: Run) -> bool:
        plan = self.plan
        return (
            not run.commit.dirty
            and run.environment.fingerprint == plan.environment.fingerprint
            and run.pattern in ("", plan.pattern)
            and run.suite == plan.config.suite
            and _STRENGTH.get(run.profile, 0) >= _STRENGTH[plan.profile]
        )

    def _is_good(self, run: Run) -> bool:
        """Whether anything could be measured."""
        from perfsuite.model import Status

        results = self.store.reader.results(run.id, samples=False)
        return any(result.status is Status.OK for result in results)

    def _record(self, commit: Commit, message: str) -> Run:
        """Keeps that a commit cannot be measured, so that it is not tried again and again."""
        from perfsuite.cli.measuring import now
        from perfsuite.measure.session import COLLECTION
        from perfsuite.model import Result, Status, Timer

        run = self.plan.new_run(replace(commit, branch=self.branch), self.repository.name, "run")
        failure = Result(
            case=COLLECTION,
            version="",
            family=COLLECTION,
            params={},
            device="cuda" if self.plan.environment.gpu else "cpu",
            status=Status.FAILED,
            timer=Timer.NONE,
            message=message,
        )
        self.store.start_run(run)
        self.store.save_result(run.id, failure)
        self.store.finish_run(run.id, now())
        return run


def _announced(chosen: _Chosen, todo: _Todo) -> str:
    parts = [f"{len(todo.order)} of {chosen.total} commits to measure"]
    parts += [f"{chosen.unchanged} change nothing that counts"] if chosen.unchanged else []
    parts += [f"{todo.known} measured before"] if todo.known else []
    parts += [f"{todo.failed} failed before (--again tries them)"] if todo.failed else []
    return ", ".join(parts)


def _document(chosen: _Chosen, todo: _Todo, branch: str, steps: Sequence[_Step]) -> dict[str, Any]:
    return {
        "schema": 1,
        "range": chosen.range,
        "branch": branch,
        "commits": chosen.total,
        "unchanged": chosen.unchanged,
        "known": todo.known,
        "failed_before": todo.failed,
        "left": len(todo.order) - sum(step.state != _PLANNED for step in steps),
        "runs": [
            {
                "commit": step.commit.sha,
                "subject": step.commit.subject,
                "state": step.state,
                "run": step.run,
            }
            for step in steps
        ],
        "exit_code": 0,
    }


def _show(document: dict[str, Any], json: str | None) -> None:
    from perfsuite.cli.output import STANDARD_OUTPUT, show, show_json
    from perfsuite.report.columns import columns
    from perfsuite.report.words import plain

    if json is not None:
        show_json(document, json)
    if json == STANDARD_OUTPUT:
        return
    rows = [(run["commit"][:10], run["state"], plain(run["subject"])) for run in document["runs"]]
    left = f"{document['left']} commits are left." if document["left"] else "Nothing is left to measure."
    show("\n".join([*columns(("commit", "state", "subject"), rows), left]))
