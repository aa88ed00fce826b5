"""Importing what others wrote: pytest-benchmark's files, and files that cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from store_example import make_comparison, make_result, make_run

from perfsuite.errors import Exit, UsageError
from perfsuite.model import Status, Timer
from perfsuite.store import Store, check, export_document, import_document
from perfsuite.store.pytest_benchmark_json import case_id

SUITE = """
import pytest

class Odd:
    pass

@pytest.mark.benchmark(group="adding")
@pytest.mark.parametrize("a,b", [(1, 2), (3, 4)])
def test_bar(benchmark, a, b):
    benchmark.extra_info.update(size=a, shape=[a, b])
    benchmark.pedantic(sum, args=([a, b],), rounds=5, iterations=3)

@pytest.mark.parametrize("thing", [Odd(), "µ"])
def test_odd(benchmark, thing):
    benchmark.pedantic(len, args=([thing],), rounds=4)

class TestLists:
    def test_append(self, benchmark):
        benchmark.pedantic([].append, args=(1,), rounds=3)
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A file that pytest-benchmark really wrote."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_foo.py").write_text(SUITE, encoding="utf-8")
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:perfsuite",
        "--rootdir=.",
        "--benchmark-json=out.json",
    ]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    document: dict[str, Any] = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return document


def benchmark(name: str = "tests/test_foo.py::test_bar[1-2]", **stats: Any) -> dict[str, Any]:
    return {"fullname": name, "stats": {"data": [1e-6, 3e-6, 2e-6], **stats}}


def document(*benchmarks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "benchmarks": list(benchmarks or [benchmark()]),
        "datetime": "2024-05-01T10:00:00+00:00",
        **changes,
    }


def imported(store: Store, content: dict[str, Any]) -> str:
    return import_document(store, json.dumps(content), "file.json").run_ids[0]


def test_a_real_file_of_pytest_benchmark(store: Store, measured: dict[str, Any]) -> None:
    summary = import_document(store, json.dumps(measured).encode(), "out.json")
    assert (summary.kind, summary.runs, summary.results, summary.comparisons) == ("pytest-benchmark", 1, 5, 0)
    run = store.reader.run("latest")
    assert (run.id,) == summary.run_ids
    assert (run.kind, run.profile, run.repository) == ("import", "import", measured["commit_info"]["project"])
    assert run.started_at == run.finished_at == datetime.fromisoformat(measured["datetime"])
    assert run.environment.host == measured["machine_info"]["node"]
    assert run.environment.python == measured["machine_info"]["python_version"]
    assert run.commit.branch is None
    results = {result.case: result for result in store.reader.results(run.id)}
    assert list(results) == [
        "foo/bar[1-2]",
        "foo/bar[3-4]",
        "foo/odd[thing0]",
        "foo/odd[\\xb5]",
        "foo/TestLists/append",
    ]
    bar = results["foo/bar[3-4]"]
    assert (bar.family, bar.params, bar.device) == ("foo/bar", {"a": 3, "b": 4}, "cpu")
    assert (bar.status, bar.timer) == (Status.OK, Timer.IMPORTED)
    assert bar.extra == {"fullname": "tests/test_foo.py::test_bar[3-4]", "group": "adding", "size": 3}
    assert bar.blocks[0].iterations == 3
    seconds = measured["benchmarks"][1]["stats"]["data"]
    assert bar.samples_ns == pytest.approx([value * 1e9 for value in seconds])
    assert str(results["foo/odd[thing0]"].params["thing"]).startswith("UNSERIALIZABLE[")
    assert check(store) == []


def test_importing_twice_changes_nothing(store: Store, measured: dict[str, Any]) -> None:
    first = import_document(store, json.dumps(measured), "out.json")
    before = store.reader.results(first.run_ids[0])
    # Also when it was formatted anew, under another name, and with a byte order mark.
    again = import_document(store, "\ufeff" + json.dumps(measured, indent=8, sort_keys=True), "renamed.json")
    assert again == first
    assert len(store.reader.runs()) == 1
    assert store.reader.results(first.run_ids[0]) == before


