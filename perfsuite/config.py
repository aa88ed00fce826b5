"""Configuration, parsed once at the edge: `[tool.perfsuite]` of a pyproject.toml and the environment.

The only module that reads `os.environ`; everything else is handed a `Config` or a mapping.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from perfsuite.errors import MachineError, UsageError
from perfsuite.units import parse_share

STATE_FOLDER = ".perfsuite"
DEFAULT_THRESHOLD = 0.02
"""Below this a change is not worth a person's time; rustc-perf and nvbench draw the line nearby."""
DEFAULT_CASE_TIMEOUT_S = 120.0
"""A cold compile of the slowest case takes tens of seconds: what is not done after this hangs."""
DEFAULT_TARGET = "sm_90"

_CASE_KEYS = ("match", "threshold")
_HEADLINE_KEYS = ("name", "match", "tokens", "layers")
_TABLE = "tool.perfsuite"
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Headline:
    """A metric that reports put first: what a case means for whoever runs the model."""

    name: str
    match: str
    """Which cases, as `-k`."""
    tokens: str = ""
    """Axis whose value is the number of tokens of one call: then it is told in tokens per second."""
    layers: int = 1
    """How many such calls a model makes for these tokens: the rate is that of the whole stack."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a repository under watch says about itself, and what the environment adds."""

    root: Path
    """Folder of the pyproject.toml; all other paths are relative to it."""
    file: Path | None
    """The pyproject.toml, None where no `[tool.perfsuite]` was found."""
    suite: str
    """Folder (or file) of the benchmarks, relative to the root; empty where none is configured."""
    database: str
    """Path or SQLAlchemy URL of the store."""
    paths: tuple[str, ...] = ("**",)
    """Globs of what can move a benchmark: other changes are not measured."""
    threshold: float = DEFAULT_THRESHOLD
    case_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Glob of case → threshold, the first match wins."""
    case_timeout_s: float = DEFAULT_CASE_TIMEOUT_S
    target: str = DEFAULT_TARGET
    """GPU that machine code is made for where none is present."""
    default_branch: str | None = None
    """Only where git does not know it."""
    headlines: tuple[Headline, ...] = ()
    budgets: str = ""
    """TOML file of the longest times that are acceptable, relative to the root; empty where there is none."""
    budget_gate: bool = False
    """Whether an exceeded budget is red, not only said."""
    color: bool = True
    ci: bool = False

    @property
    def state(self) -> Path:
        """Folder of the default database, worktrees and caches."""
        return self.root / STATE_FOLDER

    def make_state_folder(self) -> Path:
        """Creates `.perfsuite` with a `.gitignore` that hides it.

        Raises:
            MachineError: the disk is read-only or full.
        """
        ignore = self.state / ".gitignore"
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise MachineError(
                f"cannot write {self.state}: {error.strerror or error}",
                "make the folder writable, free some space, or name a database elsewhere with --db",
            ) from error
        return self.state

    def suite_folder(self) -> Path:
        """The suite as a path that exists.

        Raises:
            UsageError: no suite is configured, or it is not there.
        """
        if not self.suite:
            raise UsageError(
                f"no benchmarks are configured for {self.root}",
                f'add [{_TABLE}] with suite = "…" to its pyproject.toml, or run: perfsuite run FOLDER',
            )
        folder = self.root / self.suite
        if not folder.exists():
            origin = f"{self.file}: {_TABLE}.suite = {self.suite!r}" if self.file else f"suite {self.suite!r}"
            raise UsageError(
                f"{origin} does not exist under {self.root}", _nearest_path(self.root, self.suite)
            )
        return folder

    def with_suite(self, suite: Path) -> Config:
        """The same with another suite, named by an absolute path below the root.

        Raises:
            UsageError: the path is outside the root.
        """
        try:
            relative = suite.resolve().relative_to(self.root)
        except ValueError:
            raise UsageError(
                f"suite {suite} is outside the repository {self.root}",
                "run perfsuite in the repository that holds it",
            ) from None
        return replace(self, suite=relative.as_posix())


def process_environ() -> Mapping[str, str]:
    """A copy of the environment of this process."""
    return dict(os.environ)


def load_config(start: Path, environ: Mapping[str, str], *, required: bool = True) -> Config:
    """Reads the nearest pyproject.toml at or above `start` that has a `[tool.perfsuite]` table.

    Args:
        start: where the search begins, usually the current directory.
        environ: `PERFSUITE_DB` names the database; `NO_COLOR` and `CI` shape the output.
        required: without a table, fail; else fall back to defaults with an empty suite.

    Raises:
        UsageError: broken TOML, an unknown key, a wrong value, or no table where one is required.
    """
    start = start.resolve()
    found, seen = _find_table(start)
    if found is None:
        if required:
            where = (
                f"{seen[0]} has no [{_TABLE}] table" if seen else f"no pyproject.toml in {start} or above it"
            )
            raise UsageError(where, f'add [{_TABLE}] with suite = "folder/of/benchmarks"')
        return _from_table({}, None, _repository_root(start), start, environ)
    file, table = found
    return _from_table(table, file, file.parent, start, environ)


def override_database(config: Config, database: str | None, cwd: Path) -> Config:
    """The same with the database given on the command line, if any; paths are relative to `cwd`."""
    return replace(config, database=_absolute_database(database, cwd)) if database else config


def prepare_database(config: Config) -> None:
    """Makes the folder of the default database, hidden from git; others are the user's to make.

    Raises:
        MachineError: the disk is read-only or full.
    """
    if Path(config.database).parent == config.state:
        config.make_state_folder()


def nearest(name: str, known: list[str]) -> str:
    """` Did you mean …?` or nothing: for the end of a sentence about an unknown name."""
    match = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def read_toml(file: Path) -> dict[str, Any]:
    """A whole TOML file.

    Raises:
        UsageError: it is broken or cannot be read.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}", "mend that line") from error
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "check its permissions") from error


