"""`perfsuite noise`: the same commit against itself, and the noise floors that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

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
    ResumeOption,
    TimingsOption,
    WaitIdleOption,
    WaitOption,
)

if TYPE_CHECKING:
    from perfsuite.cli.measuring import Plan
    from perfsuite.git import Repository
    from perfsuite.model import Environment, Noise
    from perfsuite.report.noise import Floor
    from perfsuite.store import Reader, Store

DEFAULT_PAIRS = 4
"""Three degrees of freedom and more of what differs between processes: fewer tell next to nothing of it."""
RevisionArgument = Annotated[
    str | None, typer.Argument(metavar="REVISION", help="Default: the working tree's commit.")
]
PairsOption = Annotated[
    int, typer.Option("--pairs", metavar="N", min=1, help="Pairs of fresh processes for every case.")
]
ShowOption = Annotated[bool, typer.Option("--show", help="Measure nothing: print what is stored.")]


def noise(
    context: typer.Context,
    revision: RevisionArgument = None,
    pattern: PatternOption = "",
    pairs: PairsOption = DEFAULT_PAIRS,
    profile: ProfileOption = Profile.PR,
    show_only: ShowOption = False,
    case_timeout: CaseTimeoutOption = None,
    resume: ResumeOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
    timings: TimingsOption = False,
    events: EventsOption = None,
    wait: WaitOption = None,
    wait_idle: WaitIdleOption = None,
    confine: ConfineOption = False,
) -> None:
    """Measure a commit against itself, and say what unchanged code stays within.

    Equal machine code is timed here. What is found is kept by case and environment, and judged with in every
    later comparison; comparisons of unchanged cases add to it by themselves.
    """
    from perfsuite.cli.compare import show_timings
    from perfsuite.cli.events import check_events
    from perfsuite.cli.measuring import Manner, make_plan
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, show, show_json
    from perfsuite.cli.services import Services
    from perfsuite.git import Repository
    from perfsuite.report.noise import noise_json, noise_text
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    check_events(events)
    config = services.config(db)
    repository = Repository.discover(config.root)
    manner = Manner(events, wait, wait_idle, confine)
    plan = make_plan(services, config, profile, pattern, manner)
    with open_store(config.database, create=not show_only) as store:
        if not show_only:
            _measure(plan, store, repository, revision, pairs, resume, case_timeout)
        found, environment = _floors(store.reader, plan, repository.name)
    if json is not None:
        show_json(noise_json(found, repository.name, environment), json)
    if json != STANDARD_OUTPUT:
        show(noise_text(found, environment))
    if timings and not show_only:
        show_timings(plan)


def _measure(
    plan: Plan,
    store: Store,
    repository: Repository,
    revision: str | None,
    pairs: int,
    resume: bool,
    case_timeout_s: float | None,
) -> None:
    from perfsuite.cli.lockstep import Request, Sides, measure

    if revision is None and repository.head().dirty:
        typer.echo("uncommitted changes are left out: HEAD is measured against itself", err=True)
    commit = repository.resolve(revision or "HEAD")
    request = Request(
        Sides(commit, commit),
        plan.config.threshold,
        kind="noise",
        pairs=pairs,
        resume=resume,
        case_timeout_s=case_timeout_s,
    )
    measure(plan, store, repository, request)


def _floors(reader: Reader, plan: Plan, repository: str) -> tuple[list[Floor], Environment]:
    """Of this machine's environment; where it has none, as a laptop may, of the newest that has."""
    from perfsuite.cases import NoCases, match_cases
    from perfsuite.measure.settings import BUDGETS
    from perfsuite.report.noise import floors

    environment, known = _known(reader, plan, repository)
    chosen = match_cases(plan.pattern, list(known))
    if known and not chosen:
        raise NoCases(plan.pattern, list(known))
    effort = BUDGETS[plan.profile].effort
    return floors({case: known[case] for case in chosen}, effort.pairs, effort.blocks), environment


def _known(
    reader: Reader, plan: Plan, repository: str
) -> tuple[Environment, Mapping[str, tuple[str, Noise]]]:
    known = reader.noise(repository, plan.environment.fingerprint)
    if known:
        return plan.environment, known
    newest = reader.comparisons(limit=100)
    # Of this repository first; what was imported has the name of its own.
    for comparison in sorted(newest, key=lambda one: one.head.repository != repository):
        environment = comparison.head.environment
        known = reader.noise(comparison.head.repository, environment.fingerprint)
        if known:
            return environment, known
    return plan.environment, {}