def test_a_file_without_data_keeps_its_statistics(store: Store) -> None:
    stats: dict[str, Any] = {
        "data": None,
        "min": 1e-6,
        "q1": 2e-6,
        "median": 3e-6,
        "q3": 4e-6,
        "max": 5e-6,
        "rounds": 70,
    }
    (result,) = store.reader.results(imported(store, document(benchmark(**stats))))
    assert result.samples_ns == pytest.approx((3000.0,))
    assert result.extra == {
        "fullname": "tests/test_foo.py::test_bar[1-2]",
        "min_ns": pytest.approx(1000.0),
        "q1_ns": pytest.approx(2000.0),
        "median_ns": pytest.approx(3000.0),
        "q3_ns": pytest.approx(4000.0),
        "max_ns": pytest.approx(5000.0),
        "sample_is": "median",
        "rounds": 70,
    }


@pytest.mark.parametrize(
    "partial", [None, {}, {"node": None, "cpu": None, "time": None, "id": None}, [], "?"]
)
def test_descriptions_may_be_partial(store: Store, partial: object) -> None:
    content = document(machine_info=partial, commit_info=partial)
    run = store.reader.run(imported(store, content))
    assert (run.environment.host, run.commit.sha, run.repository) == ("unknown", "unknown", "file")


def test_what_a_file_tells_of_its_commit(store: Store) -> None:
    info = {
        "id": "ab" * 20,
        "time": "2024-04-30T12:00:00+02:00",
        "dirty": True,
        "project": "theirs",
        "branch": "main",
    }
    run = store.reader.run(imported(store, document(commit_info=info, datetime=None)))
    assert (run.commit.sha, run.commit.branch, run.repository) == ("ab" * 20, "main", "theirs")
    assert run.commit.committed_at == run.started_at == datetime(2024, 4, 30, 10, tzinfo=UTC)
    assert run.commit.dirty


def test_strange_params_and_extra_info(store: Store) -> None:
    item = {
        **benchmark(),
        "params": {"n": float("nan"), "deep": {"a": [1]}, "big": 10**30, "none": None},
        "extra_info": {"group": "mine", "fullname": "mine", "list": [1], "inf": float("inf")},
        "group": "theirs",
    }
    (result,) = store.reader.results(imported(store, document(item)))
    assert repr(result.params) == "{'n': nan, 'deep': '{\"a\": [1]}', 'big': 1" + "0" * 30 + ", 'none': None}"
    assert result.extra["group"] == "theirs"
    assert result.extra["extra_info.group"] == "mine"
    assert result.extra["inf"] == float("inf")
    assert "list" not in result.extra


@pytest.mark.parametrize(
    ("full_name", "expected"),
    [
        ("tests/test_foo.py::test_bar[1-2]", "foo/bar[1-2]"),
        ("a/b/foo_test.py::test_bar", "foo/bar"),
        ("test_foo.py::TestX::test_bar[a::b/c[d]]", "foo/TestX/bar[a::b/c[d]]"),
        ("bench.py::bar", "bench/bar"),
        ("test_.py::test_", "test_/test_"),
        ("test_bar[1]", "bar[1]"),
    ],
)
def test_case_ids(full_name: str, expected: str) -> None:
    assert case_id(full_name) == expected


def test_equal_names_in_different_folders_stay_apart(store: Store) -> None:
    names = ["a/test_x.py::test_f[1]", "b/test_x.py::test_f[1]", "a/test_x.py::test_g", "a/test_x.py::test_g"]
    results = store.reader.results(imported(store, document(*map(benchmark, names))))
    assert [result.case for result in results] == ["a/x/f[1]", "b/x/f[1]", "a/x/g", "a/x/g#2"]
    assert [result.family for result in results] == ["a/x/f", "b/x/f", "a/x/g", "a/x/g#2"]


