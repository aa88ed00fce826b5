"""The work of the scoreboard: every rule on every data set, on all cores."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from perfsuite.cli.histories import load_histories, load_pairs
from perfsuite.cli.progress import showing_progress
from perfsuite.cli.series import stored_series
from perfsuite.config import Config
from perfsuite.errors import UsageError
from perfsuite.model import Alert, AlertState
from perfsuite.report.scoreboard import Scoreboard
from perfsuite.stats.alerts import US
from perfsuite.stats.operating import operating_points
from perfsuite.stats.rulebook import (
    OURS,
    PAIR_RULES,
    PAIRED_RULES,
    at_sensitivity,
    quickly,
    rule_named,
    rule_names,
)
from perfsuite.stats.rules import SENSITIVITIES, Series
from perfsuite.stats.scoring import DataSet, Row, score, score_triaged, split
from perfsuite.stats.scoring_pairs import PairedData, score_pairs
from perfsuite.stats.scoring_reruns import RerunRow, reruns, score_rerun_judge, score_reruns

if TYPE_CHECKING:
    from perfsuite.store import Reader

_FEW_TASKS = 8
"""Not worth the start of processes."""


@dataclass(frozen=True, slots=True)
class Task:
    """One rule on one data set; `kind`: history, level (history, without delays), rerun or pair."""

    kind: str
    rule: str
    data: str

    def __str__(self) -> str:
        return f"{self.data} {self.rule}{' (same commit)' if self.kind == 'rerun' else ''}"


@dataclass(frozen=True, slots=True)
class Data:
    """All data sets of a folder by name."""

    histories: dict[str, DataSet]
    pairs: dict[str, PairedData]


def score_folder(
    folder: Path, rules: Sequence[str], names: Sequence[str], half: str, jobs: int, *, color: bool
) -> Scoreboard:
    """Scores rules on the data of a folder.

    Args:
        rules: their names; none: all.
        names: data sets; none: all.
        half: `all`, or which half of the series: `tuning` or `held-out`.
        jobs: processes; 0: one a core.

    Raises:
        UsageError: no data, or no rule or data set of such a name.
    """
    chosen = [rule_named(name).name for name in rules] or rule_names()
    tasks = _tasks(_load(folder, half), chosen, names)
    done = _run(tasks, folder, half, jobs or os.cpu_count() or 1, color=color)
    rows = {task: row for task, row in done.items() if isinstance(row, Row)}
    shown = [row for task, row in rows.items() if task.rule in chosen]
    baselines = [row for row in shown if row.rule != OURS]
    levels = {
        level: [row for task, row in rows.items() if task.rule == at_sensitivity(level)]
        for level in SENSITIVITIES
    }
    levels[1.0] = [row for row in shown if row.rule == OURS]
    return Scoreboard(
        split=half,
        rows=tuple(shown),
        points=tuple(operating_points(baselines, levels)),
        reruns=tuple(row for row in done.values() if isinstance(row, RerunRow)),
    )


def score_own(
    triaged: Sequence[tuple[Series, Sequence[int], Sequence[int]]], rules: Sequence[str]
) -> Scoreboard:
    """Scores rules on the alerts that the users of this store triaged: see `score_triaged`."""
    rows = [score_triaged(rule_named(name), triaged) for name in rules or rule_names()]
    return Scoreboard("all", tuple(row for row in rows if row is not None))


def score_store(config: Config, rules: Sequence[str]) -> Scoreboard:
    """Scores rules on the series of this store that have alerts.

    Raises:
        UsageError: nobody has triaged an alert yet.
    """
    from perfsuite.store import open_store

    with open_store(config.database, create=False) as store:
        triaged = list(_triaged(store.reader))
    if not triaged:
        raise UsageError(
            "there are no alerts of changes that somebody triaged to score rules on",
            "triage some (perfsuite alerts), or name a folder of histories",
        )
    return score_own(triaged, rules)


def _triaged(reader: Reader) -> Iterator[tuple[Series, list[int], list[int]]]:
    """Every series with a triaged alert: where it says a change was, and where noise."""
    by_case: dict[tuple[str, str], list[Alert]] = {}
    for alert in reader.alerts():
        if alert.after and alert.changed_by not in ("", US):
            by_case.setdefault((alert.repository, alert.case), []).append(alert)
    for (repository, case), alerts in sorted(by_case.items()):
        for one in stored_series(reader, case, repository=repository):
            places = {point.run.commit.sha: index for index, point in enumerate(one.points)}
            known = [(places[a.after], a.state) for a in alerts if a.after in places]
            true = [index for index, state in known if state is not AlertState.NOISE]
            false = [index for index, state in known if state is AlertState.NOISE]
            if known:
                yield one.series, sorted(true), sorted(false)


@functools.cache
def _load(folder: Path, half: str) -> Data:
    histories = {data.name: split(data, half) for data in load_histories(folder)}
    return Data(histories, {data.name: data for data in load_pairs(folder)})


def _tasks(data: Data, rules: Sequence[str], names: Sequence[str]) -> list[Task]:
    known = [*data.histories, *data.pairs]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no data set {name!r}", f"choose from {', '.join(known)}")
    levels = [at_sensitivity(level) for level in SENSITIVITIES] if OURS in rules and len(rules) > 1 else []
    found = [Task("history", rule, name) for name in data.histories for rule in rules]
    found += [Task("level", level, name) for name in data.histories for level in levels]
    found += [Task("pair", rule, name) for name in data.pairs for rule in rules if rule in PAIRED_RULES]
    for name, histories in data.histories.items():
        if histories.marks is None and reruns(histories):
            found += [Task("rerun", rule, name) for rule in rules]
    return [task for task in found if not names or task.data in names]


def _run(
    tasks: Sequence[Task], folder: Path, half: str, jobs: int, *, color: bool
) -> dict[Task, Row | RerunRow | None]:
    """What each task gave, in the order of the tasks."""
    done: dict[Task, Row | RerunRow | None] = {}
    with showing_progress(color=color) as progress:
        progress.total(len(tasks))
        for task, row in _results(tasks, folder, half, jobs):
            done[task] = row
            progress.done(str(task), "scored")
    return {task: done[task] for task in tasks}


def _results(
    tasks: Sequence[Task], folder: Path, half: str, jobs: int
) -> Iterator[tuple[Task, Row | RerunRow | None]]:
    if jobs == 1 or len(tasks) < _FEW_TASKS:
        yield from ((task, _score(task, folder, half)) for task in tasks)
        return
    # Fresh processes: a fork of one that has threads may hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        futures = {pool.submit(_score, task, folder, half): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _score(task: Task, folder: Path, half: str) -> Row | RerunRow | None:
    """In whatever process: the data is read once in each."""
    data = _load(folder, half)
    if task.kind == "pair":
        return score_pairs(PAIRED_RULES[task.rule], data.pairs[task.data])
    histories = data.histories[task.data]
    if task.kind == "history":
        return score(rule_named(task.rule), histories)
    if task.kind == "level":
        row = score(quickly(rule_named(task.rule)), histories)
        return row and replace(row, delay=None)
    many = reruns(histories)
    if task.rule in PAIR_RULES:
        return score_rerun_judge(task.rule, PAIR_RULES[task.rule], task.data, many)
    return score_reruns(rule_named(task.rule), task.data, many)
