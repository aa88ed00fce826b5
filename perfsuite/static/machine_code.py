"""Identity and resource usage of a compiled kernel, read from the binary itself.

No tool is started: the facts that `cuobjdump --dump-resource-usage` prints stand in the `.nv.info` section,
in the same form from the ptxas versions that Triton 3.6 and 3.7 bring. A test compares the two.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from perfsuite.errors import MachineError
from perfsuite.static.elf import EM_AMDGPU, EM_CUDA, SHT_NOBITS, Elf, read_elf

HASH_DIGITS = 16

# Attributes of .nv.info, as `cuobjdump -elf` names them.
_EIATTR_REQNTID = 0x10
_EIATTR_FRAME_SIZE = 0x11
_EIATTR_MIN_STACK_SIZE = 0x12
_EIATTR_REGCOUNT = 0x2F
_EIFMT_SVAL = 4

_AMD_DESCRIPTOR_ENTRY = slice(16, 24)
"""Bytes of an AMD kernel descriptor that hold the distance to the code: layout, not content."""

_LOCAL_ARRAY = re.compile(r"^\s*\.local\b.*\.b8\s+\S+\[(\d+)\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one thread or block of a kernel needs. None where the binary does not tell."""

    registers: int | None
    spills: int | None
    """32-bit words per thread, counted as Triton does: the stack frame, less the program's own arrays."""
    stack_bytes: int | None
    shared_bytes: int | None
    """Static shared memory; Triton's own is dynamic and stands in the kernel's metadata."""


@lru_cache(maxsize=512)
def code_hash(binary: bytes) -> str:
    """16 hex digits that are equal exactly where the device would run the same kernel.

    Over the executable sections, the constants and what decides occupancy (registers, stack, block size);
    free of line information, of symbol and section names, and of their order in the file.

    Raises:
        MachineError: `binary` is not an ELF file, or holds no code.
    """
    elf = read_elf(binary)
    contents = _contents(elf)
    parts = sorted(_section_digest(elf, index, kind, contents) for index, (kind, _) in contents.items())
    if not any(kind == "code" for kind, _ in contents.values()):
        raise MachineError(
            f"a GPU binary of {len(binary)} bytes without executable sections",
            "clear Triton's cache (TRITON_CACHE_DIR) and compile again",
        )
    parts += sorted(_launch_facts(elf))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:HASH_DIGITS]


@lru_cache(maxsize=512)
def resources(binary: bytes, target: str, ptx: str = "") -> Resources:
    """Registers, spills, stack and static shared memory of the kernel in `binary`.

    Args:
        binary: a cubin or an hsaco.
        target: what it was compiled for; it must fit the binary.
        ptx: the kernel's PTX where known: arrays that it declares itself are stack, but no spills.

    Raises:
        MachineError: `binary` is not an ELF file, or not one for `target`.
    """
    elf = read_elf(binary)
    expected = EM_AMDGPU if target.startswith("gfx") else EM_CUDA
    if elf.machine != expected:
        raise MachineError(
            f"a binary of ELF machine {elf.machine} is not for {target}", "compile it for that target"
        )
    return _amd_resources(elf) if expected == EM_AMDGPU else _nvidia_resources(elf, ptx)


def _contents(elf: Elf) -> dict[int, tuple[str, bytes]]:
    """Sections that decide what runs: index → (kind, bytes)."""
    found: dict[int, tuple[str, bytes]] = {}
    for index, section in enumerate(elf.sections):
        constant = re.match(r"\.nv\.constant\d+|\.rodata|\.nv\.global\.init", section.name)
        if section.executable and section.data:
            found[index] = ("code", section.data)
        elif constant and section.data:
            # Only the bank is kept of `.nv.constant0.kernel_name`.
            found[index] = (constant.group(), _without_layout(elf, index))
    return found


def _without_layout(elf: Elf, index: int) -> bytes:
    """A constant section with the fields blanked that move when a name gets longer (AMD)."""
    section = elf.sections[index]
    data = bytearray(section.data)
    if elf.machine == EM_AMDGPU:
        for symbol in elf.symbols:
            if symbol.section == index and symbol.name.endswith(".kd"):
                start = symbol.value - section.address
                data[start + _AMD_DESCRIPTOR_ENTRY.start : start + _AMD_DESCRIPTOR_ENTRY.stop] = bytes(8)
    return bytes(data)


