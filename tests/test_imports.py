"""Who may import whom. The seams hold only as long as this does."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("kernels", "perfsuite", "ci", "dashboard")
LONGEST_FILE = 400

PLAIN = ("model", "errors", "units", "codec", "summary", "cases", "guard")
"""Values and pure functions without I/O: whoever needs them imports them."""
INSTRUMENT = (*PLAIN, "config", "folders", "measure", "plugin", "static")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "kernels": ("kernels",),
    "perfsuite.model": ("perfsuite.model",),
    "perfsuite.errors": (),
    "perfsuite.units": (),
    "perfsuite.codec": (),
    "perfsuite.summary": (),
    "perfsuite.guard": (),
    "perfsuite.cases": ("perfsuite.errors",),
    "perfsuite.folders": ("perfsuite.errors",),
    "perfsuite.config": ("perfsuite.errors", "perfsuite.units"),
    "perfsuite.git": tuple(f"perfsuite.{name}" for name in ("git", "config", "errors", "folders", "model")),
    "perfsuite.stats": tuple(f"perfsuite.{name}" for name in (*PLAIN, "stats")),
    "perfsuite.report": tuple(f"perfsuite.{name}" for name in (*PLAIN, "stats", "report")),
    "perfsuite.store": tuple(f"perfsuite.{name}" for name in (*PLAIN, "store")),
    "perfsuite.measure": tuple(f"perfsuite.{name}" for name in INSTRUMENT),
    "perfsuite.plugin": tuple(f"perfsuite.{name}" for name in (*INSTRUMENT, "canary")),
    "perfsuite.canary": ("perfsuite.canary",),
    "perfsuite.static": tuple(f"perfsuite.{name}" for name in INSTRUMENT),
    "perfsuite.cli": ("perfsuite",),
    "perfsuite": (),
    "ci": ("ci", *(f"perfsuite.{name}" for name in (*PLAIN, "config", "git", "stats", "store", "report"))),
    "dashboard": (
        "dashboard",
        *(f"perfsuite.{name}" for name in (*PLAIN, "config", "stats", "store", "report")),
    ),
}
"""Module or package → what of ours it may import. The longest matching name counts."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "torch": ("kernels", "perfsuite.canary", "perfsuite.plugin", "perfsuite.measure", "perfsuite.static"),
    "triton": ("kernels", "perfsuite.canary", "perfsuite.plugin", "perfsuite.measure", "perfsuite.static"),
    "sqlalchemy": ("perfsuite.store",),
    "alembic": ("perfsuite.store",),
    "psycopg": ("perfsuite.store",),
    "pynvml": ("perfsuite.measure.nvml",),
    "github3": ("ci.github",),
    "streamlit": ("dashboard",),
    "plotly": ("dashboard",),
    "pandas": ("dashboard",),
    "prometheus_client": ("dashboard",),
    "starlette": ("dashboard",),
    "uvicorn": ("dashboard",),
    "markupsafe": ("dashboard",),
}
"""What is not ours → where alone it may be imported."""

LAZY = ("torch", "triton")
"""Imported inside functions only, but for kernels: importing perfsuite must cost nothing."""
KERNELS = ("kernels", "perfsuite.canary")