def _find_table(start: Path) -> tuple[tuple[Path, Mapping[str, Any]] | None, list[Path]]:
    seen = []
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        seen.append(file)
        tool = read_toml(file).get("tool")
        if isinstance(tool, dict) and "perfsuite" in tool:
            table = tool["perfsuite"]
            if not isinstance(table, dict):
                raise UsageError(f"{file}: {_TABLE} = {table!r} is not a table", f"write [{_TABLE}]")
            return (file, table), seen
    return None, seen


def _repository_root(start: Path) -> Path:
    return next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), start)


def _from_table(
    table: Mapping[str, Any], file: Path | None, root: Path, cwd: Path, environ: Mapping[str, str]
) -> Config:
    unknown = [key for key in table if key not in _READERS]
    if unknown:
        raise _unknown_key(file, f"{_TABLE}.{unknown[0]}", unknown[0], list(_READERS))
    values: dict[str, Any] = {"suite": ""}
    for key, value in table.items():
        attribute, reader = _READERS[key]
        values[attribute] = _read(file, f"{_TABLE}.{key}", value, reader)
    if file is not None and "suite" not in table:
        raise UsageError(f"{file}: {_TABLE}.suite is missing", 'add suite = "folder/of/benchmarks"')
    database = environ.get("PERFSUITE_DB") or ""
    return Config(
        root=root,
        file=file,
        database=_absolute_database(database, cwd) if database else str(root / STATE_FOLDER / "perfsuite.db"),
        color=not environ.get("NO_COLOR"),
        ci=environ.get("CI", "").lower() not in ("", "0", "false"),
        **values,
    )


def _absolute_database(database: str, cwd: Path) -> str:
    return database if "://" in database else str((cwd / Path(database).expanduser()).resolve())


def _read(file: Path | None, key: str, value: Any, reader: Callable[[Any], _Value]) -> _Value:
    try:
        return reader(value)
    except _WrongValueError as wrong:
        suffix = f".{wrong.key}" if wrong.key else ""
        shown = wrong.value if wrong.key else value
        raise UsageError(f"{file}: {key}{suffix} = {shown!r} is wrong", f"allowed: {wrong.allowed}") from None
    except _UnknownKeyError as unknown:
        raise _unknown_key(file, f"{key}.{unknown.key}", unknown.key, unknown.known) from None


