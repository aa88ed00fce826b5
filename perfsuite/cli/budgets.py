"""Reads the file of budgets that the configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from perfsuite.config import Config, nearest, read_toml
from perfsuite.errors import UsageError
from perfsuite.report.budgets import Budget
from perfsuite.units import parse_time_ns

_KEYS = ("at_most", "aim")
_TABLE = 'a table such as ["NVIDIA H200"] with lines such as "moe/decode[m=1]" = "12 µs"'
_TIME = 'a time such as "0.25 ms", or { at_most = "0.25 ms", aim = "0.15 ms" }'


def read_budgets(config: Config) -> tuple[Budget, ...]:
    """All budgets in the order of the file: a table for each glob of GPUs, in it a line for each pattern of
    cases. Nothing where no file is configured.

    Raises:
        UsageError: there is no such file, it is broken, or a key or a value in it is wrong.
    """
    if not config.budgets:
        return ()
    file = config.root / config.budgets
    if not file.is_file():
        raise UsageError(
            f"{config.file}: tool.perfsuite.budgets = {config.budgets!r} is no file under {config.root}",
            "correct the path, or create the file",
        )
    return tuple(_budgets(file, read_toml(file)))


def require_budgets(config: Config) -> tuple[Budget, ...]:
    """The same, where nothing can be said without them.

    Raises:
        UsageError: there are none.
    """
    budgets = read_budgets(config)
    if not budgets:
        where = config.root / config.budgets if config.budgets else config.file or config.root
        raise UsageError(
            f"{where}: no budgets are configured",
            f'add budgets = "budgets.toml" to [tool.perfsuite]; that file holds {_TABLE}',
        )
    return budgets


def _budgets(file: Path, document: Mapping[str, Any]) -> Iterator[Budget]:
    for gpu, table in document.items():
        if not isinstance(table, dict):
            raise _wrong(file, gpu, table, _TABLE)
        for match, value in table.items():
            place = f'"{gpu}"."{match}"'
            if not (gpu.strip() and match.strip()):
                raise _wrong(file, place, value, "names that are not empty")
            yield _budget(file, place, gpu, match, value)


def _budget(file: Path, place: str, gpu: str, match: str, value: object) -> Budget:
    table = value if isinstance(value, dict) else {"at_most": value}
    for key in table:
        if key not in _KEYS:
            raise UsageError(
                f"{file}: {place}.{key} is not a key{nearest(key, list(_KEYS))}",
                f"known keys: {', '.join(_KEYS)}; a case id with dots or brackets stands in quotes",
            )
    at_most_ns = _time_ns(file, place, table.get("at_most"))
    aim_ns = _time_ns(file, f"{place}.aim", table["aim"]) if "aim" in table else None
    if aim_ns is not None and aim_ns > at_most_ns:
        raise _wrong(file, f"{place}.aim", table["aim"], f"at most {table['at_most']!r}, which is required")
    return Budget(gpu, match, at_most_ns, aim_ns)


def _time_ns(file: Path, place: str, value: object) -> float:
    try:
        if isinstance(value, str):
            return parse_time_ns(value)
    except ValueError:
        pass
    raise _wrong(file, place, value, _TIME)


def _wrong(file: Path, place: str, value: object, allowed: str) -> UsageError:
    return UsageError(f"{file}: {place} = {value!r} is wrong", f"allowed: {allowed}")
