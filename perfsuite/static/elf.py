"""A reader for the little of ELF64 that GPU binaries need: sections, symbols and relocations."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from perfsuite.errors import MachineError

EM_CUDA = 190
EM_AMDGPU = 224

SHT_SYMTAB = 2
SHT_RELA = 4
SHT_NOBITS = 8
SHT_REL = 9

SHF_EXECINSTR = 0x4


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    kind: int
    flags: int
    address: int
    size: int
    link: int
    info: int
    data: bytes
    """Empty where the file holds no bytes for it (`SHT_NOBITS`)."""

    @property
    def executable(self) -> bool:
        return bool(self.flags & SHF_EXECINSTR)


@dataclass(frozen=True, slots=True)
class Symbol:
    name: str
    section: int
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class Relocation:
    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True, slots=True)
class Elf:
    machine: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def relocations(self, section_index: int) -> list[Relocation]:
        """The relocations that apply to a section, in the order of the file."""
        found: list[Relocation] = []
        for section in self.sections:
            # The upper byte of `sh_info` is NVIDIA's own in some versions.
            if section.kind in (SHT_REL, SHT_RELA) and section.info & 0xFFFFFF == section_index:
                found += _relocations(section)
        return found


def read_elf(binary: bytes) -> Elf:
    """Parses a little-endian ELF64 file.

    Raises:
        MachineError: it is not one, or it is cut short.
    """
    if binary[:6] != b"\x7fELF\x02\x01":
        raise MachineError(
            f"not a GPU binary: expected little-endian ELF64, found {binary[:8]!r} ({len(binary)} bytes)",
            "clear Triton's cache (TRITON_CACHE_DIR) and compile again",
        )
    try:
        return _parse(binary)
    except (struct.error, IndexError, ValueError) as error:
        raise MachineError(
            f"a damaged GPU binary of {len(binary)} bytes: {error}",
            "clear Triton's cache (TRITON_CACHE_DIR) and compile again",
        ) from error


def _parse(binary: bytes) -> Elf:
    (machine,) = struct.unpack_from("<H", binary, 18)
    (table,) = struct.unpack_from("<Q", binary, 40)
    entry, count, names_index = struct.unpack_from("<HHH", binary, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", binary, table + entry * i) for i in range(count)]
    if not headers:
        raise ValueError("it has no sections")
    names = _slice(binary, headers[names_index][4], headers[names_index][5])
    sections = tuple(
        Section(
            name=_text(names, name),
            kind=kind,
            flags=flags,
            address=address,
            size=size,
            link=link,
            info=info,
            data=b"" if kind in (0, SHT_NOBITS) else _slice(binary, offset, size),
        )
        for name, kind, flags, address, offset, size, link, info, _align, _entry in headers
    )
    return Elf(machine, sections, _symbols(sections))


def _symbols(sections: tuple[Section, ...]) -> tuple[Symbol, ...]:
    for section in sections:
        if section.kind == SHT_SYMTAB:
            names = sections[section.link].data
            return tuple(
                Symbol(_text(names, name), index, value, size)
                for name, _info, _other, index, value, size in struct.iter_unpack("<IBBHQQ", section.data)
            )
    return ()


def _relocations(section: Section) -> list[Relocation]:
    if section.kind == SHT_RELA:
        return [
            Relocation(offset, info & 0xFFFFFFFF, info >> 32, addend)
            for offset, info, addend in struct.iter_unpack("<QQq", section.data)
        ]
    return [
        Relocation(offset, info & 0xFFFFFFFF, info >> 32, 0)
        for offset, info in struct.iter_unpack("<QQ", section.data)
    ]


def _slice(binary: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(binary):
        raise ValueError(f"a section ends at byte {offset + size}")
    return binary[offset : offset + size]


def _text(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode("utf-8", "replace")
