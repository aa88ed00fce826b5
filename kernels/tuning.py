"""Tiles: looked up in a table that is part of the repository, never chosen at run time.

A choice made anew in each process is the largest source of false regressions; a table shows a change of
tuning in the diff. `python -m kernels.tuning` measures on the GPU at hand and writes `tuned/<GPU>.json`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from kernels.checks import require_count, require_power_of_two
from kernels.decode import DecodeTile
from kernels.ring import RingTile, fits, gathers, supported
from kernels.target import Target

FOLDER = Path(__file__).parent / "tuned"
MOST_READS = 1.4
"""Unsorted, an expert is read once for each of its slots: up to so many reads (where no table says otherwise)
nothing is sorted. On an H200 1.26 pays for a small layer (Qwen3.5, 16 tokens), 1.55 for none."""
RING_BLOCK_MS = (16, 32, 64)
"""Those of Hopper's kernel: with more, its sums would not fit in registers."""


@dataclass(frozen=True, slots=True)
class Tile:
    """How one GEMM is cut: weight rows of a block, warps of a program, stages of the pipeline."""

    block_n: int
    warps: int
    stages: int

    def __post_init__(self) -> None:
        for name in ("block_n", "warps"):
            require_power_of_two(name, getattr(self, name))
        require_count("stages", self.stages)


SAFE_TILE = Tile(64, 4, 3)
AnyTile = Tile | RingTile | DecodeTile
TILES: Mapping[str, type[AnyTile]] = {
    "slots": DecodeTile,
    "blocks": Tile,
    "ring": RingTile,
    "ring_bf16": RingTile,
}
PATHS = tuple(TILES)
RINGS = ("ring", "ring_bf16")
"""Hopper's own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one call runs.

    Attributes:
        path: "slots": two launches over unsorted slots, for a few tokens; "blocks": sorted into blocks, any
            GPU; "ring": the same, Hopper's kernel; "ring_bf16": that one on bf16 tensor cores, whose
            operands have their scales in them: for small groups.
        block_m: rows of a block; 1 for slots.
        gemm1, gemm2: how gate and up, and down, are cut.
    """

    path: str
    block_m: int
    gemm1: AnyTile
    gemm2: AnyTile


@dataclass(frozen=True, slots=True)
class Problem:
    """What a plan is chosen by. All of it is known on the host."""

    m: int
    hidden: int
    inter: int
    experts: int
    top_k: int
    group: int
    act_tile: int
    variant: str

    @property
    def tokens_per_expert(self) -> float:
        return self.m * self.top_k / self.experts

    @property
    def slots_per_expert_hit(self) -> float:
        """Expected with random routing: 1 for a single token, however many experts it visits."""
        missed = (1 - min(1, self.top_k / self.experts)) ** self.m
        return self.tokens_per_expert / (1 - missed)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one GPU."""

    gpu: str
    arch: str
    rows: tuple[tuple[Problem, Plan], ...]


@cache
def plan_for(target: Target, problem: Problem) -> Plan:
    """The plan for `problem` on `target`; a GPU without a table gets the nearest one's, with a notice."""
    if target.backend == "cpu":
        return interpreter_plan(problem)
    table = table_for(target)
    if table is None:
        return fallback_plan(problem)
    # A plan of one variant may be none for another: the table has to know it.
    rows = [row for row in table.rows if row[0].variant == problem.variant]
    if not rows:
        return fallback_plan(problem)
    plan = nearest(rows, problem)
    if plan.path in RINGS and not (supported(target) and fits(problem.hidden, problem.inter)):
        return Plan("blocks", plan.block_m, SAFE_TILE, SAFE_TILE)
    if plan.path == "ring_bf16" and not gathers(problem.m, problem.hidden):
        return replace(plan, path="ring")
    return plan


def with_block_m(plan: Plan, block_m: int) -> Plan:
    """`plan` with blocks of another size: for measuring what they cost. They change no bit of the output.

    Raises:
        ValueError: the plan has no blocks.
    """
    if plan.path == "slots":
        raise ValueError("a plan for slots has no blocks")
    return replace(plan, block_m=block_m)


@cache
def table_for(target: Target) -> Table | None:
    """The table of the target's GPU, or of the nearest architecture; None for another vendor's."""
    return choose_table(tuple(load_table(path) for path in sorted(FOLDER.glob("*.json"))), target)