def _section_digest(elf: Elf, index: int, kind: str, contents: dict[int, tuple[str, bytes]]) -> str:
    digest = hashlib.sha256(contents[index][1])
    for relocation in elf.relocations(index):
        target = elf.symbols[relocation.symbol]
        # What is called counts, not what it is called: only external functions go by their name.
        meaning = (
            hashlib.sha256(contents[target.section][1]).hexdigest()
            if target.section in contents
            else (target.name if target.section == 0 else f"section+{target.value}")
        )
        digest.update(f"{relocation.offset},{relocation.kind},{relocation.addend},{meaning}".encode())
    return f"{kind}:{digest.hexdigest()}"


def _launch_facts(elf: Elf) -> Iterator[str]:
    """Facts beside the code that change how it runs: registers, stack, block size, static shared memory."""
    for section in elf.sections:
        if section.name.startswith(".nv.info"):
            for attribute, value in _attributes(section.data):
                if attribute in (_EIATTR_REGCOUNT, _EIATTR_MIN_STACK_SIZE):
                    yield f"{attribute}:{value[4:].hex()}"
                elif attribute == _EIATTR_REQNTID:
                    yield f"{attribute}:{value.hex()}"
        elif section.kind == SHT_NOBITS and section.name.startswith(".nv.shared."):
            yield f"shared:{section.size}"


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(attribute, value) of a `.nv.info` section; values stored in the head have none here."""
    position = 0
    while position + 4 <= len(data):
        form, attribute, size = struct.unpack_from("<BBH", data, position)
        position += 4
        if form == _EIFMT_SVAL:
            yield attribute, data[position : position + size]
            position += size


def _nvidia_resources(elf: Elf, ptx: str) -> Resources:
    numbers: dict[int, int] = {}
    for section in elf.sections:
        if section.name == ".nv.info":
            for attribute, value in _attributes(section.data):
                # The value is (symbol, number). Functions that are not inlined run inside the kernel's own
                # registers, and the kernel's stack counts theirs: the largest is the kernel's.
                if attribute in (_EIATTR_REGCOUNT, _EIATTR_FRAME_SIZE, _EIATTR_MIN_STACK_SIZE):
                    numbers[attribute] = max(numbers.get(attribute, 0), struct.unpack_from("<I", value, 4)[0])
    stack = numbers.get(_EIATTR_MIN_STACK_SIZE, numbers.get(_EIATTR_FRAME_SIZE))
    arrays = sum(int(size) for size in _LOCAL_ARRAY.findall(ptx))
    return Resources(
        registers=numbers.get(_EIATTR_REGCOUNT),
        spills=None if stack is None else max(0, stack - arrays) // 4,
        stack_bytes=stack,
        shared_bytes=sum(s.size for s in elf.sections if re.match(r"\.nv\.shared\.(?!reserved)", s.name)),
    )


def _amd_resources(elf: Elf) -> Resources:
    note = b"".join(s.data for s in elf.sections if s.name == ".note")
    return Resources(
        registers=_msgpack_number(note, b".vgpr_count"),
        spills=_msgpack_number(note, b".vgpr_spill_count"),
        stack_bytes=_msgpack_number(note, b".private_segment_fixed_size"),
        shared_bytes=_msgpack_number(note, b".group_segment_fixed_size"),
    )


def _msgpack_number(note: bytes, key: bytes) -> int | None:
    """The unsigned integer after a key of the code object's MessagePack notes."""
    position = note.find(bytes([0xA0 + len(key)]) + key) if len(key) < 32 else note.find(key)
    if position < 0:
        return None
    position += len(key) + (1 if len(key) < 32 else 0)
    first = note[position]
    widths = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
    if first < 0x80:
        return first
    width = widths.get(first)
    return None if width is None else int.from_bytes(note[position + 1 : position + 1 + width], "big")
