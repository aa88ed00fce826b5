"""Plant a slow-down of known size in the kernels of a checkout: what the gate is proven on.

`python tests/planted/plant.py TREE SHARE` makes every ordinary case of the suite slower by that share: the
programs of one kernel that the case launches do a number of dependent steps more, those that run last where
not all run at once. How many is a table by problem, from the case's measured time and the measured time of a
step (`steps.json`); 0 plants the machinery alone, which is what the slow-downs are compared with. The
machinery is in four kernels; of the launches of a call, one has steps to do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from kernels.shapes import QWEN35_35B, Shape
from kernels.suite.test_correctness import ACT_TILE as TOY_TILE
from kernels.suite.test_correctness import CONFIGURATIONS
from kernels.suite.test_moe_w4a8 import ACT_TILE
from kernels.tuning import Problem

MEASURED = Path(__file__).with_name("steps.json")
"""Case → its time with the machinery alone, and the time of a step (of 2,000), both on an H200. Cases that
nothing was planted in then are under "estimated"."""
PLANTED_KERNELS = ("_down", "_place_slots", "_quantize_rows", "_silu_mul_quantize")
"""Those with the machinery."""
DEVICE_CODE = '''"""Planted extra work."""

import triton
import triton.language as tl


@triton.jit
def spent(EXTRA, AT_ONCE: tl.constexpr):
    """True, after so many dependent steps of all programs; of more than AT_ONCE, of the last 132 alone.

    One for each multiprocessor: they are the last to end, and their steps are not hidden. xorshift32 never
    reaches 0, so that nothing changes but the time.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    mixed = (program + 1).to(tl.uint32)
    if (programs <= AT_ONCE) | (program >= programs - 132):
        for _ in range(EXTRA):
            mixed ^= mixed << 13
            mixed ^= mixed >> 17
            mixed ^= mixed << 5
    return mixed != 0
'''
DOWN_AT_ONCE = 528
"""Programs of `_down`: four for each of 132 multiprocessors, by its registers."""
AT_ONCE = 2112
"""Of the others: sixteen for each. `_place_slots` holds fewer, and has fewer in every case of the suite."""
HOST_CODE = '''"""Steps of planted extra work, by problem."""

from dataclasses import astuple

FIXED = {fixed!r}
PLANTED = {planted!r}
current = 0


def steps(*problem):
    return PLANTED.get(problem, 0) if FIXED is None else FIXED


def begin(problem):
    """A call of the whole op."""
    global current
    current = steps("moe_w4a8", *astuple(problem))


def take():
    """Steps of the call that is under way: for one launch of it."""
    global current
    found, current = current, 0
    return found
