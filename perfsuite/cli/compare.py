"""`perfsuite compare`: two revisions in lockstep, stored as they go, then the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import (
    CaseTimeoutOption,
    ConfineOption,
    DatabaseOption,
    EventsOption,
    JsonOption,
    MarkdownOption,
    OnceOption,
    PatternOption,
    Profile,
    ProfileOption,
    ResumeOption,
    TimingsOption,
    UntrustedOption,
    WaitIdleOption,
    WaitOption,
)

if TYPE_CHECKING:
    from perfsuite.cli.lockstep import Sides
    from perfsuite.cli.measuring import Plan
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.model import ComparisonReport

BaseArgument = Annotated[
    str | None,
    typer.Argument(metavar="BASE", help="Revision. Default: the merge base with the default branch."),
]
HeadArgument = Annotated[
    str | None,
    typer.Argument(metavar="HEAD", help="Revision. Default: the working tree, uncommitted changes included."),
]
StoredOption = Annotated[
    bool, typer.Option("--stored", help="Compare two stored runs (by id or commit) instead of measuring.")
]
ControlOption = Annotated[
    list[str] | None,
    typer.Option("--control", metavar="PATTERN", help="With --stored: cases whose code is the same (as -k)."),
]
ReuseOption = Annotated[
    bool, typer.Option("--reuse", help="Take over what an earlier comparison timed of the same machine code.")
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold", metavar="SHARE", help="Relevant change, such as 2%. Default: the configured one."
    ),
]


def compare(
    context: typer.Context,
    base: BaseArgument = None,
    head: HeadArgument = None,
    pattern: PatternOption = "",
    profile: ProfileOption = Profile.PR,
    threshold: ThresholdOption = None,
    case_timeout: CaseTimeoutOption = None,
    resume: ResumeOption = False,
    once: OnceOption = False,
    reuse: ReuseOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
    markdown: MarkdownOption = None,
    timings: TimingsOption = False,
    events: EventsOption = None,
    wait: WaitOption = None,
    wait_idle: WaitIdleOption = None,
    confine: ConfineOption = False,
    untrusted: UntrustedOption = False,
    stored: StoredOption = False,
    control: ControlOption = None,
) -> None:
    """Measure two revisions in lockstep and say what became faster or slower, and why.

    Without arguments: the working tree, uncommitted changes included, against the merge base with the
    default branch. With --stored nothing is measured: BASE and HEAD are two stored runs of different moments,
    judged with the noise that earlier runs and the controls show.
    """
    from perfsuite.cli.events import check_events
    from perfsuite.cli.lockstep import Request, measure
    from perfsuite.cli.measuring import Manner, make_plan
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.errors import UsageError
    from perfsuite.git import Repository
    from perfsuite.report import exit_code
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    check_target(markdown)
    check_events(events)
    config = services.config(db, required=not stored)
    share = share_of(threshold, config.threshold)
    if stored:
        _refuse_measuring_options(
            resume=resume,
            timings=timings,
            once=once,
            reuse=reuse,
            events=events is not None,
            confine=confine,
            untrusted=untrusted,
        )
        report = _stored(config, base, head, share, control or [], pattern)
        show_comparison(services, config, report, json, markdown)
        raise typer.Exit(exit_code(report))
    if control:
        raise UsageError("--control is for --stored: measured sides need no controls", "leave it out")
    repository = Repository.discover(config.root)
    sides = sides_of(repository, config, base, head)
    manner = Manner(events, wait, wait_idle, confine, trusted=not untrusted)
    plan = make_plan(services, config, profile, pattern, manner)
    request = Request(sides, share, resume=resume, case_timeout_s=case_timeout, once=once, reuse=reuse)
    with open_store(config.database) as store:
        report = measure(plan, store, repository, request)
    show_comparison(services, config, report, json, markdown)
    if timings:
        show_timings(plan)
    raise typer.Exit(exit_code(report))


def _refuse_measuring_options(**given: bool) -> None:
    from perfsuite.errors import UsageError

    for name, there in given.items():
        if there:
            raise UsageError(f"--{name} and --stored exclude each other", "with --stored nothing is measured")


def _stored(
    config: Config,
    base: str | None,
    head: str | None,
    threshold: float,
    controls: Sequence[str],
    pattern: str,
) -> ComparisonReport:
    from perfsuite.cli.unpaired import compare_stored
    from perfsuite.errors import UsageError
    from perfsuite.store import open_store

    if base is None or head is None:
        raise UsageError("--stored needs two runs", "name both by id or commit: compare --stored BASE HEAD")
    with open_store(config.database, create=False) as store:
        return compare_stored(config, store.reader, base, head, threshold, controls, pattern)


def show_comparison(
    services: Services, config: Config, report: ComparisonReport, json: str | None, markdown: Path | None
) -> None:
    """The table, or what `--json` and `--markdown` ask for."""
    from perfsuite.cli.output import STANDARD_OUTPUT, colored, show, show_json, text_width, write_file
    from perfsuite.report.json import comparison_json
    from perfsuite.report.markdown import comparison_markdown
    from perfsuite.report.text import comparison_text

    if markdown is not None:
        write_file(markdown, comparison_markdown(report))
    if json is not None:
        show_json(comparison_json(report), json)
    if json != STANDARD_OUTPUT:
        show(comparison_text(report, width=text_width(services.environ), color=colored(config.color)))


def show_timings(plan: Plan) -> None:
    """Where the time went, on standard error: standard output may be JSON."""
    from perfsuite.report.timings import timings_text

    typer.echo(timings_text(plan.timings.rows()), err=True)


def share_of(text: str | None, default: float) -> float:
    from perfsuite.errors import UsageError
    from perfsuite.units import parse_share

    if text is None:
        return default
    try:
        return parse_share(text)
    except ValueError:
        raise UsageError(f"--threshold {text!r} is not a share", "such as 2% or 0.02") from None


def sides_of(repository: Repository, config: Config, base: str | None, head: str | None) -> Sides:
    from perfsuite.cli.lockstep import Sides
    from perfsuite.errors import UsageError

    commit = repository.resolve(head) if head is not None else repository.head()
    if base is not None:
        return Sides(repository.resolve(base), commit)
    branch = repository.default_branch(config.default_branch)
    merge_base = repository.merge_base(branch, head or "HEAD")
    if merge_base.sha == commit.sha and not commit.dirty:
        raise UsageError(
            f"nothing to compare: {head or 'the working tree'} is {commit.label}, already in {branch}",
            "name the base: perfsuite compare HEAD~1",
        )
    return Sides(merge_base, commit)
