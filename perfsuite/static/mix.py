"""What a kernel's instructions are, counted by class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from perfsuite.static.sass import Instruction

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


def count_instructions(instructions: Iterable[Instruction]) -> dict[str, int]:
    """Static counts by class, matrix instructions by name and memory accesses by width; of nothing, nothing.

    Keys: `total` before all, then the largest first: `matrix.HGMMA`, `global_load.128`, `shared_store.32`,
    `conversion`, `integer`, `control`, … NOPs, which pad, are left out.
    """
    counts = Counter(_class(each.opcode, each.suffix) for each in instructions if each.opcode != "NOP")
    if not counts:
        return {}
    return {"total": counts.total(), **dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))}


def is_matrix(opcode: str) -> bool:
    """Whether it multiplies matrices: `HMMA`, `IGMMA`, `UTCHMMA`."""
    return _MATRIX.match(opcode) is not None


def _class(opcode: str, suffix: str) -> str:
    if opcode in _ACCESS:
        width = f".{_width_bits(suffix)}" if opcode in _SIZED else ""
        return _ACCESS[opcode] + width
    if is_matrix(opcode):
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
