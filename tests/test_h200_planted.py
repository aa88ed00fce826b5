"""What the gate saw of equal code and of planted slow-downs on an H200, recomputed from the raw samples."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from perfsuite.model import CaseComparison, Comparison, Result, Verdict
from perfsuite.stats.judge import judge
from perfsuite.store import Reader, import_document, open_store

HERE = Path(__file__).parent
H200 = HERE / "data" / "h200"
STEPS = json.loads((HERE / "planted" / "steps.json").read_text())["cases"]
CHANGED = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.LESS_ACCURATE)
SUBJECT = "Planted slow-down of "


@dataclass(frozen=True)
class Planted:
    """One case of one comparison with a planted slow-down."""

    share: float
    """What was asked for."""
    true: float
    """What it is: the planted steps' measured time over base's time in the same comparison."""
    seen: CaseComparison

    @property
    def covered(self) -> bool:
        assert self.seen.low is not None and self.seen.high is not None
        return self.seen.low <= self.true <= self.seen.high


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    yield from _read("noise.json.gz", tmp_path_factory)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    yield from _read("planted.json.gz", tmp_path_factory)


def _read(name: str, folders: pytest.TempPathFactory) -> Iterator[Reader]:
    with open_store(folders.mktemp("h200") / "perfsuite.db") as store:
        import_document(store, gzip.decompress((H200 / name).read_bytes()), name)
        yield store.reader


def judged(reader: Reader, comparison: Comparison) -> tuple[tuple[CaseComparison, ...], list[Result]]:
    base, head = (reader.results(run.id) for run in (comparison.base, comparison.head))
    return judge(comparison, base, head).comparisons, head


@pytest.mark.parametrize("threshold", [0.005, 0.0025, 0.001])
def test_equal_code_raises_no_alarm_whatever_the_threshold(equal: Reader, threshold: float) -> None:
    """Every case of the suite, twelve times, two H200s, the identical veto off."""
    found: Counter[Verdict] = Counter()
    for comparison in equal.comparisons(limit=100):
        cases, _ = judged(equal, replace(comparison, threshold=threshold))
        found += Counter(case.verdict for case in cases)
    assert found.total() == 348
    assert not any(found[verdict] for verdict in CHANGED)


def test_equal_code_is_unchanged_at_the_threshold_it_was_measured_with(equal: Reader) -> None:
    verdicts = [c.verdict for one in equal.comparisons(limit=100) for c in judged(equal, one)[0]]
    assert verdicts.count(Verdict.UNCHANGED) >= 345


def _planted(reader: Reader) -> list[Planted]:
    found = []
    for comparison in reader.comparisons(limit=100):
        subject = comparison.head.commit.subject
        if not subject.startswith(SUBJECT):
            continue
        cases, head = judged(reader, comparison)
        steps = {result.case: _steps(result) for result in head}
        for case in cases:
            if case.case in STEPS and case.base_ns:
                known = STEPS[case.case]
                true_ns = known["first_ns"] + steps[case.case] * known["step_ns"]
                found.append(Planted(float(subject.removeprefix(SUBJECT)), true_ns / case.base_ns, case))
    return found


def _steps(result: Result) -> int:
    steps = [kernel.arguments["STEPS"] for kernel in result.launches.kernels if "STEPS" in kernel.arguments]
    return max((int(step) for step in steps if isinstance(step, int)), default=0)


def test_planted_slow_downs_are_found_from_half_a_percent_on(planted: Reader) -> None:
    found = Counter((p.share, p.seen.verdict) for p in _planted(planted))
    for share in (0.005, 0.01, 0.02, 0.05):
        assert found[share, Verdict.REGRESSED] == 21
    assert found[0.0025, Verdict.REGRESSED] + found[0.0025, Verdict.INCONCLUSIVE] == 21
    assert not any(found[share, Verdict.IMPROVED] for share in (0.0025, 0.005, 0.01, 0.02, 0.05))


def test_intervals_cover_what_was_planted(planted: Reader) -> None:
    rows = _planted(planted)
    assert len(rows) == 105
    assert sum(row.covered for row in rows) >= 0.95 * len(rows)


def test_the_table_in_the_readme_is_what_the_samples_say(planted: Reader) -> None:
    readme = (HERE.parent / "README.md").read_text()
    rows = _planted(planted)
    for share in (0.0025, 0.005, 0.01, 0.02, 0.05):
        of_share = [row for row in rows if row.share == share]
        assert _line(share, of_share) in readme, _line(share, of_share)


def _line(share: float, rows: list[Planted]) -> str:
    true = sorted(100 * row.true for row in rows)
    seen = sorted(100 * (row.seen.change or 0.0) for row in rows)
    halves = sorted(50 * ((row.seen.high or 0.0) - (row.seen.low or 0.0)) for row in rows)
    regressed = sum(row.seen.verdict is Verdict.REGRESSED for row in rows)
    return (
        f"| {100 * share:g} % | +{true[0]:.2f} … +{true[-1]:.2f} % | +{seen[0]:.2f} … +{seen[-1]:.2f} % | "
        f"±{halves[len(halves) // 2]:.2f} % | {regressed} of {len(rows)} | "
        f"{sum(row.covered for row in rows)} of {len(rows)} |"
    )
