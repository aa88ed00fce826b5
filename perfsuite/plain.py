"""Frozen values ↔ plain JSON values, by their type hints. For the wire between processes."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Dataclasses to dicts, enums to their values, tuples to lists, datetimes to ISO text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], plain: Any) -> T:
    """The inverse of `to_plain` for a dataclass `kind`. Unknown keys are ignored, missing ones default.

    Raises:
        TypeError, ValueError, KeyError: `plain` does not have the form of `kind`.
    """
    return cast(T, _decode(kind, plain))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, plain: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(kind), plain)
    if origin is tuple:
        element = typing.get_args(kind)[0]
        return tuple(_decode(element, item) for item in plain)
    if origin is not None:
        return plain
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in plain.items() if name in hints})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if kind is datetime:
        return datetime.fromisoformat(plain)
    return plain


def _decode_union(options: tuple[Any, ...], plain: Any) -> Any:
    if plain is None:
        return None
    for option in options:
        if dataclasses.is_dataclass(option) or option is datetime or typing.get_origin(option) is tuple:
            return _decode(option, plain)
    return plain