'''


def _jit(kernel: str) -> tuple[str, str]:
    # Unlike other integers, EXTRA gets no code of its own where it is 1 or a multiple of 16.
    return f"@triton.jit\ndef {kernel}(", f'@triton.jit(do_not_specialize=["EXTRA"])\ndef {kernel}('


def _after(first: str, added: str, then: str) -> tuple[str, str]:
    return f"{first}{then}", f"{first}{added}{then}"


_SPENT = "from kernels._planted import spent\n"
_PLANTED = "from kernels import planted\n"
_EXTRA = "    EXTRA,\n"
_IF_SPENT = f" & spent(EXTRA, {AT_ONCE})"
_STEPS = '        planted.steps("{}", rows, {}) if counts is None else 0,\n'
"""With counts, quantizing is a part of the whole op."""
CHANGES: dict[str, Sequence[tuple[str, str]]] = {
    "_decode.py": (
        _jit("_down"),
        _after("", _SPENT, "from kernels._quantize import"),
        _after("    out_ptr,\n", _EXTRA, "    # shape\n    EXPERTS: tl.constexpr,\n    N: tl.constexpr"),
        ("acc)), mask=row < N)", f"acc)), mask=(row < N) & spent(EXTRA, {DOWN_AT_ONCE}))"),
    ),
    "decode.py": (
        _after("", _PLANTED, "from kernels import _decode as"),
        _after("(act, words(w2), w2.scales, topk_weights, topk_ids, out", ", planted.take()", ")"),
    ),
    "_routing.py": (
        _jit("_place_slots"),
        _after("", _SPENT, "from kernels._quantize import"),
        _after("    CHUNKS,\n", _EXTRA, "    EXPERTS: tl.constexpr,\n    TOP_K"),
        ("place, slots, mask=ids >= 0)", f"place, slots, mask=(ids >= 0){_IF_SPENT})"),
    ),
    "routing.py": (
        _after("", _PLANTED, "from kernels import _routing as"),
        _after("        chunks,\n", "        planted.take(),\n", "        EXPERTS="),
    ),
    "_quantize.py": (
        _jit("_quantize_rows"),
        _jit("_silu_mul_quantize"),
        _after("from kernels import target\n", _SPENT, ""),
        _after("    ROWS,\n", _EXTRA, "    K: tl.constexpr"),
        _after("    ROWS,\n", _EXTRA, "    INTER: tl.constexpr,\n    K_PADDED"),
        _after("        store_codes(codes, codes_ptr, rows, live", _IF_SPENT, ","),
        _after("\n    store_codes(codes, codes_ptr, rows, live", _IF_SPENT, ","),
    ),
    "quantize.py": (
        _after("", _PLANTED, "from kernels import _quantize as"),
        _after(
            "        rows,\n", _STEPS.format("quantize_rows", "cut.k, cut.act_tile"), "        K=cut.k,\n"
        ),
        _after(
            "        rows,\n",
            _STEPS.format("silu_mul_quantize", "inter, act_tile"),
            "        INTER=inter,\n        SCALES",
        ),
    ),
    "moe_w4a8.py": (
        _after("", _PLANTED, "from kernels import ring\n"),
        _after("", "    planted.begin(problem)\n", '    if plan.path == "slots":\n'),
    ),
}
"""File of `kernels` → what becomes what in it."""
Key = tuple[object, ...]
"""An op, and what tells its problems apart."""


def problems() -> dict[Key, str]:
    """Every problem of the ordinary suite → its case."""
    found: dict[Key, str] = {}
    for config in CONFIGURATIONS:
        found[_moe(config.shape, config.tokens, config.group, TOY_TILE)] = (
            f"correctness/configuration[{config.name}]"
        )
    shape = QWEN35_35B
    for group, tile in ACT_TILE.items():
        for kind, tokens in (
            ("decode", 1),
            ("decode", 8),
            ("decode", 64),
            ("prefill", 512),
            ("prefill", 1696),
        ):
            found[_moe(shape, tokens, group, tile)] = f"moe_w4a8/{kind}[{shape.name},m={tokens},g={group}]"
        found[_moe(shape, 1696, group, tile, "in_loop")] = (
            f"moe_w4a8/baseline[{shape.name},m=1696,g={group},in_loop]"
        )
    for tokens in (64, 1696):
        for tile in (32, 128):
            case = f"[{shape.name},m={tokens},tile={tile}]"
            found["quantize_rows", tokens, shape.hidden, tile] = f"quantize/rows{case}"
            found["silu_mul_quantize", tokens * shape.top_k, shape.inter, tile] = f"quantize/silu_mul{case}"
    return found


def _moe(shape: Shape, tokens: int, group: int, tile: int, variant: str = "hoisted") -> Key:
    sizes = (shape.hidden, shape.inter, shape.experts, shape.top_k)
    return ("moe_w4a8", *astuple(Problem(tokens, *sizes, group, tile, variant)))


def planted_steps(share: float) -> dict[Key, int]:
    """Extra steps of each problem for a slow-down by that share, to the nearest step."""
    held = json.loads(MEASURED.read_text())
    times = held["cases"] | held["estimated"]
    return {
        key: round(share * times[case]["base_ns"] / times[case]["step_ns"])
        for key, case in problems().items()
    }


def plant(tree: Path, share: float, fixed_steps: int | None = None) -> None:
    """Change the kernels of a checkout.

    Args:
        share: of each case's time.
        fixed_steps: so many steps for every case instead, to measure what a step takes.

    Raises:
        SystemExit: these kernels are not those that the changes were written for.
    """
    kernels = tree / "kernels"
    for name, changes in CHANGES.items():
        _replace(kernels / name, changes)
    (kernels / "_planted.py").write_text(DEVICE_CODE)
    host = HOST_CODE.format(fixed=fixed_steps, planted=planted_steps(share))
    (kernels / "planted.py").write_text(host)


def _replace(path: Path, changes: Sequence[tuple[str, str]]) -> None:
    text = path.read_text()
    for before, after in changes:
        if text.count(before) != 1:
            raise SystemExit(f"{path}: {before!r} occurs {text.count(before)} times, not once")
        text = text.replace(before, after)
    path.write_text(text)


if __name__ == "__main__":
    plant(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