def choose_table(tables: Sequence[Table], target: Target) -> Table | None:
    """`table_for` over given tables. A target without a name (absent GPU) goes by its architecture."""
    named = [table for table in tables if target.name and table.gpu == target.name]
    if named:
        return named[0]
    if target.backend != "cuda" or not tables:
        _notice(f"no tiles are tuned for {target.name or target.arch}; it gets safe ones")
        return None
    table = min(tables, key=lambda table: abs(int(table.arch) - int(target.arch)))
    if target.name or table.arch != target.arch:
        others = (
            "" if table.arch == target.arch else ", and safe ones where those are for its architecture alone"
        )
        name = target.name or "sm_" + target.arch
        _notice(f"no tiles are tuned for {name}; it gets those of {table.gpu}{others}")
    return table


def _notice(text: str) -> None:
    warnings.warn(f"{text}: run `python -m kernels.tuning` there", stacklevel=5)


def nearest(rows: Sequence[tuple[Problem, Plan]], problem: Problem) -> Plan:
    """The plan of the row most like `problem`: same numerics first, then tokens per expert, then sizes.

    For models that the table does not hold (1 to 32 of 8 to 512 experts), it sorts from where several slots
    meet at an expert, as `MOST_READS` would, and large layers a little earlier.
    """

    def distance(row: tuple[Problem, Plan]) -> tuple[float, ...]:
        known = row[0]
        return (
            known.variant != problem.variant,
            known.group != problem.group,
            known.act_tile != problem.act_tile,
            # A few tokens are a case of their own, however many experts there are.
            _apart(min(known.m, 16), min(problem.m, 16))
            + _apart(known.tokens_per_expert, problem.tokens_per_expert),
            _apart(known.hidden * known.inter, problem.hidden * problem.inter),
        )

    return min(rows, key=distance)[1]


def _apart(left: float, right: float) -> float:
    return abs(math.log2(max(left, 1e-9) / max(right, 1e-9)))


def block_m_for(tokens_per_expert: float) -> int:
    """The least block that holds an expert's tokens, within what registers allow."""
    return next((size for size in (16, 32) if tokens_per_expert <= size), 64)


def fallback_plan(problem: Problem) -> Plan:
    """Tiles that any GPU takes."""
    return _plan(problem, SAFE_TILE, block_m_for(problem.tokens_per_expert), DecodeTile(8, 16, 4))


def interpreter_plan(problem: Problem) -> Plan:
    """Big tiles for Triton's interpreter, where a program costs more than its arithmetic."""
    block_m = next((size for size in (16, 32, 64) if problem.tokens_per_expert <= size), 128)
    return _plan(problem, Tile(2048, 4, 1), block_m, DecodeTile(128, 16, 4))


def _plan(problem: Problem, tile: Tile, block_m: int, decode: DecodeTile) -> Plan:
    if problem.slots_per_expert_hit <= MOST_READS and problem.variant == "hoisted":
        return Plan("slots", 1, decode, decode)
    return Plan("blocks", block_m, tile, tile)


def load_table(path: Path) -> Table:
    """Read a table.

    Raises:
        ValueError: the file is no table; names the file.
    """
    try:
        document = json.loads(path.read_text())
        return Table(document["gpu"], document["arch"], tuple(_row(row) for row in document["moe_w4a8"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no tile table ({error!r}): write it anew with `python -m kernels.tuning`"
        ) from error


def _row(row: Mapping[str, Any]) -> tuple[Problem, Plan]:
    tile = TILES[row["path"]]
    gemms = (tile(*row["gemm1"]), tile(*row["gemm2"]))
    return Problem(**row["problem"]), Plan(row["path"], int(row["block_m"]), *gemms)


def dump_table(table: Table) -> str:
    """The table as JSON, one row a line, so that a change of tuning is a line of the diff."""
    lines = []
    for problem, plan in table.rows:
        tiles = {"gemm1": list(astuple(plan.gemm1)), "gemm2": list(astuple(plan.gemm2))}
        row = {"problem": asdict(problem), "path": plan.path, "block_m": plan.block_m, **tiles}
        lines.append("    " + json.dumps(row))
    head = f'{{\n  "gpu": {json.dumps(table.gpu)},\n  "arch": {json.dumps(table.arch)},\n  "moe_w4a8": [\n'
    return head + ",\n".join(lines) + "\n  ]\n}\n"


def _main() -> None:
    # The sweep imports the op, which imports this module.
    from kernels.sweep import main

    main()


if __name__ == "__main__":
    _main()
