"""`perfsuite run`: every case on the working tree, stored as it goes, then the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import (
    CaseTimeoutOption,
    DatabaseOption,
    JsonOption,
    PatternOption,
    Profile,
    ProfileOption,
    ResumeOption,
)

if TYPE_CHECKING:
    from perfsuite.cli.measuring import Plan
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.measure.settings import Progress
    from perfsuite.model import Commit, Result, Run
    from perfsuite.store import Store

SuiteArgument = Annotated[
    Path | None,
    typer.Argument(metavar="SUITE", help="Folder or file of benchmarks. Default: the configured suite."),
]


def run(
    context: typer.Context,
    suite: SuiteArgument = None,
    pattern: PatternOption = "",
    profile: ProfileOption = Profile.PR,
    case_timeout: CaseTimeoutOption = None,
    resume: ResumeOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Measure every case on the working tree.

    Each case is checked against its reference first. With a GPU it is timed there; without one, its kernels
    run through Triton's interpreter at small shapes and are compiled for the target GPU at real ones.
    """
    from perfsuite.cli.measuring import make_plan
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.report import run_exit_code
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    config = _config(services, suite, db)
    commit, repository = _commit(config)
    plan = make_plan(services, config, profile, pattern)
    with open_store(config.database) as store:
        measured = _measure(plan, store, commit, repository, resume, case_timeout)
        results = store.reader.results(measured.id)
        finished = store.reader.run(measured.id)
        alerts = _alerts(store, config, finished, results)
    show_run(services, config, finished, results, json)
    if alerts:
        noun = "alert" if alerts == 1 else "alerts"
        typer.echo(f"{alerts} {noun} new or changed: perfsuite alerts", err=True)
    raise typer.Exit(run_exit_code(results))


def _alerts(store: Store, config: Config, run: Run, results: list[Result]) -> int:
    """How many alerts a run of the default branch raised or changed; others say nothing of its history."""
    from perfsuite.cli.updating import default_branch_of, update_alerts

    branch = default_branch_of(config, run.repository)
    if run.commit.dirty or branch is None or run.commit.branch != branch.removeprefix("origin/"):
        return 0
    cases = {result.case for result in results}
    return len(update_alerts(store, run.repository, branch=branch, cases=cases))


def show_run(services: Services, config: Config, run: Run, results: list[Result], json: str | None) -> None:
    """The table, or what `--json` asks for."""
    from perfsuite.cli.output import STANDARD_OUTPUT, colored, show, show_json, text_width
    from perfsuite.report.json import run_json
    from perfsuite.report.text import run_text

    if json is not None:
        show_json(run_json(run, results), json)
    if json != STANDARD_OUTPUT:
        show(run_text(run, results, width=text_width(services.environ), color=colored(config.color)))


def _config(services: Services, suite: Path | None, db: str | None) -> Config:
    # A suite named on the command line needs no configuration: any folder of benchmarks can be measured.
    config = services.config(db, required=suite is None)
    if suite is not None:
        config = config.with_suite(services.cwd / suite)
    config.suite_folder()
    return config


def _commit(config: Config) -> tuple[Commit, str]:
    """What is measured, and the repository's name."""
    from perfsuite.git import UNVERSIONED, NotARepository, Repository

    try:
        repository = Repository.discover(config.root)
        return repository.head(), repository.name
    except NotARepository:
        return UNVERSIONED, config.root.name


def _measure(
    plan: Plan, store: Store, commit: Commit, repository: str, resume: bool, case_timeout_s: float | None
) -> Run:
    from perfsuite.cases import NoCases
    from perfsuite.cli.measuring import Once, now, telling_of_interruption, tree_of
    from perfsuite.cli.progress import showing_progress

    with showing_progress(color=plan.config.color) as progress:
        unfinished = _unfinished(plan, store, commit, repository, progress) if resume else None
        done = _versions(store, unfinished) if unfinished else {}
        run = unfinished or plan.new_run(commit, repository, "run")
        begin = Once(lambda: store.start_run(run), done=unfinished is not None)

        def sink(result: Result) -> None:
            begin()
            store.save_result(run.id, result)

        with telling_of_interruption(progress, begin, "this run", "perfsuite run"):
            settings = plan.settings(case_timeout_s, done)
            plan.services.session.run(tree_of(plan.config, commit), settings, sink, progress)
    if not begin.done:
        raise NoCases(plan.pattern, [])
    store.finish_run(run.id, now())
    return run


def _versions(store: Store, run: Run) -> dict[str, str]:
    """Version by case of what a run has already."""
    return {result.case: result.version for result in store.reader.results(run.id, samples=False)}


def _unfinished(plan: Plan, store: Store, commit: Commit, repository: str, progress: Progress) -> Run | None:
    from perfsuite.git import UNVERSIONED

    if commit.sha == UNVERSIONED.sha:
        progress.note("nothing can be resumed outside git, where changes do not show: measuring everything")
        return None
    found = store.reader.unfinished_run(
        sha=commit.sha,
        dirty=commit.dirty,
        fingerprint=plan.environment.fingerprint,
        profile=plan.profile,
        pattern=plan.pattern,
        suite=plan.config.suite,
        repository=repository,
    )
    if found is None:
        progress.note(f"nothing to resume of {commit.label} ({plan.profile}): measuring everything")
    else:
        cases = len(store.reader.finished_cases(found.id))
        progress.note(f"resuming run {found.id[:8]}: {cases} cases are done")
    return found
