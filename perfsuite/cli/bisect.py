"""`perfsuite bisect`: which commit moved a case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfsuite.cli.compare import ThresholdOption
from perfsuite.cli.options import (
    CaseTimeoutOption,
    ConfineOption,
    DatabaseOption,
    EventsOption,
    JsonOption,
    MarkdownOption,
    Profile,
    ProfileOption,
    ResumeOption,
    UntrustedOption,
    WaitIdleOption,
    WaitOption,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfsuite.cli.services import Services
    from perfsuite.config import Config
    from perfsuite.git import Repository
    from perfsuite.model import Alert, Commit
    from perfsuite.store import Reader

CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", help="Case id, or a pattern (as -k): the worst of those it chooses.")
]
GoodArgument = Annotated[
    str | None,
    typer.Argument(metavar="GOOD", help="Revision. Default: before the newest open alert of that case."),
]
BadArgument = Annotated[
    str | None,
    typer.Argument(metavar="BAD", help="Revision. Default: the default branch, or after that alert."),
]


def bisect(
    context: typer.Context,
    case: CaseArgument,
    good: GoodArgument = None,
    bad: BadArgument = None,
    profile: ProfileOption = Profile.PR,
    threshold: ThresholdOption = None,
    case_timeout: CaseTimeoutOption = None,
    resume: ResumeOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
    markdown: MarkdownOption = None,
    events: EventsOption = None,
    wait: WaitOption = None,
    wait_idle: WaitIdleOption = None,
    confine: ConfineOption = False,
    untrusted: UntrustedOption = False,
) -> None:
    """Find the commit that made a case slower, faster, incorrect or fail.

    GOOD and BAD are compared first: that says what changed and by how much. Then commits between are compared
    with GOOD, always the middle one of those left; one that cannot be measured is passed over. The commit
    found is compared with its parent. Along first parents, that is about log2 of the commits and two more.
    """
    from perfsuite.cli.bisecting import Search, search
    from perfsuite.cli.compare import share_of
    from perfsuite.cli.events import check_events
    from perfsuite.cli.measuring import Manner, make_plan
    from perfsuite.cli.output import check_target
    from perfsuite.cli.overhearing import overheard
    from perfsuite.cli.services import Services
    from perfsuite.git import Repository
    from perfsuite.report.bisect import bisect_json
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    check_target(markdown)
    check_events(events)
    config = services.config(db)
    share = None if threshold is None else share_of(threshold, config.threshold)
    repository = Repository.discover(config.root)
    with open_store(config.database) as store:
        pattern, commits = _range(repository, config, store.reader, case, good, bad)
        with _telling(events) as told, overheard(events) as inner:
            manner = Manner(inner, wait, wait_idle, confine, trusted=not untrusted)
            plan = make_plan(services, config, profile, pattern, manner)
            what = Search(plan, store, repository, commits, share, resume, case_timeout)
            document = bisect_json(search(what, told))
    if events is not None:
        _tell_result(events, document)
    _show(services, document, json, markdown)


def _range(
    repository: Repository, config: Config, reader: Reader, case: str, good: str | None, bad: str | None
) -> tuple[str, list[Commit]]:
    """The pattern, and the commits from the good end to the bad one."""
    from perfsuite.errors import UsageError

    if good is None:
        alert = _alert(reader, repository, case)
        case, good, bad = alert.case, alert.before, alert.after
    ends = (
        repository.resolve(good),
        repository.resolve(bad if bad is not None else repository.default_branch(config.default_branch)),
    )
    if not repository.is_ancestor(ends[0].sha, ends[1].sha):
        # As git bisect does: what the good end has and the bad one lacks moved nothing there.
        base = repository.ensure_merge_base(ends[0].sha, ends[1].sha)
        typer.echo(f"{ends[0].label} is no ancestor of {ends[1].label}: from {base.label} on", err=True)
        ends = base, ends[1]
    commits = repository.commits((ends[0].sha, ends[1].sha))
    if not commits:
        raise UsageError(
            f"{ends[1].label} has no commit that {ends[0].label} has not", "name the older revision first"
        )
    return case, [ends[0], *commits]


def _alert(reader: Reader, repository: Repository, case: str) -> Alert:
    """The newest open alert whose commits are known here."""
    from perfsuite.cases import match_cases
    from perfsuite.errors import UsageError
    from perfsuite.model import AlertState

    states = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
    for alert in reader.alerts(repository.name, states=states):
        if (
            alert.kind in ("slower", "faster")
            and match_cases(case, [alert.case])
            and repository.has(alert.before)
            and repository.has(alert.after)
        ):
            return alert
    raise UsageError(
        f"no open alert says since when {case!r} moved",
        f"name a revision where it was still good: perfsuite bisect {case!r} GOOD",
    )


def _telling(events: str | None) -> Any:
    """Progress of the whole search: a line a step, and events."""
    import contextlib
    import sys

    from perfsuite.cli.events import telling
    from perfsuite.cli.progress import LineProgress

    lines = LineProgress(sys.stderr)
    return contextlib.nullcontext(lines) if events is None else telling(events, lines)


def _tell_result(target: str, document: Mapping[str, Any]) -> None:
    """The last event: what came of it. Nobody may be listening any more."""
    import contextlib
    import json
    import os

    line = json.dumps({"event": "result", "value": document}) + "\n"
    with contextlib.suppress(OSError):
        number = target.removeprefix("fd:")
        descriptor = (
            os.dup(int(number))
            if number != target
            else os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        )
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(line.encode("ascii"))


def _show(services: Services, document: Mapping[str, Any], json: str | None, markdown: Path | None) -> None:
    from perfsuite.cli.output import STANDARD_OUTPUT, show, show_json, write_file
    from perfsuite.report.bisect import bisect_text, outcome_markdown

    if markdown is not None:
        write_file(markdown, outcome_markdown(document))
    if json is not None:
        show_json(document, json)
    if json != STANDARD_OUTPUT:
        show(bisect_text(document))
