"""An unrelated public project's real pytest-benchmark output."""

from __future__ import annotations

from pathlib import Path

from perfsuite.model import Status, Timer
from perfsuite.store import import_document, open_store

FILE = Path(__file__).parents[1] / "data" / "pytest_benchmark" / "python_rapidjson-1.25.json"


def test_a_public_projects_benchmarks_import(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "p.db")) as store:
        summary = import_document(store, FILE.read_bytes(), FILE.name)
        (run,) = store.reader.runs()
        results = {result.case: result for result in store.reader.results(run.id)}
        (point,) = store.reader.series("benchmark/dumps[rapidjson_c-composite object]")
    assert (summary.runs, summary.results) == (1, len(results))
    assert run.kind == "import"
    result = results["benchmark/dumps[rapidjson_c-composite object]"]
    assert (result.status, result.timer) == (Status.OK, Timer.IMPORTED)
    assert point.median_ns is not None
    assert 5_000 < point.median_ns < 50_000
