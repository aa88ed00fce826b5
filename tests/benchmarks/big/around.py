"""What stands around the runs of the large database: pull requests, noise, alerts, workers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta

from big.history import REPOSITORY, History, Level
from big.templates import scaled

from perfsuite.model import (
    Alert,
    AlertState,
    Commit,
    Comparison,
    Job,
    JobKind,
    JobState,
    Result,
    Run,
    Worker,
)
from perfsuite.stats.judge import judge
from perfsuite.stats.noise import noise_by_case
from perfsuite.store import Store

PULLS = 60
"""Pull requests, each with two pushes."""
NOISE = 6
"""Comparisons of a commit with itself."""
_CHANGED = 0.2
"""Share of a pull request's cases that moved."""
_STATES = (
    *((AlertState.EXPECTED,) * 4),
    *((AlertState.FIXED,) * 3),
    *((AlertState.ACKNOWLEDGED,) * 2),
    AlertState.NOISE,
)


def put_around(store: Store, history: History) -> None:
    """Comparisons with their jobs and noise, alerts and workers, by the store's own ways."""
    for number in range(NOISE):
        _compare(store, history, number, history.size.commits - 40 + 5 * number, "noise")
    for number in range(2 * PULLS):
        commit = max(0, history.size.commits - 1 - 3 * (2 * PULLS - number))
        comparison = _compare(store, history, number, commit, "compare")
        store.jobs.add(_job(history, comparison, number // 2 + 1))
    store.save_alerts(_alerts(history))
    now = history.slots[-1].run.started_at
    for machine in range(history.size.machines):
        gpu = history.environment(machine, history.size.commits - 1).gpu or ""
        store.jobs.beat(Worker(f"gpu-{machine}", REPOSITORY, now, now, gpu=gpu))


def _compare(store: Store, history: History, number: int, commit: int, kind: str) -> Comparison:
    """One comparison in lockstep on the first machine: real ones whose heads are scaled."""
    base = _side(history, history.commits[commit], commit, "base")
    changed = history.commits[commit] if kind == "noise" else _head(history, number)
    head = _side(history, changed, commit, "head")
    began = base.started_at
    comparison = Comparison(
        history.identifier(), base, head, 0.02, began, began + timedelta(seconds=64), kind=kind
    )
    sides = _results(history, number, commit, moved=kind != "noise")
    store.save_all((base, head), dict(zip((base.id, head.id), sides, strict=True)), [comparison])
    report = judge(comparison, *sides)
    store.save_noise(comparison.id, noise_by_case(report, *sides))
    return comparison


def _results(history: History, number: int, commit: int, *, moved: bool) -> tuple[list[Result], list[Result]]:
    bases, heads = [], []
    for case, template in enumerate(history.templates):
        factor, variant = history.factor(case, 0, commit), history.level(case, commit).variant
        change = 1.0
        if moved and history.random.random() < _CHANGED:
            change, variant = 1 + history.random.uniform(-0.06, 0.08), variant + 1
        place = number % len(template.base)
        bases.append(scaled(template.base[place], factor, history.level(case, commit).variant))
        heads.append(scaled(template.head[place], factor * change, variant))
    return bases, heads


def _head(history: History, number: int) -> Commit:
    sha = f"{history.random.getrandbits(160):040x}"
    at = history.commits[-1].committed_at
    return Commit(
        sha, f"Push {number % 2 + 1} of pull request {number // 2 + 1}", "Ada", at, f"pull-{number // 2 + 1}"
    )


def _side(history: History, commit: Commit, number: int, kind: str) -> Run:
    at = history.commits[number].committed_at
    assert at is not None
    began, environment = at + timedelta(minutes=5), history.environment(0, number)
    ended = began + timedelta(seconds=64)
    return Run(history.identifier(), commit, REPOSITORY, environment, "pr", began, ended, kind)


def _job(history: History, comparison: Comparison, pull: int) -> Job:
    return Job(
        history.identifier(),
        REPOSITORY,
        JobKind.COMPARE,
        f"pull/{pull}/{comparison.head.commit.sha}",
        comparison.head.commit.sha,
        comparison.started_at,
        comparison.base.commit.sha,
        pull,
        state=JobState.SUCCEEDED,
        started_at=comparison.started_at,
        finished_at=comparison.finished_at,
        comparison=comparison.id,
    )


def _alerts(history: History) -> Iterator[Alert]:
    """One for each change of a level on each machine; the newest are open."""
    for case, levels in enumerate(history.levels):
        for before, after in itertools.pairwise(levels):
            for machine in range(history.size.machines):
                yield _alert(history, case, before, after, machine)


def _alert(history: History, case: int, before: Level, after: Level, machine: int) -> Alert:
    template, fingerprint = history.templates[case], history.environment(machine, after.commit).fingerprint
    change = after.factor / before.factor - 1
    at = history.commits[after.commit].committed_at
    assert at is not None
    key = f"{template.case} {after.commit} {machine}"
    newest = after.commit > history.size.commits * 9 // 10
    state = AlertState.OPEN if newest else history.random.choice(_STATES)
    return Alert(
        hashlib.sha256(key.encode()).hexdigest()[:32],
        REPOSITORY,
        template.case,
        fingerprint,
        "slower" if change > 0 else "faster",
        _sha(history.commits, after.commit - 1),
        _sha(history.commits, after.commit),
        change,
        change - 0.002,
        change + 0.002,
        at + timedelta(hours=1),
        state,
        "" if newest else "looked at",
        "" if newest else "ada",
        None if newest else at + timedelta(hours=5),
    )


def _sha(commits: Sequence[Commit], number: int) -> str:
    return commits[max(0, number)].sha
