"""Two stored runs of different days, and the series that they are judged with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_fakes import result

from perfsuite.cli.series import stored_series
from perfsuite.cli.unpaired import compare_stored
from perfsuite.config import Config
from perfsuite.errors import UsageError
from perfsuite.model import Commit, Environment, Result, Run, Status, Timer, Verdict
from perfsuite.report import exit_code
from perfsuite.report.json import comparison_json
from perfsuite.report.markdown import comparison_markdown
from perfsuite.report.text import comparison_text
from perfsuite.store import Store, open_store

CASE = "moe/decode[m=1]"
START = datetime(2026, 1, 1, tzinfo=UTC)
H200 = Environment("node", gpu="NVIDIA H200", driver="580.1", torch="2.11", triton="3.6")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "perfsuite.db") as store:
        yield store


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path, None, "suite", str(tmp_path / "perfsuite.db"))


def run(day: int, **changes: Any) -> Run:
    commit = Commit(f"{day:04x}" * 10, f"change {day}", "Ada", START + timedelta(days=day), "main")
    made = Run(f"{day:032x}", commit, "owner/name", H200, "pr", START + timedelta(days=day))
    return replace(made, **changes)


def wobble(day: int) -> float:
    """Within 0.4 %, as a calm machine is from day to day."""
    return 1 + 0.002 * ((7 * day) % 5 - 2)


def fill(store: Store, day: int, *results: Result, **changes: Any) -> Run:
    made = run(day, **changes)
    store.start_run(made)
    for each in results or (result(CASE, scale=wobble(day)),):
        store.save_result(made.id, each)
    return made


def days(store: Store, number: int) -> None:
    for day in range(1, number + 1):
        fill(store, day)


def test_two_runs_are_judged_with_the_runs_before(store: Store, config: Config) -> None:
    days(store, 20)
    fill(store, 30, result(CASE, scale=1.3, code="b"))
    report = compare_stored(config, store.reader, f"{20:032x}", "latest")
    (found,) = report.comparisons
    assert found.verdict is Verdict.REGRESSED
    assert "19 earlier changes" in found.why[0]
    assert exit_code(report) == 1
    # Nothing is stored, and every report can be written.
    assert store.reader.comparisons() == []
    assert "regressed" in comparison_text(report, width=100)
    assert "1 case slower" in comparison_markdown(report)
    assert comparison_json(report)["comparisons"][0]["verdict"] == "regressed"
    assert compare_stored(config, store.reader, f"{20:032x}", "latest") == report


def test_only_what_was_before_and_is_alike_counts_as_history(store: Store, config: Config) -> None:
    for day in range(1, 9):
        fill(store, day, commit=replace(run(day).commit, dirty="d"))
        fill(store, day + 20, kind="head")
        fill(store, day + 40, environment=replace(H200, driver="590"))
        fill(store, day + 60, replace(result(CASE), version="v0"))
        fill(store, day + 80, repository="other/one")
        fill(store, day + 120)
    base = fill(store, 100)
    head = fill(store, 110, result(CASE, scale=2.0, code="b"))
    (found,) = compare_stored(config, store.reader, base.id, head.id).comparisons
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "5 more earlier runs" in found.why[0]


def test_a_base_with_changes_that_were_not_committed_has_the_runs_measured_before(
    store: Store, config: Config
) -> None:
    days(store, 20)
    base = fill(store, 21, commit=replace(run(21).commit, dirty="d"))
    head = fill(store, 22, result(CASE, scale=1.3, code="b"))
    (found,) = compare_stored(config, store.reader, base.id, head.id).comparisons
    assert found.verdict is Verdict.REGRESSED


def test_controls_may_be_named_and_thresholds_given(store: Store, config: Config) -> None:
    others = [replace(result(f"torch/mm[m={n}]"), timer=Timer.IMPORTED) for n in range(30)]
    base = fill(store, 1, result(CASE), *(replace(o, launches=type(o.launches)()) for o in others))
    head = fill(
        store,
        2,
        result(CASE, scale=1.5, code="b"),
        *(replace(o, launches=type(o.launches)()) for o in others),
    )

    def verdict(threshold: float | None = None, controls: tuple[str, ...] = ()) -> Verdict:
        report = compare_stored(config, store.reader, base.id, head.id, threshold, controls)
        return {c.case: c.verdict for c in report.comparisons}[CASE]

    assert verdict() is Verdict.INCONCLUSIVE
    assert verdict(controls=("torch/",)) is Verdict.REGRESSED
    assert verdict(0.6, ("torch/",)) is Verdict.UNCHANGED


def test_what_cannot_be_compared_is_refused(store: Store, config: Config) -> None:
    fill(store, 1)
    fill(store, 2, environment=replace(H200, triton="3.7"))
    with pytest.raises(UsageError, match="are one run"):
        compare_stored(config, store.reader, f"{1:032x}", f"{1:032x}")
    with pytest.raises(UsageError, match=r"triton 3\.6 → 3\.7"):
        compare_stored(config, store.reader, f"{1:032x}", f"{2:032x}")
    with pytest.raises(UsageError, match="there is no run"):
        compare_stored(config, store.reader, f"{1:032x}", "ffff")


def test_a_series_is_joined_over_environments_with_boundaries(store: Store) -> None:
    days(store, 3)
    newer = replace(H200, driver="590.2", triton="3.7")
    for day in (4, 5):
        fill(store, day, environment=newer)
    fill(store, 6, replace(result(CASE), version="v2"), environment=newer)
    # A commit of before, measured anew: it follows the environment that it was measured in.
    fill(store, 7, environment=newer, commit=run(2).commit)
    (found,) = stored_series(store.reader, CASE)
    assert [point.run.id[-1] for point in found.points] == ["1", "2", "3", "7", "4", "5", "6"]
    assert found.boundaries == {3: "driver 580.1 → 590.2, triton 3.6 → 3.7", 6: "benchmark changed"}
    assert found.series.boundaries == (3, 6)
    assert found.series.commits[3] == run(2).commit.sha
    assert found.series.times == tuple(point.run.started_at.timestamp() for point in found.points)
    assert found.environment == newer


def test_other_machines_and_repositories_are_other_series(store: Store) -> None:
    days(store, 2)
    fill(store, 3, environment=replace(H200, gpu="NVIDIA H100"))
    fill(store, 4, repository="other/one")
    found = stored_series(store.reader, CASE)
    assert [(one.repository, one.environment.gpu, len(one.points)) for one in found] == [
        ("owner/name", "NVIDIA H200", 2),
        ("owner/name", "NVIDIA H100", 1),
        ("other/one", "NVIDIA H200", 1),
    ]
    assert len(stored_series(store.reader, CASE, repository="owner/name")) == 2
    assert stored_series(store.reader, "unknown") == []


def test_what_is_no_point_of_the_default_branch(store: Store) -> None:
    days(store, 1)
    fill(store, 2, commit=replace(run(2).commit, dirty="d"))
    fill(store, 3, kind="base")
    fill(store, 4, result(CASE, status=Status.INCORRECT))
    fill(store, 5, replace(result(CASE), timer=Timer.REFERENCE))
    fill(store, 6, commit=replace(run(6).commit, branch="mine"))
    fill(store, 7, commit=replace(run(7).commit, branch=None), kind="import")

    def kept(branch: str | None) -> list[str]:
        return [
            point.run.id[-1]
            for one in stored_series(store.reader, CASE, branch=branch)
            for point in one.points
        ]

    assert kept("main") == kept("origin/main") == ["1", "7"]
    assert kept(None) == ["1", "6", "7"]
