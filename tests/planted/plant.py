"""Plant a slow-down of known size in the kernels of a checkout: what the gate is proven on.

`python tests/planted/plant.py TREE SHARE` makes every case of `moe_w4a8` slower by that share: each program
of one kernel of the op, all of whose programs run at once, does a number of dependent steps more. How many is
a table by problem, from the case's measured time and the measured time of a step (`steps.json`); 0 plants the
machinery alone, which is what the slow-downs are compared with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels.suite.test_correctness import ACT_TILE as TOY_TILE
from kernels.suite.test_correctness import CONFIGURATIONS
from kernels.suite.test_moe_w4a8 import ACT_TILE, QWEN35_35B

MEASURED = Path(__file__).with_name("steps.json")
"""Case → its time with the machinery alone, and the time of a step (of 2,000), both on an H200."""
STEPS = """    # Planted: xorshift32, which never reaches 0, so that nothing changes but the time.
    mixed = (tl.program_id(0) + 1).to(tl.uint32)
    for _ in range(STEPS):
        mixed ^= mixed << 13
        mixed ^= mixed >> 17
        mixed ^= mixed << 5
"""
CHANGES: dict[str, Sequence[tuple[str, str]]] = {
    "_routing.py": (
        ("@triton.jit\ndef _place_slots(", '@triton.jit(do_not_specialize=["STEPS"])\ndef _place_slots('),
        (
            "    CHUNKS,\n    EXPERTS: tl.constexpr,\n    # meta\n    BLOCK_M",
            "    CHUNKS,\n    STEPS,\n    EXPERTS: tl.constexpr,\n    # meta\n    BLOCK_M",
        ),
        (
            "    chunk = tl.program_id(0)\n    total, before",
            f"{STEPS}    chunk = tl.program_id(0)\n    total, before",
        ),
        ("    live = block < BLOCKS\n", "    live = (block < BLOCKS) & (mixed != 0)\n"),
    ),
    "routing.py": (
        ("        chunks,\n        **sizes,", "        chunks,\n        planted.current,\n        **sizes,"),
        ("from kernels import _routing", "from kernels import planted\nfrom kernels import _routing"),
    ),
    "_moe_w4a8.py": (
        ("@triton.jit\ndef _weighted_sum(", '@triton.jit(do_not_specialize=["STEPS"])\ndef _weighted_sum('),
        (
            "    TOKENS,\n    HIDDEN: tl.constexpr,\n    TOP_K",
            "    TOKENS,\n    STEPS,\n    HIDDEN: tl.constexpr,\n    TOP_K",
        ),
        ("    token = tl.program_id(0) * BLOCK_ROWS", f"{STEPS}    token = tl.program_id(0) * BLOCK_ROWS"),
        ("to_bf16(acc), mask=inside)", "to_bf16(acc), mask=inside & (mixed != 0))"),
    ),
    "moe_w4a8.py": (
        (
            "    routing = align_experts(",
            "    key = (x.shape[0], x.shape[1], problem.experts, w1.group, act_tile, variant)\n"
            "    planted.current = planted.steps(key) if plan.sorted else 0\n"
            "    routing = align_experts(",
        ),
        (
            "    _weighted_sum(job, y,",
            "    planted.current = 0 if plan.sorted else planted.steps(key)\n    _weighted_sum(job, y,",
        ),
        (
            "        tokens,\n        HIDDEN=hidden,",
            "        tokens,\n        planted.current,\n        HIDDEN=hidden,",
        ),
        ("import torch\n", "import torch\n\nfrom kernels import planted\n"),
    ),
}
"""File of `kernels` → what becomes what in it."""
Key = tuple[int, int, int, int, int, str]
"""Tokens, hidden, experts, group, activation tile, variant."""


def problems() -> dict[Key, str]:
    """Every problem of the suite that runs the whole op → its case."""
    found: dict[Key, str] = {}
    for config in CONFIGURATIONS:
        key = (config.tokens, config.shape.hidden, config.shape.experts, config.group, TOY_TILE, "hoisted")
        found[key] = f"correctness/configuration[{config.name}]"
    shape = QWEN35_35B
    for group in (32, 128):
        for kind, tokens in (
            ("decode", 1),
            ("decode", 8),
            ("decode", 64),
            ("prefill", 512),
            ("prefill", 1696),
        ):
            key = (tokens, shape.hidden, shape.experts, group, ACT_TILE[group], "hoisted")
            found[key] = f"moe_w4a8/{kind}[{shape.name},m={tokens},g={group}]"
        key = (1696, shape.hidden, shape.experts, group, ACT_TILE[group], "in_loop")
        found[key] = f"moe_w4a8/baseline[{shape.name},m=1696,g={group},in_loop]"
    return found


def planted_steps(share: float) -> dict[Key, int]:
    """Extra steps of each problem for a slow-down by that share, to the nearest step."""
    measured = json.loads(MEASURED.read_text())["cases"]
    return {
        key: round(share * measured[case]["base_ns"] / measured[case]["step_ns"])
        for key, case in problems().items()
    }


def plant(tree: Path, share: float, fixed_steps: int | None = None) -> None:
    """Change the kernels of a checkout.

    Args:
        share: of each case's time.
        fixed_steps: so many steps for every case instead, to measure what a step takes.
    """
    (tree / "kernels" / "planted.py").write_text(
        f'''"""Steps of planted extra work, by problem."""

FIXED = {fixed_steps!r}
PLANTED = {planted_steps(share)!r}
current = 0


def steps(key):
    return PLANTED.get(key, 0) if FIXED is None else FIXED
'''
    )
    for name, changes in CHANGES.items():
        _replace(tree / "kernels" / name, changes)


def _replace(path: Path, changes: Sequence[tuple[str, str]]) -> None:
    text = path.read_text()
    for before, after in changes:
        if text.count(before) != 1:
            raise SystemExit(f"{path}: {before!r} occurs {text.count(before)} times, not once")
        text = text.replace(before, after)
    path.write_text(text)


if __name__ == "__main__":
    plant(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
