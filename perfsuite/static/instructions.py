"""What compiled kernels' instructions say, remembered: disassembling costs far more than a cached compile.

Measured on the 29 cases of the kernel suite (69 distinct kernels, sm_90, one process): 20 s to compile, 3 s
with Triton's cache warm; nvdisasm kernel by kernel adds 21 s, with one start a case 9 s, remembered nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from perfsuite.codec import INT64_LIMIT
from perfsuite.errors import MachineError
from perfsuite.model import Kernel, Launches
from perfsuite.static.loop import is_listing, listing
from perfsuite.static.mix import count_instructions
from perfsuite.static.sass import disassemble

FOLDER = "perfsuite-instructions"
"""Beside Triton's cache, not inside: base, head and the working tree, with a cache each, share it."""
FORMAT = 2
"""Part of each file's name: read another way, the same code has another mix or listing."""
LARGEST_FILE = 1 << 20
"""In bytes, of a file that is read: more than a listing and a mix can have. Others write there too."""
LISTINGS_BYTES = 4 << 20
"""Of one case's kernels together: a trial sends them in one line, a quarter of the longest that is taken. The
kernel suite's cases have at most 0.2 MB each; one that launches a kernel on hundreds of grids would have too
much."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read off one kernel's machine code."""

    mix: Mapping[str, int] = field(default_factory=dict)
    listing: str = ""


_known: dict[tuple[str, str], _Read] = {}
"""By (target, hash), of this process."""


def with_instructions(launches: Launches, binaries: Mapping[str, bytes]) -> Launches:
    """The launches with each kernel's instruction mix and listing; as they were where nvdisasm is missing or
    fails. The first kernels have their listings where all together are above `LISTINGS_BYTES`.

    Args:
        launches: as recorded.
        binaries: machine code by the kernel's hash.
    """
    wanted = dict.fromkeys((kernel.target, kernel.hash) for kernel in launches.kernels)
    _recall(key for key in wanted if key not in _known)
    _disassemble([key for key in wanted if key not in _known and key[1] in binaries], binaries)
    kernels: list[Kernel] = []
    left = LISTINGS_BYTES
    for kernel in launches.kernels:
        read = _known.get((kernel.target, kernel.hash), _Read())
        left -= len(read.listing)
        text = read.listing if left >= 0 else ""
        kernels.append(replace(kernel, instructions=read.mix, listing=text))
    return replace(launches, kernels=tuple(kernels))


def _disassemble(keys: list[tuple[str, str]], binaries: Mapping[str, bytes]) -> None:
    for target in dict.fromkeys(target for target, _ in keys):
        hashes = [code for of, code in keys if of == target]
        # Words for a reader: without them, the measurement is as good.
        with contextlib.suppress(MachineError):
            codes = disassemble([binaries[code] for code in hashes], target)
            for code, instructions in zip(hashes, codes, strict=True):
                read = _Read(count_instructions(instructions), listing(instructions))
                _known[target, code] = read
                _keep(_file(target, code), read)


def _recall(keys: Iterable[tuple[str, str]]) -> None:
    for key in keys:
        with contextlib.suppress(OSError, ValueError, RecursionError), _file(*key).open("rb") as file:
            document = json.loads(file.read(LARGEST_FILE))
            if _is_sound(document):
                _known[key] = _Read(document["mix"], document["listing"])


def _is_sound(document: object) -> bool:
    match document:
        case {"mix": dict(mix), "listing": str(text)}:
            counts = all(type(count) is int and 0 <= count < INT64_LIMIT for count in mix.values())
            return counts and is_listing(text)
    return False


def _keep(file: Path, read: _Read) -> None:
    """Written whole or not at all: other workers read at the same time. A full disk only costs time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "w") as draft:
                json.dump(asdict(read), draft)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _file(target: str, code: str) -> Path:
    from triton import knobs

    return Path(knobs.cache.dir).parent / FOLDER / f"{target}-{code}.{FORMAT}.json"