def _unknown_key(file: Path | None, full: str, key: str, known: list[str]) -> UsageError:
    return UsageError(f"{file}: {full} is not a key{nearest(key, known)}", f"known keys: {', '.join(known)}")


def _nearest_path(root: Path, suite: str) -> str:
    parent = root / Path(suite).parent
    there = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    match = difflib.get_close_matches(Path(suite).name, there, n=1)
    if match:
        return f"did you mean {(Path(suite).parent / match[0]).as_posix()!r}?"
    return "correct the path, or create the folder with a pytest-benchmark file in it"


class _WrongValueError(Exception):
    """A value that a reader does not take; `key` where it lies inside a table."""

    def __init__(self, allowed: str, key: str = "", value: object = None) -> None:
        super().__init__(allowed)
        self.allowed, self.key, self.value = allowed, key, value


class _UnknownKeyError(Exception):
    def __init__(self, key: str, known: tuple[str, ...]) -> None:
        super().__init__(key)
        self.key, self.known = key, list(known)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _WrongValueError("a text that is not empty")
    return value


def _relative_path(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _WrongValueError('a path below the pyproject.toml, such as "kernels/suite"')
    path = Path(value)
    # Worktrees of other commits get the same relative path: it must not lead out of them.
    if path.is_absolute() or ".." in path.parts:
        raise _WrongValueError("a path below the folder of the pyproject.toml, without '..'")
    return path.as_posix()


def _globs(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise _WrongValueError('a list of globs, such as ["kernels/**"]')
    return tuple(value)


def _share(value: Any, key: str = "") -> float:
    allowed = '"2%" or 0.02, from 0 % up to 100 %'
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _WrongValueError(allowed, key, value)
    try:
        return parse_share(value)
    except ValueError:
        raise _WrongValueError(allowed, key, value) from None


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise _WrongValueError("seconds, more than 0, such as 120")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("true or false")
    return value


def _target(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("sm_") or not value[3:].rstrip("af").isdigit():
        raise _WrongValueError('a compute capability such as "sm_90"')
    return value


def _case_rules(value: Any) -> dict[str, float]:
    rules: dict[str, float] = {}
    allowed = '[[tool.perfsuite.case]] tables with match = "glob" and threshold = "5%"'
    for rule in _tables(value, _CASE_KEYS, allowed):
        match = _inside(rule, "match", 'a glob of case ids, such as "moe_w4a8/decode*"')
        rules.setdefault(match, _share(rule.get("threshold"), "threshold"))
    return rules


def _headlines(value: Any) -> tuple[Headline, ...]:
    allowed = '[[tool.perfsuite.headline]] tables with name = "…" and match = "glob"'
    return tuple(_headline(table) for table in _tables(value, _HEADLINE_KEYS, allowed))


def _headline(table: Mapping[str, Any]) -> Headline:
    name = _inside(table, "name", 'a text, such as "Prefill"')
    match = _inside(table, "match", 'a glob of case ids, such as "moe_w4a8/decode*"')
    tokens = _inside(table, "tokens", 'the name of an axis, such as "m"') if "tokens" in table else ""
    layers = table.get("layers", 1)
    if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
        raise _WrongValueError("a whole number of layers, at least 1", "layers", layers)
    return Headline(name, match, tokens, layers)


def _tables(value: Any, keys: tuple[str, ...], allowed: str) -> list[Mapping[str, Any]]:
    """An array of tables that have no other keys."""
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise _WrongValueError(allowed)
    for key in (key for table in value for key in table):
        if key not in keys:
            raise _UnknownKeyError(key, keys)
    return value


def _inside(table: Mapping[str, Any], key: str, allowed: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _WrongValueError(allowed, key, value)
    return value


_READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "suite": ("suite", _relative_path),
    "paths": ("paths", _globs),
    "threshold": ("threshold", _share),
    "case": ("case_thresholds", _case_rules),
    "headline": ("headlines", _headlines),
    "budgets": ("budgets", _relative_path),
    "budget_gate": ("budget_gate", _flag),
    "case_timeout": ("case_timeout_s", _seconds),
    "target": ("target", _target),
    "default_branch": ("default_branch", _text),
}
"""Key of the table → attribute of `Config`, reader. A new setting is one line here and one attribute."""
