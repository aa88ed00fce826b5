"""Raw samples of one result as one compact blob: columns of all rounds, compressed.

Layout: the magic, one byte of version, then zlib of (length of the head, head as JSON, columns). The head
holds the blocks (pair, block, sets, iterations, number of rounds) and the distinct sets of throttle reasons;
the columns hold one value for each round, little-endian. A later encoding gets the next version byte and
leaves this reader in place: stored samples stay readable.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from perfsuite.model import Block, Round, Telemetry

MAGIC = b"PSB"
VERSION = 1
_LENGTH = struct.Struct("<I")
_TELEMETRY_FIELDS = (("sm_mhz", "q"), ("memory_mhz", "q"), ("power_w", "d"), ("temperature_c", "q"))
_THROTTLED, _TELEMETRY, _FIRST_FIELD = 1, 2, 4
"""Bits of a round's flags; the bits from `_FIRST_FIELD` on tell which telemetry fields are known."""


class CorruptSamples(ValueError):
    """A blob that this encoding cannot have written."""


def pack(blocks: Sequence[Block]) -> bytes | None:
    """The blob of these blocks, None without blocks."""
    if not blocks:
        return None
    rounds = [r for block in blocks for r in block.rounds]
    reasons = list(dict.fromkeys(r.telemetry.throttle for r in rounds if r.telemetry))
    head = {
        "blocks": [[b.pair, b.block, b.sets, b.iterations, len(b.rounds)] for b in blocks],
        "reasons": reasons,
        "telemetry": bool(reasons),
    }
    encoded = json.dumps(head, separators=(",", ":")).encode("ascii")
    columns = b"".join(_column(code, values) for code, values in _columns(rounds, reasons))
    payload = zlib.compress(_LENGTH.pack(len(encoded)) + encoded + columns)
    return MAGIC + bytes((VERSION,)) + payload


def unpack(blob: bytes | None) -> tuple[Block, ...]:
    """The blocks that were packed.

    Raises:
        CorruptSamples: damaged, cut off, or of a later version.
    """
    if blob is None:
        return ()
    with _reading():
        head, body = _open(blob)
        rounds = iter(_read_rounds(head, body))
        return tuple(
            Block(pair, block, sets, iterations, tuple(islice(rounds, number)))
            for pair, block, sets, iterations, number in head["blocks"]
        )


def count(blob: bytes | None) -> int:
    """Number of rounds in the blob, without making them: what `unpack` takes milliseconds for.

    Raises:
        CorruptSamples: as `unpack`.
    """
    if blob is None:
        return 0
    with _reading():
        head, body = _open(blob)
        return len(_read_columns(head, body)[0])


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (zlib.error, struct.error, ValueError, KeyError, IndexError, TypeError) as error:
        raise CorruptSamples(str(error)) from error


def _columns(rounds: Sequence[Round], reasons: Sequence[tuple[str, ...]]) -> Iterable[tuple[str, list[Any]]]:
    yield "d", [r.sample_ns for r in rounds]
    yield "q", [r.order for r in rounds]
    yield "q", [r.index for r in rounds]
    yield "B", [_flags(r) for r in rounds]
    if reasons:
        place = {names: number for number, names in enumerate(reasons)}
        yield "q", [place[r.telemetry.throttle] if r.telemetry else 0 for r in rounds]
        for name, code in _TELEMETRY_FIELDS:
            known = [getattr(r.telemetry, name) if r.telemetry else None for r in rounds]
            yield code, [0 if value is None else value for value in known]


def _flags(r: Round) -> int:
    flags = _THROTTLED if r.throttled else 0
    if r.telemetry:
        flags |= _TELEMETRY
        for place, (name, _) in enumerate(_TELEMETRY_FIELDS):
            if getattr(r.telemetry, name) is not None:
                flags |= _FIRST_FIELD << place
    return flags


def _column(code: str, values: Iterable[Any]) -> bytes:
    column = array(code, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _open(blob: bytes) -> tuple[dict[str, Any], bytes]:
    if blob[: len(MAGIC)] != MAGIC:
        raise CorruptSamples("not a blob of samples")
    version = blob[len(MAGIC)]
    if version != VERSION:
        raise CorruptSamples(f"samples of encoding {version}, this perfsuite reads encoding {VERSION}")
    payload = zlib.decompress(blob[len(MAGIC) + 1 :])
    (length,) = _LENGTH.unpack_from(payload)
    start = _LENGTH.size
    return json.loads(payload[start : start + length]), payload[start + length :]


def _read_columns(head: dict[str, Any], body: bytes) -> list[array[Any]]:
    total = sum(entry[4] for entry in head["blocks"])
    codes = ["d", "q", "q", "B"]
    if head["telemetry"]:
        codes += ["q", *(code for _, code in _TELEMETRY_FIELDS)]
    columns, start = [], 0
    for code in codes:
        column: array[Any] = array(code)
        end = start + column.itemsize * total
        if end > len(body):
            raise CorruptSamples("cut off")
        column.frombytes(body[start:end])
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
        start = end
    if start != len(body):
        raise CorruptSamples(f"{len(body) - start} bytes too many")
    return columns


def _read_rounds(head: dict[str, Any], body: bytes) -> list[Round]:
    reasons = [tuple(names) for names in head["reasons"]]
    return [_round(values, reasons) for values in zip(*_read_columns(head, body), strict=True)]


def _round(values: tuple[Any, ...], reasons: list[tuple[str, ...]]) -> Round:
    sample_ns, order, index, flags = values[:4]
    telemetry = None
    if flags & _TELEMETRY:
        known: dict[str, Any] = {
            name: value
            for place, ((name, _), value) in enumerate(zip(_TELEMETRY_FIELDS, values[5:], strict=True))
            if flags & _FIRST_FIELD << place
        }
        telemetry = Telemetry(**known, throttle=reasons[values[4]])
    return Round(sample_ns, order, index, bool(flags & _THROTTLED), telemetry)
