"""The required times of kernels/budgets.toml are of cases that the suite has."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from perfsuite.cases import match_cases
from perfsuite.plugin.cases import case_of

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "kernels" / "suite"


class Collector:
    """Keeps the ids of all cases."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.ids += [case.id for item in session.items if (case := case_of(item, SUITE)) is not None]


@pytest.fixture(scope="module")
def cases() -> list[str]:
    collector = Collector()
    pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", str(SUITE)], plugins=[collector])
    return collector.ids


def test_every_budget_names_one_case(cases: list[str]) -> None:
    tables = tomllib.loads((ROOT / "kernels" / "budgets.toml").read_text(encoding="utf-8"))
    found = {pattern: match_cases(pattern, cases) for table in tables.values() for pattern in table}
    assert {pattern: ids for pattern, ids in found.items() if ids != [pattern]} == {}
