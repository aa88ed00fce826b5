"""Finding runs, comparisons, cases and series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event
from store_example import H200, NOON, make_comparison, make_result, make_run

from perfsuite.errors import UsageError
from perfsuite.model import Environment, Kernel, Launches, Status, Timer
from perfsuite.store import Store
from perfsuite.summary import summarize

CPU = Environment("laptop", cpu="Some CPU", python="3.11")


def test_runs_are_newest_first_and_filtered(store: Store) -> None:
    for number in (2, 5, 1, 4):
        store.start_run(make_run(number, kind="head" if number == 5 else "run"))
    store.start_run(make_run(3, repository="other/one"))
    ids = [run.id[:8] for run in store.reader.runs()]
    assert ids == ["00000005", "00000004", "00000003", "00000002", "00000001"]
    assert [run.id[:8] for run in store.reader.runs(limit=2)] == ids[:2]
    assert [run.id[:8] for run in store.reader.runs(kind="head")] == ["00000005"]
    assert [run.repository for run in store.reader.runs(repository="other/one")] == ["other/one"]
    shas = {make_run(number).commit.sha for number in (1, 4, 9)}
    assert [run.id[:8] for run in store.reader.runs(shas=shas)] == ["00000004", "00000001"]
    assert store.reader.runs(shas=[]) == []
    assert store.reader.runs(shas=shas, repository="other/one") == []
    shas.add(make_run(3).commit.sha)
    assert [run.id[:8] for run in store.reader.runs(shas=shas, repository="other/one")] == ["00000003"]
    assert len(store.reader.runs(limit=None)) == 5


def test_repositories_are_those_of_the_runs(store: Store) -> None:
    assert store.reader.repositories() == []
    for number, (repository, kind) in enumerate(
        (("b/b", "run"), ("a/a", "import"), ("a/a", "run"), ("B", "base"))
    ):
        store.start_run(make_run(number, repository=repository, kind=kind))
    assert store.reader.repositories() == ["B", "a/a", "b/b"]
    assert store.reader.repositories(kinds=("run",)) == ["a/a", "b/b"]


def test_a_run_is_found_by_id_sha_or_latest(store: Store) -> None:
    first = make_run(0xAB)
    again = replace(first, id="f" * 32, started_at=first.started_at + timedelta(hours=1))
    other = make_run(0xAC)
    for run in (first, again, other):
        store.start_run(run)
    assert store.reader.run("latest") == other
    assert store.reader.run(first.id) == first
    assert store.reader.run("FFFF") == again
    # Its newest run, though the beginning of a commit's sha stands for two.
    assert store.reader.run(first.commit.sha[:12]) == again
    assert store.reader.run("000000ac") == other


def test_an_ambiguous_beginning_is_refused(store: Store) -> None:
    for number in (0xAB, 0xAC):
        store.start_run(make_run(number))
    with pytest.raises(UsageError, match="is the beginning of 2 runs: 000000ac0000") as caught:
        store.reader.run("000000a")
    assert "give more digits" in caught.value.next_step


def test_an_unknown_run_names_the_nearest(store: Store) -> None:
    for number in (0x12345, 0x777):
        store.start_run(make_run(number))
    with pytest.raises(UsageError, match="there is no run '0001246'") as caught:
        store.reader.run("0001246")
    assert "change 74565" in caught.value.next_step.splitlines()[1]
    for nothing in ("", "%", "_", "zzz"):
        with pytest.raises(UsageError, match="there is no run"):
            store.reader.run(nothing)


def test_an_empty_store_says_what_comes_first(store: Store) -> None:
    with pytest.raises(UsageError, match=r"there is no run in .* yet") as caught:
        store.reader.run("latest")
    assert "perfsuite run" in caught.value.next_step
    with pytest.raises(UsageError, match="there is no comparison"):
        store.reader.comparison("latest")
    assert store.reader.cases() == []
    assert store.reader.results("unknown") == []


def test_unfinished_runs_are_found_by_everything_that_makes_them_the_same(store: Store) -> None:
    run = make_run(pattern="decode", commit=replace(make_run().commit, dirty="d1"))
    store.start_run(run)
    asked = {
        "sha": run.commit.sha,
        "dirty": "d1",
        "fingerprint": H200.fingerprint,
        "profile": "standard",
        "pattern": "decode",
        "suite": run.suite,
        "repository": run.repository,
    }
    assert store.reader.unfinished_run(**asked) == run
    for key in asked:
        assert store.reader.unfinished_run(**{**asked, key: "other"}) is None
    assert store.reader.unfinished_run(**asked, kind="base") is None
    store.finish_run(run.id, NOON)
    assert store.reader.unfinished_run(**asked) is None


def test_unfinished_comparisons_are_found_likewise(store: Store) -> None:
    comparison = make_comparison()
    store.start_comparison(comparison)
    asked = {
        "base_sha": comparison.base.commit.sha,
        "head_sha": comparison.head.commit.sha,
        "head_dirty": "",
        "fingerprint": H200.fingerprint,
        "profile": "standard",
        "pattern": "",
        "suite": comparison.head.suite,
        "repository": comparison.head.repository,
    }
    assert store.reader.unfinished_comparison(**asked) == comparison
    for key in asked:
        assert store.reader.unfinished_comparison(**{**asked, key: "other"}) is None
    store.finish_comparison(comparison.id, NOON)
    assert store.reader.unfinished_comparison(**asked) is None
    assert store.reader.comparison("latest").finished_at == NOON


def test_comparisons_are_newest_first(store: Store) -> None:
    made = [make_comparison(number, case_thresholds={"moe/*": 0.1}) for number in (1, 2, 3)]
    for comparison in made:
        store.start_comparison(comparison)
    assert store.reader.comparisons() == made[::-1]
    assert store.reader.comparisons(limit=1) == [made[-1]]
    assert store.reader.comparison(made[0].id[:8]) == made[0]


def test_cases_of_all_runs_and_of_one(store: Store) -> None:
    for number, cases in enumerate([("b", "a[1]"), ("a[1]", "c\x00", "é")]):
        run = make_run(number)
        store.start_run(run)
        for case in cases:
            store.save_result(run.id, make_result(case))
    assert store.reader.cases() == ["a[1]", "b", "c\x00", "é"]
    assert store.reader.finished_cases(make_run(0).id) == {"a[1]", "b"}
    assert store.reader.finished_cases("unknown") == set()


def test_commits_of_one_second_are_ordered_by_their_place(store: Store) -> None:
    """Measured newest first, as a backfill does."""
    for number, place in enumerate((4, 3, 2, None), start=1):
        run = make_run(number)
        run = replace(run, commit=replace(run.commit, committed_at=NOON, position=place))
        store.start_run(run)
        store.save_result(run.id, make_result("a"))
    assert [point.run.commit.position for point in store.reader.series("a")] == [None, 2, 3, 4]


def test_a_series_is_ordered_by_commit_and_kept_apart_by_environment(store: Store) -> None:
    for number in (3, 1, 2):
        run = make_run(number)
        store.start_run(run)
        store.save_result(run.id, make_result("a", (1.0 * number, 3.0 * number, 2.0 * number)))
    # Measured last, though its commit is the oldest: a backfill.
    late = make_run(9, commit=replace(make_run(9).commit, committed_at=NOON))
    store.start_run(late)
    store.save_result(late.id, replace(make_result("a"), status=Status.INCORRECT, blocks=()))
    elsewhere = make_run(4, environment=CPU, kind="head")
    store.start_run(elsewhere)
    store.save_result(elsewhere.id, make_result("a"))
    points = store.reader.series("a", H200.fingerprint)
    assert [point.run for point in points] == [late, make_run(1), make_run(2), make_run(3)]
    assert [point.median_ns for point in points] == [None, 2.0, 4.0, 6.0]
    assert (points[0].status, points[0].timer, points[0].version) == (Status.INCORRECT, Timer.GRAPH, "v1")
    assert (points[1].low_ns, points[1].high_ns) == (1.0, 3.0)
    assert len(store.reader.series("a")) == 5
    assert [point.run for point in store.reader.series("a", kinds=["head"])] == [elsewhere]
    assert store.reader.series("a", repository="other") == []
    assert store.reader.series("unknown") == []


def test_times_are_those_of_the_samples(store: Store) -> None:
    run = make_run()
    samples_ns = tuple(100.0 + (37 * number) % 50 for number in range(50))
    store.start_run(run)
    store.save_result(run.id, make_result("a", samples_ns))
    store.save_result(run.id, replace(make_result("b"), status=Status.FAILED, blocks=()))
    assert store.reader.times(run.id) == {"a": summarize(samples_ns)}


def test_the_number_of_queries_does_not_grow(store: Store) -> None:
    def queries(read: Callable[[], object]) -> int:
        seen: list[str] = []

        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        event.listen(store._engine, "after_cursor_execute", note)
        read()
        event.remove(store._engine, "after_cursor_execute", note)
        return len([statement for statement in seen if not statement.startswith("BEGIN")])

    def counts() -> list[int]:
        reader = store.reader
        run_id = make_run(2, kind="base").id
        reads: list[Callable[[], object]] = [
            lambda: reader.results(run_id),
            reader.runs,
            reader.comparisons,
            lambda: reader.series("a0"),
        ]
        return [queries(read) for read in reads]

    def fill(number: int) -> None:
        comparison = make_comparison(number)
        store.start_comparison(comparison)
        for index in range(number * 3):
            kernel = Kernel(f"k{index}", f"{index:016x}", "sm_90")
            result = replace(make_result(f"a{index}"), launches=Launches((kernel,), (f"k{index}",)))
            store.save_result(make_run(2, kind="base").id, result)

    fill(1)
    few = counts()
    for number in range(2, 6):
        fill(number)
    assert counts() == few
    assert max(few) <= 3
