"""The harness's own benchmarks beside those of a tree: collected without touching the tree's imports."""

from __future__ import annotations

import ast
import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perfsuite.model import CANARY_FAMILY
from perfsuite.plugin.cases import Case, case_of

TEST = "test_canary"


class CanaryModule(pytest.Module):
    """Imported by its name, from the installed harness.

    pytest's own import would put the harness's folder in front of `sys.path`, before the tree under test; and
    the tree's ini may name tests otherwise.
    """

    def _getobj(self) -> ModuleType:
        return importlib.import_module("perfsuite.canary.suite")

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        return list(self._genfunctions(TEST, getattr(self.obj, TEST)))


def canaries(session: pytest.Session) -> list[tuple[pytest.Item, Case]]:
    """The canaries' items. Empty where they cannot be imported: no Triton, no canaries."""
    folder = _folder()
    module: Any = CanaryModule.from_parent(session, path=folder / "suite.py")
    items = list(session.genitems(module))
    version = pinned()
    found = []
    for item in items:
        case = case_of(item, folder)
        if case is not None:
            name = CANARY_FAMILY + case.id.removeprefix(case.family)
            found.append(
                (item, replace(case, id=name, family=CANARY_FAMILY, file=CANARY_FAMILY, version=version))
            )
    return found


def _folder() -> Path:
    import perfsuite

    return Path(perfsuite.__file__).parent / "canary"


def pinned() -> str:
    """12 hex digits over the canaries' code, comments aside: their version."""
    digest = hashlib.sha256()
    for file in sorted(_folder().glob("*.py")):
        digest.update(ast.unparse(ast.parse(file.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:12]
