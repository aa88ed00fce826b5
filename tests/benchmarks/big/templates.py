"""The real results that the rows of the large database are made of."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from perfsuite.codec import decode
from perfsuite.model import CANARY_FAMILY, Block, Environment, Kernel, Launches, Result, Run

MEASURED = Path(__file__).parents[2] / "data" / "h200" / "noise.json.gz"
"""24 runs of equal code, the sides of 12 comparisons."""
_OTHER_SHAPES = ("mixtral-8x7b", "deepseek-v3")
"""Cases beyond the measured ones are measured ones under the name of another shape."""
_REAL_SHAPE = "qwen3.5-35b-a3b"
_LOOP_LINES = 400


@dataclass(frozen=True, slots=True)
class Template:
    """One case: its real results, the sides of a comparison at equal places of `base` and `head`."""

    case: str
    environment: Environment
    base: tuple[Result, ...]
    head: tuple[Result, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        return self.base + self.head


@cache
def read_templates(count: int) -> tuple[Template, ...]:
    """So many cases, canaries among them."""
    document = json.loads(gzip.decompress(MEASURED.read_bytes()))
    results = {
        plain["id"]: {item["case"]: decode(Result, item) for item in plain.pop("results")}
        for plain in document["runs"]
    }
    environment = decode(Run, document["runs"][0]).environment
    pairs = [(item["base"], item["head"]) for item in document["comparisons"] if item["base"] in results]
    cases = list(results[pairs[0][0]])
    real = [
        Template(
            case,
            environment,
            tuple(results[base][case] for base, _ in pairs),
            tuple(results[head][case] for _, head in pairs),
        )
        for case in cases
    ]
    others = [
        _renamed(template, shape)
        for shape in _OTHER_SHAPES
        for template in real
        if _REAL_SHAPE in template.case
    ]
    return tuple([*real, *others][:count])


def scaled(result: Result, factor: float, variant: int = 0) -> Result:
    """The result with its times multiplied, of another variant of its machine code."""
    blocks = tuple(_scaled(block, factor) for block in result.blocks)
    roofline = result.roofline_fraction and result.roofline_fraction / factor
    launches = _variant(result.launches, variant if result.family != CANARY_FAMILY else 0)
    return replace(result, blocks=blocks, roofline_fraction=roofline, launches=launches)


def _scaled(block: Block, factor: float) -> Block:
    rounds = tuple(replace(item, sample_ns=item.sample_ns * factor) for item in block.rounds)
    return replace(block, rounds=rounds)


def _renamed(template: Template, shape: str) -> Template:
    def renamed(result: Result) -> Result:
        params = {**result.params, "shape": shape}
        return replace(result, case=result.case.replace(_REAL_SHAPE, shape), params=params)

    return replace(
        template,
        case=template.case.replace(_REAL_SHAPE, shape),
        base=tuple(map(renamed, template.base)),
        head=tuple(map(renamed, template.head)),
    )


def _variant(launches: Launches, variant: int) -> Launches:
    """The first kernel is compiled otherwise: another hash, some registers more, a few other instructions."""
    if not launches.kernels:
        return launches
    kernels: Sequence[Kernel] = [replace(k, listing=_loop(k.hash, 0)) for k in launches.kernels]
    if variant == 0:
        return replace(launches, kernels=tuple(kernels))
    old = kernels[0]
    code = f"{int(old.hash, 16) ^ variant:016x}"
    new = replace(
        old, hash=code, registers=(old.registers or 0) + 2 * variant, listing=_loop(old.hash, variant)
    )
    order = tuple(entry.replace(old.hash, code) for entry in launches.order)
    return replace(launches, kernels=(new, *kernels[1:]), order=order)


@cache
def _loop(code: str, variant: int) -> str:
    """As long as a real main loop; only its length and that a few lines differ matter here."""
    seed = int(code[:4], 16)
    lines = []
    for number in range(_LOOP_LINES):
        register = (seed + number * 7 + (variant if number % 50 == 0 else 0)) % 200
        kind = ("HGMMA.64x128x32.S32.S8.S8", "LDS.128", "IMAD", "LOP3.LUT", "I2FP.F32.S32")[number % 5]
        lines.append(f"{16 * number:04x}  {kind} R{register}, R{register // 2}, R{number % 90}")
    return "\n".join(lines)