def test_case_ids_of_endless_parameters_are_shortened(store: Store) -> None:
    names = [f"test_x.py::test_f[{'y' * 5000}{end}]" for end in "ab"]
    results = store.reader.results(imported(store, document(*map(benchmark, names))))
    cases = [result.case for result in results]
    assert len(set(cases)) == 2
    assert all(case.startswith("x/f[yyy") and case.endswith("]") and len(case) <= 300 for case in cases)
    assert [result.extra["fullname"] for result in results] == names


BROKEN = [
    ("", "line 1, column 1: not JSON"),
    ("{", "file ends too early"),
    (json.dumps(document())[:60], "line 1, column .*file ends too early"),
    ('{"a": 1,\n "b": }', "line 2, column 7: not JSON"),
    (b"\xff\xfe", "byte 0: not UTF-8"),
    ("[" * 200_000, "nested too deeply"),
    ('{"benchmarks": [' + "9" * 5000 + "]}", "more than 4000 digits"),
    ("null", "neither a perfsuite export nor pytest-benchmark"),
    ("[1, 2]", "neither"),
    ('{"a": 1}', "neither"),
    (document() | {"benchmarks": []}, "benchmarks: holds no benchmarks"),
    (document() | {"benchmarks": {}}, "benchmarks: holds no benchmarks"),
    (document() | {"benchmarks": [benchmark(), 3]}, r"benchmarks\[1\]: an object was expected"),
    (document() | {"datetime": "yesterday"}, "datetime: is missing or not a time"),
    (document({"stats": {}}), r"benchmarks\[0\].fullname: is missing"),
    (document({"fullname": "a"}), r"benchmarks\[0\].stats: an object"),
    (document({"fullname": "a", "stats": {}}), r"benchmarks\[0\].stats: holds neither data nor a median"),
    (document(benchmark(), benchmark(data="x")), r"benchmarks\[1\].stats.data: a list"),
    (document(benchmark(data=[1.0, None])), r"benchmarks\[0\].stats.data\[1\]: a number of seconds"),
    (document(benchmark(data=[float("nan")])), r"data\[0\]: nan is not a duration"),
    (document(benchmark(data=[1e305])), r"data\[0\]: 1e\+305 is not a duration"),
    (document(benchmark(data=[10**400])), r"data\[0\]: a whole number of too many digits is not"),
    (document(benchmark(data=[-1.0])), r"data\[0\]: -1.0 is not a duration"),
    (document(benchmark(data=[], median=float("inf"))), r"stats.median: inf is not a duration"),
    ({"schema": 2, "runs": []}, "schema: version 2 was written by another perfsuite"),
    ({"schema": "1", "runs": []}, "schema: version '1'"),
    ({"schema": True, "runs": []}, "schema: version True"),
    ({"schema": 1, "results": []}, "runs: is missing: this is a report, not an export"),
    ({"schema": 1, "runs": [{}]}, r"runs\[0\].id: is missing"),
    ({"schema": 1, "runs": 3}, "runs: a list was expected"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=[message[:30] for _, message in BROKEN])
def test_what_cannot_be_read_is_named(sqlite_store: Store, content: Any, message: str) -> None:
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    with pytest.raises(UsageError, match=rf"^their file\.json: .*{message}") as caught:
        import_document(sqlite_store, text, "their file.json")
    assert caught.value.next_step
    assert caught.value.exit_code == Exit.USAGE
    assert len(str(caught.value)) < 400
    assert sqlite_store.reader.runs() == []


def damaged_export(store: Store) -> dict[str, Any]:
    comparison = make_comparison()
    store.start_comparison(comparison)
    store.save_result(comparison.head.id, make_result("a"))
    store.save_result(comparison.head.id, make_result("b"))
    return export_document(store.reader, [make_run(2, kind="base")], [comparison])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ["runs", 1, "results", 1, "blocks", 0, "rounds", 2, "sample_ns"],
            "x",
            "rounds[2].sample_ns: a number",
        ),
        (["runs", 1, "results", 1, "blocks", 0, "rounds", 2, "sample_ns"], 1e999, "Infinity is not a finite"),
        (["runs", 1, "results", 1, "case"], "a", "runs[1].results[1].case: 'a' appears twice"),
        (["runs", 1, "results", 0, "bytes"], 2**64, "runs[1].results[0].bytes: 18446744073709551616"),
        (["runs", 1, "id"], make_run(2).id, "runs[1].id: '0000000200"),
        (["runs", 1, "started_at"], "0001-01-01T00:00:00+10:00", "runs[1].started_at: '0001-01-01"),
        (["runs", 0, "commit"], None, "runs[0].commit: an object was expected, not None"),
        (["comparisons", 0, "base"], "f" * 32, "comparisons[0].base: names no run of this file"),
        (["comparisons", 0, "threshold"], None, "comparisons[0].threshold: a number"),
        (["comparisons", 0], 1, "comparisons[0]: an object was expected"),
    ],
)
def test_nothing_of_a_damaged_export_is_imported(
    store: Store, sqlite_store: Store, path: list[Any], value: Any, message: str
) -> None:
    content = damaged_export(sqlite_store)
    place: Any = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(UsageError) as caught:
        import_document(store, json.dumps(content), "export.json")
    assert message.replace("Infinity", "inf") in str(caught.value)


