"""Frozen values ↔ JSON values, by their type hints, checked both ways and lossless.

For the database, for files and for the wire between processes. What lies there was perhaps written by others,
a pull request's code included: every value is checked and a mistake is named by its position.

A field that holds its default is left out where that is None, False, "", () or {}. Numbers that JSON does
not have are `{"float": "nan"}`: scalars are never objects, so nothing else looks like that.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache, partial
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")
INT64_LIMIT = 1 << 63
"""Fields that are numbers of something are 64-bit, in the sample blobs too; scalars may be larger."""
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Malformed(ValueError):
    """A value does not have the form that the model asks for.

    Args:
        where: its position, `runs[0].results[3].case`.
        what: what is wrong with it.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.where = where
        self.what = what


class _Pair(NamedTuple):
    encode: Callable[[Any, str], Any]
    decode: Callable[[Any, str], Any]


def encode(value: object, *, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A model value as JSON values, without the fields in `leave_out`.

    Raises:
        Malformed: a field holds what its type hint does not allow.
    """
    return _encode_fields(value, type(value).__name__, leave_out)


def decode(kind: type[T], plain: object, where: str = "") -> T:
    """The inverse of `encode`. Unknown keys are ignored, so that later versions may add some.

    Raises:
        Malformed: with the position of what is wrong.
    """
    return cast(T, _decode_fields(kind, plain, where))


def dumps(plain: object) -> str:
    """Compact ASCII JSON: NUL and lone surrogates travel as escapes, which every database takes."""
    return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def utc(moment: datetime) -> datetime:
    """The same instant in UTC; a time without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _encode_fields(value: object, where: str, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    plain = {}
    for name, (pair, default) in _fields(cast(Hashable, type(value))).items():
        item = getattr(value, name)
        if name not in leave_out and not (_is_empty(item) and item == default):
            plain[name] = pair.encode(item, f"{where}.{name}")
    return plain


def _decode_fields(kind: type, plain: object, where: str) -> Any:
    if not isinstance(plain, dict):
        raise Malformed(where, f"an object was expected, not {_shown(plain)}")
    values = {}
    for name, (pair, default) in _fields(kind).items():
        position = f"{where}.{name}" if where else name
        if name in plain:
            values[name] = pair.decode(plain[name], position)
        elif default is dataclasses.MISSING:
            raise Malformed(position, "is missing")
    return kind(**values)


@cache
def _fields(kind: Any) -> dict[str, tuple[_Pair, Any]]:
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found[field.name] = (_pair(hints[field.name]), default)
    return found


def _is_empty(value: object) -> bool:
    return value is None or value is False or (isinstance(value, str | tuple | Mapping) and not value)


@cache
def _pair(hint: Any) -> _Pair:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in arguments if option is not type(None)]
        return _optional(_pair(options[0])) if len(options) == 1 else _Pair(_scalar_out, _scalar_in)
    if origin is tuple:
        return _sequence(_pair(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_pair(arguments[1]))
    if dataclasses.is_dataclass(hint):
        return _Pair(_encode_fields, partial(_decode_fields, cast(type, hint)))
    if issubclass(hint, Enum):
        return _Pair(lambda value, where: hint(value).value, partial(_enum_in, hint))
    return _PLAIN[hint]


def _optional(inner: _Pair) -> _Pair:
    return _Pair(
        lambda value, where: None if value is None else inner.encode(value, where),
        lambda plain, where: None if plain is None else inner.decode(plain, where),
    )


def _sequence(inner: _Pair) -> _Pair:
    def decode_all(plain: object, where: str) -> tuple[Any, ...]:
        if not isinstance(plain, list):
            raise Malformed(where, f"a list was expected, not {_shown(plain)}")
        return tuple(inner.decode(item, f"{where}[{index}]") for index, item in enumerate(plain))

    return _Pair(
        lambda value, where: [inner.encode(item, f"{where}[{index}]") for index, item in enumerate(value)],
        decode_all,
    )


def _mapping(inner: _Pair) -> _Pair:
    def decode_all(plain: object, where: str) -> dict[str, Any]:
        if not isinstance(plain, dict):
            raise Malformed(where, f"an object was expected, not {_shown(plain)}")
        return {key: inner.decode(item, f"{where}.{key}") for key, item in plain.items()}

    return _Pair(
        lambda value, where: {
            _text(key, where): inner.encode(item, f"{where}.{key}") for key, item in value.items()
        },
        decode_all,
    )


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise Malformed(where, f"text was expected, not {_shown(value)}")
    return str(value)


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(where, f"true or false was expected, not {_shown(value)}")
    return value


def _whole(value: object, where: str) -> int:
    whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise Malformed(where, f"a whole number was expected, not {_shown(value)}")
    number = int(cast(int, value))
    if not -INT64_LIMIT <= number < INT64_LIMIT:
        raise Malformed(where, f"{_shown(value)} does not fit into 64 bits")
    return number


def _number_out(value: object, where: str) -> float | dict[str, str]:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise Malformed(where, f"a number was expected, not {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise Malformed(where, f"{_shown(value)} is too large") from None
    return number if math.isfinite(number) else {"float": str(number)}


def _number_in(plain: object, where: str) -> float:
    if isinstance(plain, dict) and plain.get("float") in _NON_FINITE:
        return _NON_FINITE[plain["float"]]
    number = _number_out(plain, where)
    if isinstance(number, dict):
        raise Malformed(where, f"{_shown(plain)} is not a finite number")
    return number


def _scalar_out(value: object, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _number_out(value, where)
    raise Malformed(where, f"text, a number, true, false or nothing was expected, not {_shown(value)}")


def _scalar_in(plain: object, where: str) -> Any:
    if isinstance(plain, float | dict):
        return _number_in(plain, where)
    return _scalar_out(plain, where)


def _enum_in(kind: type[Enum], plain: object, where: str) -> Enum:
    try:
        return kind(plain)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise Malformed(where, f"{_shown(plain)} is none of {known}") from None


def _moment_out(value: object, where: str) -> str:
    if not isinstance(value, datetime):
        raise Malformed(where, f"a time was expected, not {_shown(value)}")
    return (value if value.tzinfo else utc(value)).isoformat()


def _moment_in(plain: object, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(plain, where))
        # In UTC also here: the first and last year have times that no other zone can tell.
        utc(moment)
    except (ValueError, OverflowError):
        raise Malformed(where, f"{_shown(plain)} is not an ISO 8601 time") from None
    return moment if moment.tzinfo else utc(moment)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | float | bool | type(None)) else type(value).__name__
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if abs(value) < 10**40 else "a whole number of more than 40 digits"
    return text if len(text) <= 60 else text[:57] + "..."


_PLAIN: dict[Any, _Pair] = {
    str: _Pair(_text, _text),
    bool: _Pair(_boolean, _boolean),
    int: _Pair(_whole, _whole),
    float: _Pair(_number_out, _number_in),
}
_PLAIN[datetime] = _Pair(_moment_out, _moment_in)
