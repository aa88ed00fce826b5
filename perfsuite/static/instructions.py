"""Instruction mixes of compiled kernels, remembered: disassembling costs far more than a cached compile.

Measured on the 29 cases of the kernel suite (69 distinct kernels, sm_90, one process): 20 s to compile, 3 s
with Triton's cache warm; nvdisasm kernel by kernel adds 21 s, with one start a case 9 s, remembered nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from perfsuite.errors import MachineError
from perfsuite.model import Launches
from perfsuite.static.mix import instruction_mixes

FOLDER = "perfsuite-instructions"
"""Beside Triton's cache, not inside: base, head and the working tree, with a cache each, share it."""
FORMAT = 1
"""Part of each file's name: counted by other classes, a mix is another mix."""

_known: dict[tuple[str, str], Mapping[str, int]] = {}
"""(target, hash) → mix, of this process."""


def with_instructions(launches: Launches, binaries: Mapping[str, bytes]) -> Launches:
    """The launches with each kernel's instruction mix; as they were where nvdisasm is missing or fails.

    Args:
        launches: as recorded.
        binaries: machine code by the kernel's hash.
    """
    wanted = dict.fromkeys((kernel.target, kernel.hash) for kernel in launches.kernels)
    _read(key for key in wanted if key not in _known)
    _disassemble([key for key in wanted if key not in _known and key[1] in binaries], binaries)
    kernels = tuple(
        replace(kernel, instructions=_known.get((kernel.target, kernel.hash), {}))
        for kernel in launches.kernels
    )
    return replace(launches, kernels=kernels)


def _disassemble(keys: list[tuple[str, str]], binaries: Mapping[str, bytes]) -> None:
    for target in dict.fromkeys(target for target, _ in keys):
        hashes = [code for of, code in keys if of == target]
        # Words for a reader: without them, the measurement is as good.
        with contextlib.suppress(MachineError):
            mixes = instruction_mixes([binaries[code] for code in hashes], target)
            for code, mix in zip(hashes, mixes, strict=True):
                _known[target, code] = mix
                _keep(_file(target, code), mix)


def _read(keys: Iterable[tuple[str, str]]) -> None:
    for key in keys:
        with contextlib.suppress(OSError, ValueError):
            mix = json.loads(_file(*key).read_bytes())
            if isinstance(mix, dict) and all(type(count) is int for count in mix.values()):
                _known[key] = mix


def _keep(file: Path, mix: Mapping[str, int]) -> None:
    """Written whole or not at all: other workers read at the same time. A full disk only costs time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "w") as draft:
                json.dump(mix, draft)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _file(target: str, code: str) -> Path:
    from triton import knobs

    return Path(knobs.cache.dir).parent / FOLDER / f"{target}-{code}.{FORMAT}.json"
