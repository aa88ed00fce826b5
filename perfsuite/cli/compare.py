"""`perfsuite compare`: two revisions in lockstep, stored as they go, then the verdicts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import (
    CaseTimeoutOption,
    DatabaseOption,
    JsonOption,
    MarkdownOption,
    PatternOption,
    Profile,
    ProfileOption,
    ResumeOption,
)

if TYPE_CHECKING:
    from perfsuite.cli.measuring import Plan
    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.measure.settings import Previous, Progress, Tree
    from perfsuite.model import Commit, Comparison, ComparisonReport, Result, Side
    from perfsuite.store import Reader, Store

BaseArgument = Annotated[
    str | None,
    typer.Argument(metavar="BASE", help="Revision. Default: the merge base with the default branch."),
]
HeadArgument = Annotated[
    str | None,
    typer.Argument(metavar="HEAD", help="Revision. Default: the working tree, uncommitted changes included."),
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold", metavar="SHARE", help="Relevant change, such as 2%. Default: the configured one."
    ),
]


@dataclass(frozen=True, slots=True)
class _Sides:
    base: Commit
    head: Commit


def compare(
    context: typer.Context,
    base: BaseArgument = None,
    head: HeadArgument = None,
    pattern: PatternOption = "",
    profile: ProfileOption = Profile.PR,
    threshold: ThresholdOption = None,
    case_timeout: CaseTimeoutOption = None,
    resume: ResumeOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
    markdown: MarkdownOption = None,
) -> None:
    """Measure two revisions in lockstep and say what became faster or slower, and why.

    Without arguments: the working tree, uncommitted changes included, against the merge base with the
    default branch.
    """
    from perfsuite.cli.measuring import make_plan
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.git import Repository
    from perfsuite.report import exit_code
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    check_target(markdown)
    config = services.config(db)
    share = _share(threshold, config.threshold)
    repository = Repository.discover(config.root)
    sides = _sides(repository, config, base, head)
    plan = make_plan(services, config, profile, pattern)
    with open_store(config.database) as store:
        comparison = _measure(plan, store, repository, sides, share, resume, case_timeout)
        report = judged(store.reader, comparison.id)
    show_comparison(services, config, report, json, markdown)
    raise typer.Exit(exit_code(report))


def judged(reader: Reader, reference: str) -> ComparisonReport:
    """The verdicts, computed from the stored samples."""
    from perfsuite.stats.judge import judge

    comparison = reader.comparison(reference)
    return judge(comparison, reader.results(comparison.base.id), reader.results(comparison.head.id))


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


def _share(text: str | None, default: float) -> float:
    from perfsuite.errors import UsageError
    from perfsuite.units import parse_share

    if text is None:
        return default
    try:
        return parse_share(text)
    except ValueError:
        raise UsageError(f"--threshold {text!r} is not a share", "such as 2% or 0.02") from None


def _sides(repository: Repository, config: Config, base: str | None, head: str | None) -> _Sides:
    from perfsuite.errors import UsageError

    commit = repository.resolve(head) if head is not None else repository.head()
    if base is not None:
        return _Sides(repository.resolve(base), commit)
    branch = repository.default_branch(config.default_branch)
    merge_base = repository.merge_base(branch, head or "HEAD")
    if merge_base.sha == commit.sha and not commit.dirty:
        raise UsageError(
            f"nothing to compare: {head or 'the working tree'} is {commit.label}, already in {branch}",
            "name the base: perfsuite compare HEAD~1",
        )
    return _Sides(merge_base, commit)


def _measure(
    plan: Plan,
    store: Store,
    repository: Repository,
    sides: _Sides,
    threshold: float,
    resume: bool,
    case_timeout_s: float | None,
) -> Comparison:
    from perfsuite.cases import NoCases
    from perfsuite.cli.measuring import Once, now, telling_of_interruption
    from perfsuite.cli.progress import showing_progress
    from perfsuite.model import Side

    with showing_progress(color=plan.config.color) as progress:
        found = _unfinished(plan, store, sides, repository.name, threshold, progress) if resume else None
        earlier = _earlier(store.reader, found) if found else {}
        comparison = found or _new_comparison(plan, repository.name, sides, threshold)
        begin = Once(lambda: store.start_comparison(comparison), done=found is not None)

        def sink(side: Side, result: Result) -> None:
            begin()
            store.save_result((comparison.base if side is Side.BASE else comparison.head).id, result)

        with (
            telling_of_interruption(progress, begin, "this comparison", "perfsuite compare"),
            _trees(plan.config, repository, sides, progress) as (base, head),
        ):
            plan.services.session.compare(base, head, plan.settings(case_timeout_s), sink, progress, earlier)
    if not begin.done:
        raise NoCases(plan.pattern, [])
    for run in (comparison.base, comparison.head):
        store.finish_run(run.id, now())
    store.finish_comparison(comparison.id, now())
    return comparison


def _new_comparison(plan: Plan, repository: str, sides: _Sides, threshold: float) -> Comparison:
    from perfsuite.cli.measuring import new_id
    from perfsuite.model import Comparison

    base = plan.new_run(sides.base, repository, "base")
    head = plan.new_run(sides.head, repository, "head")
    thresholds = dict(plan.config.case_thresholds)
    return Comparison(new_id(), base, head, threshold, base.started_at, case_thresholds=thresholds)


@contextlib.contextmanager
def _trees(
    config: Config, repository: Repository, sides: _Sides, progress: Progress
) -> Iterator[tuple[Tree, Tree]]:
    """Both checkouts: whatever is edited from now on does not reach them."""
    from perfsuite.measure.settings import Tree

    below = config.root.relative_to(repository.root)
    folder = config.make_state_folder() / "worktrees"
    progress.note(f"base {sides.base.label} {sides.base.subject}")
    progress.note(f"head {sides.head.label} {sides.head.subject}")
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(repository.worktree(sides.base.sha, folder=folder))
        if sides.head.dirty:
            head = stack.enter_context(repository.snapshot(folder=folder))
        else:
            head = stack.enter_context(repository.worktree(sides.head.sha, folder=folder))
        yield (
            Tree(base / below, config.suite, f"base {sides.base.label}"),
            Tree(head / below, config.suite, f"head {sides.head.label}"),
        )


def _unfinished(
    plan: Plan, store: Store, sides: _Sides, repository: str, threshold: float, progress: Progress
) -> Comparison | None:
    found = store.reader.unfinished_comparison(
        base_sha=sides.base.sha,
        head_sha=sides.head.sha,
        head_dirty=sides.head.dirty,
        fingerprint=plan.environment.fingerprint,
        profile=plan.profile,
        pattern=plan.pattern,
        suite=plan.config.suite,
        repository=repository,
    )
    if found is not None and found.threshold != threshold:
        progress.note(
            f"comparison {found.id[:8]} has the threshold {found.threshold:.2%}: measuring everything"
        )
        return None
    if found is None:
        names = f"{sides.base.label} and {sides.head.label} ({plan.profile})"
        progress.note(f"nothing to resume of {names}: measuring everything")
    else:
        progress.note(f"resuming comparison {found.id[:8]}")
    return found


def _earlier(reader: Reader, comparison: Comparison) -> dict[str, Previous]:
    """What the interrupted comparison has of each case."""
    from perfsuite.measure.settings import Previous

    base = {result.case: result for result in reader.results(comparison.base.id)}
    head = {result.case: result for result in reader.results(comparison.head.id)}
    return {case: Previous(base.get(case), head.get(case)) for case in {**base, **head}}
