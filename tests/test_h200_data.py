"""What an H200 returned, read back: the committed export fills an empty database and is judged anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfsuite.model import Status, Timer, Verdict
from perfsuite.report.text import comparison_text
from perfsuite.stats.judge import judge
from perfsuite.store import Store, import_document, open_store

H200 = Path(__file__).parent / "data" / "h200"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "perfsuite.db"))


def test_the_run_fills_an_empty_database(store: Store) -> None:
    import_document(store, (H200 / "run.json").read_bytes(), "run.json")
    (run,) = store.reader.runs()
    results = store.reader.results(run.id)
    assert run.environment.gpu == "NVIDIA H200"
    assert {result.status for result in results} == {Status.OK}
    assert {result.timer for result in results} == {Timer.GRAPH}
    assert all(result.error_rms is not None and result.launches.kernels for result in results)


def test_the_slow_variant_is_judged_regressed_from_its_samples(store: Store) -> None:
    import_document(store, (H200 / "compare_inloop.json").read_bytes(), "compare_inloop.json")
    comparison = store.reader.comparison("latest")
    report = judge(
        comparison,
        store.reader.results(comparison.base.id),
        store.reader.results(comparison.head.id),
    )
    verdicts = {compared.case: compared for compared in report.comparisons}
    prefill = [verdicts[case] for case in verdicts if case.startswith("moe_w4a8/prefill")]
    assert len(prefill) == 4
    assert {compared.verdict for compared in prefill} == {Verdict.REGRESSED}
    assert all(compared.low is not None and compared.low > 0.09 for compared in prefill)
    assert {verdicts[c].verdict for c in verdicts if c.startswith("quantize/")} == {Verdict.IDENTICAL}
    assert report.resolution is not None
    assert report.resolution < 0.006


def test_the_printed_report_is_what_the_samples_say(store: Store) -> None:
    import_document(store, (H200 / "compare_inloop.json").read_bytes(), "compare_inloop.json")
    comparison = store.reader.comparison("latest")
    report = judge(
        comparison,
        store.reader.results(comparison.base.id),
        store.reader.results(comparison.head.id),
    )
    printed = (H200 / "compare_inloop.txt").read_text().splitlines()
    again = comparison_text(report, width=140).splitlines()
    assert [line.rstrip() for line in again] == [line.rstrip() for line in printed]
