"""NVIDIA machine code, instruction by instruction, as nvdisasm tells it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from perfsuite.errors import MachineError
from perfsuite.static.elf import read_elf

DISASSEMBLY_TIMEOUT_S = 30
"""The code of 69 kernels takes 1.4 s. A tool that hangs must not use up its case's time."""
INSTRUCTION_BYTES = 16
"""Of every target here: since Volta."""

_LINE = re.compile(
    r"^([.$\w]+):\s*$"
    r"|/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+)?\s*([A-Z][A-Z0-9_]*)((?:\.[A-Za-z0-9_]+)*)([^;\n]*)",
    re.MULTILINE,
)
"""A label, or an instruction: address, guard, opcode, suffix, operands."""
TARGET = re.compile(r"`\(([^)]+)\)\s*$|(0x[0-9a-f]+)\s*$")
"""A place in the code as the last operand: by its label in a binary, as an address in a raw image."""
_TO_ADDRESS = frozenset({"BRA", "JMP", "CALL", "BSSY", "RET"})
"""Whose last operand, a number, is an address."""


class Instruction(NamedTuple):
    """One line.

    Attributes:
        address: in bytes from the start of the kernel.
        guard: `@!P0`, or nothing.
        suffix: `.E.128` of `LDG.E.128`.
        operands: as nvdisasm writes them.
        target: the address that the last operand stands for, where it does.
    """

    address: int
    guard: str
    opcode: str
    suffix: str
    operands: str
    target: int | None


def disassemble(binaries: Sequence[bytes], target: str) -> list[list[Instruction]]:
    """The instructions of each binary, with one start of nvdisasm; nothing for AMD.

    Starting it costs 0.3 s and a whole kernel some 10 ms, so the kernels' code is laid end to end and read
    as one raw image; an architecture that nvdisasm takes only inside a binary is read binary by binary.

    Raises:
        MachineError: nvdisasm is missing or cannot read a binary.
    """
    if target.startswith("gfx"):
        return [[] for _ in binaries]
    codes = [b"".join(s.data for s in read_elf(binary).sections if s.executable) for binary in binaries]
    image = _run("--binary", target.upper().replace("_", ""), image=b"".join(codes))
    if image.returncode != 0:
        return [parse(disassembly(binary)) for binary in binaries]
    return _apart(parse(image.stdout), list(map(len, codes)))


def disassembly(binary: bytes) -> str:
    """What `nvdisasm -c` prints.

    Raises:
        MachineError: nvdisasm is missing or cannot read the binary.
    """
    done = _run("-c", image=binary)
    if done.returncode != 0:
        raise MachineError(
            f"nvdisasm failed with {done.returncode}: {done.stderr.strip()[-400:]}",
            "a newer nvdisasm (CUDA toolkit) may know this binary",
        )
    return done.stdout


def parse(text: str) -> list[Instruction]:
    """nvdisasm's text, of a binary or of a raw image. Sections of a binary are laid end to end."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    labels: dict[str, int] = {}
    base = end = 0
    for label, address, *parts in _LINE.findall(text):
        if label:
            labels[label] = end
            continue
        # Each section of a binary counts from 0.
        base = end if base + int(address, 16) < end else base
        rows.append((base + int(address, 16), tuple(parts)))
        end = rows[-1][0] + INSTRUCTION_BYTES
    return [_instruction(address, parts, labels) for address, parts in rows]


def _instruction(address: int, parts: tuple[str, ...], labels: dict[str, int]) -> Instruction:
    guard, opcode, suffix, operands = parts
    found = TARGET.search(operands)
    target = None
    if found and found[1]:
        target = labels.get(found[1])
    elif found and (opcode in _TO_ADDRESS or suffix == ".COLLECTIVE"):
        target = int(found[2], 16)
    return Instruction(address, guard, opcode, suffix, operands.strip(), target)


def _apart(instructions: list[Instruction], sizes: list[int]) -> list[list[Instruction]]:
    """A raw image's instructions by kernel; addresses count from the start of each."""
    ends = list(accumulate(sizes))
    kernels: list[list[Instruction]] = [[] for _ in sizes]
    for each in instructions:
        index = bisect_right(ends, each.address)
        start = ends[index] - sizes[index]
        target = None if each.target is None else each.target - start
        kernels[index].append(each._replace(address=each.address - start, target=target))
    return kernels


def _run(*options: str, image: bytes) -> subprocess.CompletedProcess[str]:
    tool = _tool("nvdisasm")
    try:
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(image)
            file.flush()
            return subprocess.run(
                [tool, *options, file.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DISASSEMBLY_TIMEOUT_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"nvdisasm did not finish: {error}", "check Triton's installation") from error


def _tool(name: str) -> str:
    """A CUDA tool of the Triton wheel, else the system's."""
    import triton

    own = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    found = str(own) if own.is_file() else shutil.which(name)
    if found is None:
        raise MachineError(f"{name} was found neither in Triton nor on PATH", "install triton from its wheel")
    return found
