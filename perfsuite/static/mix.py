"""What a kernel's instructions are, counted by class from its disassembly."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from perfsuite.errors import MachineError
from perfsuite.static.elf import read_elf

DISASSEMBLY_TIMEOUT_S = 30
"""The code of 69 kernels takes 1.4 s. A tool that hangs must not use up its case's time."""

_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)((?:\.[A-Za-z0-9_]+)*)")

# Matrix instructions count under their own names: HGMMA lost to HMMA is the first thing to look for.
_MATRIX = re.compile(r"(?:[HIQBFO](?:G)?|D|UTC\w*)MMA$")
_ACCESS = {
    "LDG": "global_load",
    "STG": "global_store",
    "LDGSTS": "global_to_shared",
    "LDS": "shared_load",
    "LDSM": "shared_load_matrix",
    "STS": "shared_store",
    "STSM": "shared_store_matrix",
    "LDL": "local_load",
    "STL": "local_store",
}
_SIZED = ("LDG", "STG", "LDGSTS", "LDS", "STS")
_CLASSES = (
    ("tensor_copy", r"UTMA\w*|UBLK\w*|LDTM|STTM|UTCCP"),
    ("atomic", r"ATOM\w*|RED\w*"),
    ("constant_load", r"U?LDCU?"),
    ("conversion", r"U?(?:I2F|F2I|F2F|I2I|F2FP|I2FP|I2IP|F2IP|FRND)P?"),
    ("special_function", r"MUFU"),
    ("float", r"[FHD](?:ADD|MUL|FMA|MNMX|SETP?|SEL|SWZADD|CHK)\d*"),
    (
        "control",
        r"BRA|BRX|JMP|EXIT|RET|CALL|BSSY|BSYNC|BREAK|WARPSYNC|BAR|DEPBAR|LDGDEPBAR|SYNCS|WARPGROUP|MEMBAR|FENCE"
        r"|ERRBAR|CCTL\w*|NANOSLEEP|ELECT|UCGABAR\w*|ACQBULK|PREEXIT|R2UR|YIELD|KILL|BPT|BMOV|USETMAXREG|CGAERRBAR",
    ),
    ("move", r"U?MOV\w*|CS2R|S2R|S2UR|CS2UR|R2P|P2R|SHFL|VOTE\w*|UVOTE\w*|REDUX"),
    (
        "integer",
        r"U?(?:IMAD|IADD\w*|ISETP|IMNMX|VIADD\w*|VIMNMX\w*|LOP3|SHF|SHL|SHR|PRMT|LEA|SEL|SGXT|BMSK|PLOP3|POPC|FLO"
        r"|BREV|IABS|IDP\w*|VABSDIFF\w*|LOP|BFE|BFI)",
    ),
)


def instruction_mix(binary: bytes, target: str) -> dict[str, int]:
    """Static counts by class, matrix instructions by name and memory accesses by width; empty for AMD.

    Keys: `total`, `matrix.HGMMA`, `global_load.128`, `shared_store.32`, `conversion`, `integer`, `control`, …
    NOPs, which pad, are left out.

    Raises:
        MachineError: nvdisasm is missing or cannot read the binary.
    """
    return instruction_mixes((binary,), target)[0]


def instruction_mixes(binaries: Sequence[bytes], target: str) -> list[dict[str, int]]:
    """`instruction_mix` of each binary, with one start of nvdisasm.

    Starting it costs 0.3 s and a whole kernel some 10 ms, so the kernels' code is laid end to end and read
    as one raw image; an architecture that nvdisasm takes only inside a binary is read binary by binary.

    Raises:
        MachineError: nvdisasm is missing or cannot read a binary.
    """
    if target.startswith("gfx"):
        return [{} for _ in binaries]
    codes = [b"".join(s.data for s in read_elf(binary).sections if s.executable) for binary in binaries]
    disassembly = _run("--binary", target.upper().replace("_", ""), image=b"".join(codes))
    if disassembly.returncode != 0:
        return [count_instructions(_disassembly(binary)) for binary in binaries]
    ends = list(accumulate(map(len, codes)))
    counts: list[Counter[str]] = [Counter() for _ in codes]
    for address, kind in _instructions(disassembly.stdout):
        counts[bisect_right(ends, address)][kind] += 1
    return [_ordered(count) for count in counts]


def count_instructions(disassembly: str) -> dict[str, int]:
    """Counts the instructions of `nvdisasm -c`'s text; the largest class first, `total` before all."""
    return _ordered(Counter(kind for _, kind in _instructions(disassembly)))


def _instructions(disassembly: str) -> Iterator[tuple[int, str]]:
    """Address and class of each instruction that is no padding."""
    for address, opcode, suffix in _INSTRUCTION.findall(disassembly):
        if opcode != "NOP":
            yield int(address, 16), _class(opcode, suffix)


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return {"total": counts.total(), **dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))}


def _disassembly(binary: bytes) -> str:
    done = _run("-c", image=binary)
    if done.returncode != 0:
        raise MachineError(
            f"nvdisasm failed with {done.returncode}: {done.stderr.strip()[-400:]}",
            "a newer nvdisasm (CUDA toolkit) may know this binary",
        )
    return done.stdout


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


def _class(opcode: str, suffix: str) -> str:
    if opcode in _ACCESS:
        width = f".{_width_bits(suffix)}" if opcode in _SIZED else ""
        return _ACCESS[opcode] + width
    if _MATRIX.match(opcode):
        return f"matrix.{opcode}"
    if opcode == "IMAD" and suffix.startswith(".MOV"):
        return "move"
    for name, pattern in _CLASSES:
        if re.fullmatch(pattern, opcode):
            return name
    return "other"


def _width_bits(suffix: str) -> int:
    """Bits that one thread moves: 32 where the instruction does not say."""
    match = re.search(r"\.[US]?(8|16|64|128|256)(?:\.|$)", suffix)
    return int(match.group(1)) if match else 32