def test_a_failure_in_the_middle_of_an_import_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("perfsuite.store.writer._put_comparisons", fail)
    with pytest.raises(RuntimeError):
        imported(store, document())
    assert store.reader.runs() == []
    assert store.reader.cases() == []


def test_unknown_keys_of_a_later_version_are_ignored(store: Store, sqlite_store: Store) -> None:
    content = damaged_export(sqlite_store)
    content["news"] = content["runs"][0]["news"] = content["runs"][1]["results"][0]["news"] = {"a": 1}
    import_document(store, json.dumps(content), "export.json")
    assert store.reader.results(make_comparison().head.id) == [make_result("a"), make_result("b")]


def exported(store: Store) -> dict[str, Any]:
    """A comparison with a result on each side, as a file holds it."""
    comparison = make_comparison()
    store.start_comparison(comparison)
    for run in (comparison.base, comparison.head):
        store.save_result(run.id, make_result())
    return json.loads(json.dumps(export_document(store.reader, [], [comparison])))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": 1.0}, "threshold: 1.0 is not a share"),
        ({"threshold": -1.0}, "is not a share"),
        ({"case_thresholds": {"n=1": 3.0}}, "n=1: 3.0 is not a share"),
        ({"noise": {"a@1": {"between": -1.0, "pairs": 8}}}, "a sum is negative"),
        ({"kind": "bogus"}, "'bogus' is none of compare, noise"),
    ],
)
def test_comparisons_that_nobody_could_judge_are_refused(
    store: Store, change: dict[str, Any], said: str
) -> None:
    document = exported(store)
    document["comparisons"][0] |= change
    with pytest.raises(UsageError, match="comparisons") as refused:
        import_document(store, json.dumps(document), "file.json")
    assert said in str(refused.value)


def test_a_comparison_of_a_run_with_itself_is_refused(store: Store) -> None:
    document = exported(store)
    document["comparisons"][0]["head"] = document["comparisons"][0]["base"]
    with pytest.raises(UsageError, match="the same run as base"):
        import_document(store, json.dumps(document), "file.json")


def test_other_results_of_a_stored_run_do_not_overwrite_it(store: Store) -> None:
    document = exported(store)
    import_document(store, json.dumps(document), "file.json")
    before = export_document(store.reader, store.reader.runs())
    document["runs"][0]["results"][0]["error_rms"] = 0.5
    with pytest.raises(UsageError, match="with another result of"):
        import_document(store, json.dumps(document), "file.json")
    assert export_document(store.reader, store.reader.runs()) == before