@dataclass(frozen=True)
class Import:
    """One imported name, where, and whether importing the module already imports it."""

    module: str
    name: str
    line: int
    eager: bool
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def modules() -> dict[str, Path]:
    """Dotted name → file of everything that is ours."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports_of(module: str, tree: ast.Module, *, package: bool = False) -> list[Import]:
    """All imports of a module; `package` where it is an `__init__`."""
    return list(_walk(module, tree, package, eager=True, typing_only=False))


def _walk(module: str, node: ast.AST, package: bool, *, eager: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _named(module, child, package):
            yield Import(module, name, getattr(child, "lineno", 0), eager and not typing_only, typing_only)
        inner_typing = typing_only or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(module, child, package, eager=eager and not inside, typing_only=inner_typing)


def _named(module: str, node: ast.AST, package: bool) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            kept = parts[: len(parts) - node.level + (1 if package else 0)]
            base = ".".join([*kept, *([base] if base else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        return [
            arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
    return []


def under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def rule_of(module: str) -> str:
    return max((key for key in MAY_IMPORT if under(module, key)), key=len)


def forbidden(found: Import) -> bool:
    """Whether the rules above speak against an import."""
    top = found.name.partition(".")[0]
    if top in PACKAGES:
        allowed = MAY_IMPORT[rule_of(found.module)]
        # The version in perfsuite/__init__.py is everybody's.
        return found.name not in ("perfsuite", "perfsuite.__version__") and not any(
            under(found.name, name) for name in allowed
        )
    if found.typing_only or top not in ONLY_IN:
        return False
    if not any(under(found.module, name) for name in ONLY_IN[top]):
        return True
    return top in LAZY and found.eager and not any(under(found.module, name) for name in KERNELS)


def all_imports() -> list[Import]:
    return [
        found
        for module, file in modules().items()
        for found in imports_of(module, parsed(file), package=file.name == "__init__.py")
    ]


def test_every_module_has_a_rule_of_its_own() -> None:
    # A new part under perfsuite must say what it may import: one line above.
    assert [
        m for m in modules() if under(m, "perfsuite") and m != "perfsuite" and rule_of(m) == "perfsuite"
    ] == []


def test_the_import_rules_hold() -> None:
    assert [str(found) for found in all_imports() if forbidden(found)] == []


def test_no_import_cycles() -> None:
    names = modules()
    graph: dict[str, set[str]] = {module: set() for module in names}
    for found in all_imports():
        target = found.name if found.name in names else found.name.rpartition(".")[0]
        if found.eager and target in names and target != found.module:
            graph[found.module].add(target)
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


def test_config_alone_reads_the_environment() -> None:
    watched = [item for item in modules().items() if not under(item[0], "kernels")]
    assert {module for module, file in watched if reads_environment(parsed(file))} <= {"perfsuite.config"}


def reads_environment(tree: ast.Module) -> bool:
    """Setting a variable for a child is not reading."""
    writes = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    return any(
        isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
        and id(node) not in writes
        for node in ast.walk(tree)
    )


def test_the_dashboard_writes_in_one_place() -> None:
    writers = {found.module for found in all_imports() if found.name == "perfsuite.store.open_store"}
    of_ours = {module for module in writers if under(module, "dashboard")}
    # The demonstration writes a store of its own, which ends with it.
    assert of_ours == {"dashboard.triage", "dashboard.serving.demonstration"}


def test_one_module_starts_git() -> None:
    starters = {
        module
        for module, file in modules().items()
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.List | ast.Tuple)
        and node.elts
        and isinstance(node.elts[0], ast.Constant)
        and node.elts[0].value == "git"
    }
    assert starters <= {"perfsuite.git.running"}


def test_no_file_is_long() -> None:
    files = [*modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("perfsuite.model", "from perfsuite import errors", True),
        ("perfsuite.stats.judge", "from perfsuite.model import Result", False),
        ("perfsuite.stats.judge", "def f():\n    from perfsuite.store import open_store", True),
        ("perfsuite.stats.judge", "from ..store import open_store", True),
        ("perfsuite.measure.session", "import kernels.shapes", True),
        ("perfsuite.cli.run", "from ci.command import x", True),
        ("kernels.routing", "from perfsuite.model import Kernel", True),
        ("kernels.routing", "import torch", False),
        ("perfsuite.canary.suite", "import torch", False),
        ("perfsuite.canary.suite", "from perfsuite.plugin import spec", True),
        ("perfsuite.measure.session", "def f():\n    import perfsuite.canary.suite", True),
        ("perfsuite.measure.session", "import torch", True),
        ("perfsuite.measure.session", "def f():\n    import torch", False),
        ("perfsuite.measure.session", "if TYPE_CHECKING:\n    import torch", False),
        ("perfsuite.cli.run", "def f():\n    import torch", True),
        ("perfsuite.measure.environment", "def f():\n    importlib.import_module('pynvml')", True),
        ("ci.comment", "import github3", True),
        ("dashboard.data", "from perfsuite.store.reader import Reader", False),
        ("dashboard.data", "from perfsuite.measure import session", True),
        ("perfsuite.cli.run", "import perfsuite", False),
    ],
)
def test_the_rules_are_understood(module: str, source: str, wrong: bool) -> None:
    found = imports_of(module, ast.parse(source))
    assert found
    assert any(map(forbidden, found)) is wrong
