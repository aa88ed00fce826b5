"""`perfsuite run`: every case of one commit, stored as it goes, then the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import (
    CaseTimeoutOption,
    ConfineOption,
    DatabaseOption,
    EventsOption,
    JsonOption,
    OnceOption,
    PatternOption,
    Profile,
    ProfileOption,
    ResumeOption,
    UntrustedOption,
    WaitIdleOption,
    WaitOption,
)

if TYPE_CHECKING:
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.model import Result, Run
    from perfsuite.store import Store

RevisionOption = Annotated[
    str | None,
    typer.Option("--revision", metavar="REV", help="A clean checkout of it, instead of the working tree."),
]
BranchOption = Annotated[
    str | None, typer.Option("--branch", metavar="NAME", help="With --revision: the branch that it is on.")
]
SuiteArgument = Annotated[
    Path | None,
    typer.Argument(metavar="SUITE", help="Folder or file of benchmarks. Default: the configured suite."),
]


def run(
    context: typer.Context,
    suite: SuiteArgument = None,
    pattern: PatternOption = "",
    profile: ProfileOption = Profile.PR,
    revision: RevisionOption = None,
    branch: BranchOption = None,
    case_timeout: CaseTimeoutOption = None,
    resume: ResumeOption = False,
    once: OnceOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
    events: EventsOption = None,
    wait: WaitOption = None,
    wait_idle: WaitIdleOption = None,
    confine: ConfineOption = False,
    untrusted: UntrustedOption = False,
) -> None:
    """Measure every case on the working tree, or on a clean checkout of a revision.

    Each case is checked against its reference first. With a GPU it is timed there; without one, its kernels
    run through Triton's interpreter at small shapes and are compiled for the target GPU at real ones.
    """
    from perfsuite.cli.alone import measure, revision_of, working_tree_of
    from perfsuite.cli.budgets import read_budgets
    from perfsuite.cli.events import check_events
    from perfsuite.cli.measuring import Manner, make_plan
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.errors import UsageError
    from perfsuite.report.budgets import (
        budgets_exit_code,
        budgets_note,
        measured_budgets,
        stray_budgets,
    )
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    check_events(events)
    if branch is not None and revision is None:
        raise UsageError("--branch needs --revision", "the working tree's branch is known")
    config = _config(services, suite, db, here=revision is None)
    budgets = read_budgets(config)
    what = revision_of(config, revision, branch) if revision is not None else working_tree_of(config)
    manner = Manner(events, wait, wait_idle, confine, trusted=not untrusted)
    plan = make_plan(services, config, profile, pattern, manner)
    with open_store(config.database) as store:
        finished = measure(plan, store, what, resume=resume, once=once, case_timeout_s=case_timeout)
        results = store.reader.results(finished.id)
        alerts = _alerts(store, config, finished, results)
    show_run(services, config, finished, results, json)
    if alerts:
        noun = "alert" if alerts == 1 else "alerts"
        typer.echo(f"{alerts} {noun} new or changed: perfsuite alerts", err=True)
    measured = measured_budgets(budgets, finished, results)
    whole = services.config(db, required=False).suite
    for line in budgets_note(finished, measured, stray_budgets(budgets, finished, results, whole)):
        typer.echo(line, err=True)
    raise typer.Exit(budgets_exit_code(results, measured, gate=config.budget_gate))


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


def _config(services: Services, suite: Path | None, db: str | None, *, here: bool) -> Config:
    # A suite named on the command line needs no configuration: any folder of benchmarks can be measured.
    config = services.config(db, required=suite is None)
    if suite is not None:
        config = config.with_suite(services.cwd / suite)
    if here or not config.suite:
        config.suite_folder()
    return config
