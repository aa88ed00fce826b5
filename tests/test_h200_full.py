"""What `perfsuite run --profile full` returned on an H200, read back: the README's table is made of it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from perfsuite.cli.budgets import read_budgets
from perfsuite.config import Config
from perfsuite.model import Result, Run, Status, Timer
from perfsuite.report.budgets import Measured, Standing, budgets_markdown, measured_budgets
from perfsuite.store import import_document, open_store

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tests" / "data" / "h200" / "full.json.gz"
CONFIG = Config(
    root=ROOT, file=ROOT / "pyproject.toml", suite="", database="", budgets="kernels/budgets.toml"
)


@dataclass(frozen=True)
class Recorded:
    run: Run
    results: list[Result]
    measured: list[Measured]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with open_store(str(tmp_path_factory.mktemp("full") / "perfsuite.db")) as store:
        import_document(store, gzip.decompress(FILE.read_bytes()), FILE.name)
        (run,) = store.reader.runs()
        results = list(store.reader.results(run.id))
        yield Recorded(run, results, measured_budgets(read_budgets(CONFIG), run, results))


def test_every_budget_but_one_was_kept(recorded: Recorded) -> None:
    assert (recorded.run.environment.gpu, recorded.run.profile) == ("NVIDIA H200", "full")
    standings = {line.case: line.standing for line in recorded.measured}
    exceeded = [case for case, standing in standings.items() if standing is not Standing.KEPT]
    assert len(standings) == 37
    assert exceeded == ["matvec/matvec[N=12352,g=32]"]


def test_all_cases_but_a_stack_without_a_fixed_point_were_right(recorded: Recorded) -> None:
    """Its weights had a mean then; today's have none."""
    wrong = [result.case for result in recorded.results if result.status is not Status.OK]
    assert wrong == ["stack/stack[qwen3.5-35b-a3b,m=1600]"]
    timed = [result for result in recorded.results if result.status is Status.OK]
    assert len(timed) == 163
    assert {result.timer for result in timed} == {Timer.GRAPH}


def test_the_readme_has_the_table_that_the_report_prints(recorded: Recorded) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert budgets_markdown(recorded.run, recorded.measured).strip() in readme
    canaries = [result.case for result in recorded.results if result.case.startswith("perfsuite/canary")]
    assert len(canaries) == 3
    assert f"for {len(recorded.results) - 3} cases and three canaries" in readme
