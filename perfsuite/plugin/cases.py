"""A pytest item as a case: stable id, family, axes, and a version that hashes its definition."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfsuite.model import Params, Scalar

if TYPE_CHECKING:
    import pytest

FIXTURES = ("gpu_benchmark", "benchmark")


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark with a value for each axis."""

    id: str
    family: str
    version: str
    params: Params
    node: str
    """pytest's node id."""
    file: str
    """Path of the file below the suite, without its ending: the family's first part."""
    plain: bool
    """Whether it uses pytest-benchmark's own fixture: timed by the wall clock."""
    full: bool = False
    """Whether it is marked `full`: measured with `--profile full`, or where `-k` names only such."""


def case_of(item: pytest.Item, suite: Path) -> Case | None:
    """The case behind an item, None where the item is no benchmark."""
    names = getattr(item, "fixturenames", ())
    if not any(name in names for name in FIXTURES):
        return None
    file = file_stem(item.path, suite)
    own = getattr(item, "cls", None)
    prefix = f"{own.__name__}." if own is not None else ""
    family = f"{file}/{prefix}{_strip(getattr(item, 'originalname', None) or item.name)}"
    callspec = getattr(item, "callspec", None)
    axes = _axes(callspec)
    # pytest joins the ids of several axes by "-", which names of shapes contain too, and keeps them in the
    # order in which decorators are applied; people read them from the top.
    ids = list(reversed(getattr(callspec, "_idlist", ()))) or ([callspec.id] if callspec is not None else [])
    name = f"{family}[{','.join(ids)}]" if ids else family
    return Case(
        id=name,
        family=family,
        version=_version(item, axes),
        params=axes,
        node=item.nodeid,
        file=file,
        plain="gpu_benchmark" not in names,
        full=item.get_closest_marker("full") is not None,
    )


def file_stem(path: Path, suite: Path) -> str:
    """`suite/moe/test_gemm.py` → `moe/gemm`."""
    folder = suite if suite.is_dir() else suite.parent
    relative = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return (relative.parent / _strip(relative.stem)).as_posix()


def _strip(name: str) -> str:
    for prefix in ("test_", "bench_"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _axes(callspec: Any) -> dict[str, Scalar]:
    if callspec is None:
        return {}
    return {name: _scalar(value) for name, value in callspec.params.items()}


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    if name is not None:
        return str(name)
    # A repr with an address would make the case a new one in every process.
    plain = getattr(type(value), "__repr__", None) is object.__repr__
    return type(value).__qualname__ if plain else repr(value)


def _version(item: pytest.Item, axes: dict[str, Scalar]) -> str:
    """12 hex digits over the test function's code (not its comments or decorators) and its axes.

    `ast.unparse`, not `ast.dump`, whose form changes between versions of Python.
    Decorators are left out: adding a value to an axis makes a new case, it does not change the others.
    """
    function = getattr(item, "function", None)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))) if function is not None else None
    except (OSError, TypeError, SyntaxError):
        tree = None
    body = "" if tree is None else "\n".join(ast.unparse(node) for node in _definition(tree))
    text = f"{body}|{sorted((k, repr(v)) for k, v in axes.items())}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _definition(tree: ast.Module) -> list[ast.AST]:
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return [tree]
    return [function.args, *function.body]
