"""The history in narrow values: places, points, cells, machines, and how they are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event
from store_example import H200, NOON, make_comparison, make_job, make_result, make_run

from perfsuite.model import Environment, JobKind, Launches, Result, Run, Status, Timer
from perfsuite.store import Store
from perfsuite.store.trends import TrendReader

CPU = Environment("laptop", cpu="Some CPU", python="3.11")
LATER = replace(H200, driver="590.2")


@pytest.fixture
def trends(store: Store) -> TrendReader:
    return store.reader.trends


def save(store: Store, run: Run, *results: Result) -> Run:
    store.start_run(run)
    for result in results:
        store.save_result(run.id, result)
    return run


def test_an_empty_store_has_no_history(trends: TrendReader) -> None:
    assert trends.repositories() == trends.machines() == trends.series() == trends.cases() == []
    assert trends.places("owner/name", H200.fingerprint) == trends.points([]) == trends.points([1]) == []
    assert trends.cells([]) == trends.cells(["x"]) == trends.comparisons_of() == []
    assert trends.counts(["x"]) == trends.launches([]) == trends.launches(["x"]) == trends.listings([]) == {}
    assert trends.listing("sm_90", "x") is trends.result("x", "a") is trends.latest("a", "x") is None
    assert trends.pull_comparisons("owner/name", 7) == []
    assert trends.stamp()


def test_repositories_and_machines_are_those_of_a_history(store: Store, trends: TrendReader) -> None:
    other_host = replace(H200, host="node-2")
    for number, changes in enumerate(
        [
            {},
            {"environment": other_host},
            {"repository": "b"},
            {"environment": CPU, "kind": "import", "repository": "b"},
            {"environment": LATER, "kind": "base"},
            {"environment": other_host, "kind": "head"},
        ]
    ):
        save(store, make_run(number, **changes))
    assert trends.repositories() == ["b", "owner/name"]
    (gpu,) = trends.machines("owner/name")
    assert (gpu.fingerprint, gpu.environment) == (H200.fingerprint, other_host)
    assert gpu.hosts == ("node-2", "node-1")
    assert (gpu.newest, gpu.newest_run, gpu.runs) == (make_run(1).started_at, make_run(1).id, 2)
    assert [machine.environment for machine in trends.machines("b")] == [CPU, H200]
    assert [(machine.environment.host, machine.runs) for machine in trends.machines()] == [
        ("laptop", 1),
        ("node-1", 3),
    ]
    assert trends.machines("c") == []


def test_series_are_kept_apart_by_all_that_is_never_compared(store: Store, trends: TrendReader) -> None:
    result = make_result("a")
    save(store, make_run(1), result, make_result("b"))
    save(store, make_run(2), result)
    others = [
        (make_run(3, repository="other"), result),
        (make_run(4, environment=LATER), result),
        (make_run(5, kind="import"), result),
        (make_run(6, kind="base"), result),
        (make_run(7), replace(result, version="v2")),
        (make_run(8), replace(result, timer=Timer.EVENTS)),
        (make_run(9), replace(result, device="cpu")),
        (make_run(10), replace(result, family="moe")),
    ]
    for run, saved in others:
        save(store, run, saved)
    assert len(trends.series(kinds=None)) == 2 + len(others)
    (only,) = trends.series("owner/name", "b", H200.fingerprint)
    assert (only.repository, only.kind, only.case, only.version) == ("owner/name", "run", "b", "v1")
    assert (only.family, only.device, only.timer, only.fingerprint) == (
        "b",
        "cuda",
        Timer.GRAPH,
        H200.fingerprint,
    )
    assert len(trends.series(case="a")) == len(others)
    assert [one.kind for one in trends.series(case="a", kinds=["base"])] == ["base"]
    assert [one.repository for one in trends.series("other")] == ["other"]
    assert [one.case for one in trends.series(fingerprint=LATER.fingerprint)] == ["a"]
    first = trends.series("owner/name", "a", H200.fingerprint)[0]
    assert {point.run_id for point in trends.points([first.id])} == {make_run(1).id, make_run(2).id}
    assert trends.cases() == ["a", "b"]
    assert trends.cases("other") == trends.cases(fingerprint=LATER.fingerprint) == ["a"]
    assert trends.cases("owner/name", CPU.fingerprint) == []


def test_places_are_in_the_order_of_history(store: Store, trends: TrendReader) -> None:
    late = make_run(9, commit=replace(make_run(9).commit, committed_at=NOON, subject="b\x00ackfill\udcff"))
    stranger = replace(H200, details={"untrusted": True})
    undated = make_run(3, commit=replace(make_run(3).commit, committed_at=None), environment=stranger)
    for run in (make_run(2), undated, late, replace(make_run(1), finished_at=NOON)):
        save(store, run)
    save(store, make_run(4, kind="head"))
    save(store, make_run(5, environment=LATER))
    save(store, make_run(6, repository="other"))
    places = trends.places("owner/name", H200.fingerprint)
    assert [place.commit for place in places] == [
        late.commit,
        make_run(1).commit,
        make_run(2).commit,
        undated.commit,
    ]
    assert [place.trusted for place in places] == [True, True, True, False]
    first = places[1]
    assert (first.run_id, first.started_at, first.finished_at) == (
        make_run(1).id,
        make_run(1).started_at,
        NOON,
    )
    assert (first.profile, first.kind) == ("standard", "run")
    assert first.environment_id != places[3].environment_id
    assert trends.places("owner/name", H200.fingerprint, limit=2) == places[-2:]
    (head,) = trends.places("owner/name", H200.fingerprint, kinds=["head"])
    assert head.run_id == make_run(4).id


def test_commits_of_one_second_have_the_order_of_their_line(store: Store, trends: TrendReader) -> None:
    for number, position in ((1, 12), (2, 11), (3, None)):
        commit = replace(make_run(number).commit, committed_at=NOON, position=position)
        save(store, make_run(number, commit=commit))
    places = trends.places("owner/name", H200.fingerprint)
    assert [place.commit.position for place in places] == [None, 11, 12]


def test_commits_are_those_of_their_newest_runs(store: Store, trends: TrendReader) -> None:
    again = make_run(5, commit=replace(make_run(1).commit, subject="amended"))
    for run in (make_run(1), again, make_run(2), make_run(3, repository="other")):
        save(store, run)
    shas = {make_run(number).commit.sha for number in (1, 2, 3, 4)}
    assert trends.commits("owner/name", shas) == {
        again.commit.sha: again.commit,
        make_run(2).commit.sha: make_run(2).commit,
    }
    assert trends.commits("owner/name", []) == {}


def test_points_and_cells_are_what_was_saved(store: Store, trends: TrendReader) -> None:
    good = replace(make_result("a"), error_rms=0.01, roofline_fraction=0.5)
    red = replace(make_result("b"), status=Status.INCORRECT, blocks=(), launches=Launches())
    run = save(store, make_run(), good, red)
    cells = {cell.case: cell for cell in trends.cells([run.id])}
    a, b = cells["a"], cells["b"]
    assert a[:7] == (run.id, "a", "a", Status.OK, 11.0, "v1", Timer.GRAPH)
    assert a.launches_id is not None
    assert (a.error_rms, b.error_rms) == (0.01, None)
    assert b[3:5] == (Status.INCORRECT, None)
    assert b.launches_id is None
    names = {one.id: one.case for one in trends.series()}
    points = {names[point.series_id]: point for point in trends.points(names)}
    assert points["a"][1:] == (run.id, Status.OK, 11.0, 10.0, 12.0, 0.01, 0.5, a.launches_id)
    assert points["b"][1:] == (run.id, Status.INCORRECT, None, None, None, None, None, None)
    assert trends.counts([run.id, "unknown"]) == {run.id: Counter(ok=1, incorrect=1)}
    assert trends.launches([a.launches_id, "unknown"]) == {a.launches_id: good.launches}


def test_what_is_no_number_is_no_point(store: Store, trends: TrendReader) -> None:
    wild = replace(make_result("a"), error_rms=float("inf"), roofline_fraction=float("nan"))
    save(store, make_run(), wild)
    (point,) = trends.points([one.id for one in trends.series()])
    assert (point.error_rms, point.roofline_fraction) == (None, None)
    found = trends.result(make_run().id, "a")
    assert found is not None
    assert found.error_rms == float("inf")


def test_a_result_that_is_saved_again_changes_its_series(store: Store, trends: TrendReader) -> None:
    run = save(store, make_run(), make_result("a"))
    (before,) = trends.series()
    store.save_result(run.id, replace(make_result("a", (5.0,)), version="v2"))
    after = trends.series()[-1]
    assert (after.version, trends.points([before.id])) == ("v2", [])
    assert [point.median_ns for point in trends.points([after.id])] == [5.0]


def test_a_run_that_is_stored_again_takes_its_results_along(store: Store, trends: TrendReader) -> None:
    run = save(store, make_run(), make_result("a"), make_result("b"))
    store.start_run(replace(run, environment=LATER, repository="renamed"))
    assert trends.cases("owner/name") == ["a", "b"]
    assert trends.points([one.id for one in trends.series("owner/name")]) == []
    moved = trends.series("renamed", fingerprint=LATER.fingerprint)
    assert [one.case for one in moved] == ["a", "b"]
    assert len(trends.points([one.id for one in moved])) == 2
    assert len(store.reader.series("a", LATER.fingerprint)) == 1


def test_one_result_and_the_latest_of_a_case(store: Store, trends: TrendReader) -> None:
    old, new = (replace(make_result("a", (float(ns),)), bytes=ns) for ns in (1, 2))
    save(store, make_run(2), new)
    save(store, make_run(1), old)
    save(store, make_run(3), make_result("b"))
    save(store, make_run(4, kind="head"), make_result("a"))
    save(store, make_run(5, repository="other"), make_result("a", (7.0,)))
    assert trends.result(make_run(1).id, "a") == old
    assert trends.result(make_run(1).id, "a", samples=False) == replace(old, blocks=())
    assert trends.result(make_run(1).id, "b") is None
    assert trends.latest("a", H200.fingerprint, "owner/name") == replace(new, blocks=())
    assert trends.latest("a", H200.fingerprint) == replace(make_result("a"), blocks=())
    assert trends.latest("a", CPU.fingerprint) is None
    assert trends.latest("c", H200.fingerprint) is None


def test_comparisons_of_a_commit_run_or_repository(store: Store, trends: TrendReader) -> None:
    made = [make_comparison(number) for number in (1, 2, 3)]
    shared = replace(made[2].base, commit=made[0].head.commit)
    made[2] = replace(made[2], base=shared, head=replace(made[2].head, repository="other"))
    for comparison in made:
        store.start_comparison(comparison)
    assert trends.comparisons_of() == made[::-1]
    assert trends.comparisons_of(limit=1) == [made[2]]
    assert trends.comparisons_of(sha=made[0].head.commit.sha) == [made[2], made[0]]
    assert trends.comparisons_of(sha="unknown") == []
    assert trends.comparisons_of(run_id=made[1].base.id) == [made[1]]
    assert trends.comparisons_of(repository="other") == [made[2]]
    assert trends.comparisons_of(sha=made[0].head.commit.sha, repository="owner/name") == [made[0]]


def test_the_pushes_of_a_pull_request(store: Store, trends: TrendReader) -> None:
    made = [make_comparison(number) for number in (1, 2, 3)]
    for comparison in made:
        store.start_comparison(comparison)
    jobs = [
        make_job(number, pull=pull, comparison=comparison, kind=kind)
        for number, pull, comparison, kind in (
            (2, 7, made[1].id, JobKind.COMPARE),
            (1, 7, made[0].id, JobKind.COMPARE),
            (3, 8, made[2].id, JobKind.COMPARE),
            (4, 7, "", JobKind.COMPARE),
            (5, 7, "gone", JobKind.COMPARE),
            (6, 7, made[2].id, JobKind.BISECT),
        )
    ]
    for job in jobs:
        store.jobs.add(job)
    assert trends.pull_comparisons("owner/name", 7) == [(jobs[1], made[0]), (jobs[0], made[1])]
    assert trends.pull_comparisons("other", 7) == []


def test_the_stamp_tells_what_was_added_or_finished(store: Store, trends: TrendReader) -> None:
    seen = [trends.stamp()]
    steps: list[Callable[[], object]] = [
        lambda: store.start_run(make_run()),
        lambda: store.save_result(make_run().id, make_result("a")),
        lambda: store.save_result(make_run().id, make_result("b")),
        lambda: store.finish_run(make_run().id, NOON),
        lambda: store.start_comparison(make_comparison()),
        lambda: store.finish_comparison(make_comparison().id, NOON + timedelta(hours=1)),
    ]
    for step in steps:
        step()
        assert trends.stamp() == trends.stamp()
        seen.append(trends.stamp())
    assert len(set(seen)) == len(seen)


def test_the_number_of_queries_does_not_grow(store: Store, trends: TrendReader) -> None:
    def queries(read: Callable[[], object]) -> int:
        seen: list[str] = []

        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        event.listen(Engine, "after_cursor_execute", note)
        read()
        event.remove(Engine, "after_cursor_execute", note)
        return len([statement for statement in seen if not statement.startswith("BEGIN")])

    def counts() -> list[int]:
        cells = trends.cells([make_run(1).id])
        reads: list[Callable[[], object]] = [
            trends.repositories,
            trends.machines,
            trends.series,
            trends.cases,
            lambda: trends.places("owner/name", H200.fingerprint),
            lambda: trends.points([one.id for one in trends.series()]),
            lambda: trends.cells([make_run(number).id for number in range(9)]),
            lambda: trends.counts([make_run(number).id for number in range(9)]),
            lambda: trends.launches({cell.launches_id for cell in cells if cell.launches_id}),
            lambda: trends.latest("a0", H200.fingerprint),
            trends.comparisons_of,
            trends.stamp,
        ]
        return [queries(read) for read in reads]

    def fill(number: int) -> None:
        run = make_run(number, environment=replace(H200, host=f"node-{number}", driver=f"58{number}"))
        results = [make_result(f"a{index}") for index in range(number * 2)]
        save(store, replace(run, repository=f"r{number}" if number > 2 else "owner/name"), *results)
        store.start_comparison(make_comparison(10 + number))

    fill(1)
    few = counts()
    for number in range(2, 6):
        fill(number)
    assert counts() == few
    assert max(few) <= 5
