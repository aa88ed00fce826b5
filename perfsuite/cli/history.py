"""`perfsuite history`: where the level of a case moved on the default branch, and since which commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.cli.options import DatabaseOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfsuite.cli.series import StoredSeries
    from perfsuite.config import Config
    from perfsuite.report.history import History
    from perfsuite.stats.change_points import ChangePoint
    from perfsuite.stats.rules import Alarm, Series
    from perfsuite.store import Reader

CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", help="As -k: part of the id, or a glob; several separated by ' or '.")
]
RuleOption = Annotated[
    str, typer.Option("--rule", metavar="NAME", help="Who looks: perfsuite, or a rule of the scoreboard.")
]
RepositoryOption = Annotated[
    str | None,
    typer.Option("--repository", metavar="NAME", help="Default: the one around, where it has runs."),
]
AllBranchesOption = Annotated[
    bool, typer.Option("--all-branches", help="Runs of every branch, not of the default one only.")
]


def history(
    context: typer.Context,
    case: CaseArgument,
    rule: RuleOption = "perfsuite",
    repository: RepositoryOption = None,
    all_branches: AllBranchesOption = False,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Show the history of a case on the default branch: level, change points, and between which commits.

    Runs of dirty trees are left out. Another driver, Triton or benchmark is a boundary, no regression.
    Several cases get a line each.
    """
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, show, show_json, text_width
    from perfsuite.cli.services import Services
    from perfsuite.report.history import histories_text, history_json, history_text
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    config = services.config(db, required=False)
    with open_store(config.database, create=False) as store:
        found = _histories(store.reader, config, case, rule, repository, all_branches)
    if json is not None:
        show_json(history_json(found), json)
    if json != STANDARD_OUTPUT:
        width = text_width(services.environ)
        one = len({item.case for item in found}) == 1
        show("\n".join(history_text(item, width=width) for item in found) if one else histories_text(found))


def _histories(
    reader: Reader, config: Config, pattern: str, rule: str, repository: str | None, all_branches: bool
) -> list[History]:
    from perfsuite.cases import NoCases, match_cases
    from perfsuite.errors import UsageError

    known = reader.cases()
    cases = match_cases(pattern, known)
    if not cases:
        raise NoCases(pattern, known)
    found = [
        _history(one, rule)
        for name in _repositories(reader, config, repository)
        for case in cases
        for one in _stored(reader, config, case, name, all_branches)
    ]
    if not found:
        raise UsageError(
            f"no run of the default branch has timed {cases[0]}"
            + (f" or {len(cases) - 1} more" if len(cases) > 1 else ""),
            "perfsuite run measures the present commit; --all-branches shows the runs of other branches",
        )
    return found


def _repositories(reader: Reader, config: Config, repository: str | None) -> list[str]:
    from perfsuite.cli.updating import known_repositories, name_of

    if repository is not None:
        return [repository]
    known, here = known_repositories(reader), name_of(config)
    # What was imported into the store of this repository may be all that there is.
    return [here] if here in known else known


def _stored(
    reader: Reader, config: Config, case: str, repository: str, all_branches: bool
) -> list[StoredSeries]:
    from perfsuite.cli.series import stored_series
    from perfsuite.cli.updating import default_branch_of

    branch = None if all_branches else default_branch_of(config, repository)
    return stored_series(reader, case, repository=repository, branch=branch)


def _history(stored: StoredSeries, rule: str) -> History:
    from perfsuite.report.history import History

    series = stored.series
    return History(
        case=stored.case,
        repository=stored.repository,
        machine=stored.environment.label,
        series=series,
        points=tuple(_changes(series, rule)),
        boundaries=stored.boundaries,
        subjects=tuple(point.run.commit.subject for point in stored.points),
    )


def _changes(series: Series, rule: str) -> Sequence[ChangePoint]:
    from perfsuite.stats.change_points import change_points
    from perfsuite.stats.rulebook import OURS, rule_named
    from perfsuite.stats.rules import events

    if rule == OURS:
        return change_points(series)
    return [_as_point(series, alarm) for alarm in events(rule_named(rule)(series))]


def _as_point(series: Series, alarm: Alarm) -> ChangePoint:
    """Other rules name a place and a size: no interval, no range of commits."""
    import math

    from perfsuite.stats.change_points import ChangePoint

    before = max(0, alarm.index - 1)
    return ChangePoint(
        index=alarm.index,
        low_index=before,
        high_index=alarm.index,
        change=alarm.change,
        low=math.nan,
        high=math.nan,
        strength=math.nan,
        before=series.values[before],
        after=series.values[alarm.index],
    )
