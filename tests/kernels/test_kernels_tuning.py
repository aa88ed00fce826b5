"""Looking tiles up: by GPU, by architecture, by likeness; and the tables themselves."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kernels import tuning
from kernels.decode import DecodeTile
from kernels.ring import RingTile
from kernels.routing import BLOCK_MS
from kernels.target import INTERPRETER, Target
from kernels.tuning import (
    FOLDER,
    RING_BLOCK_MS,
    RINGS,
    SAFE_TILE,
    Plan,
    Problem,
    Table,
    Tile,
    block_m_for,
    choose_table,
    dump_table,
    fallback_plan,
    interpreter_plan,
    load_table,
    nearest,
    plan_for,
    with_block_m,
)

SMALL, LARGE = Tile(64, 4, 4), Tile(256, 8, 3)
DECODE = Problem(1, 2048, 512, 256, 8, 128, 128, "hoisted")
PREFILL = replace(DECODE, m=1696)
SLOTS = Plan("slots", 1, DecodeTile(8, 16, 4), DecodeTile(16, 32, 4, registers=128))
RING = Plan("ring", 64, RingTile(8), RingTile(6))
ROWS = (
    (DECODE, SLOTS),
    (PREFILL, RING),
    (replace(PREFILL, group=32, act_tile=32), Plan("blocks", 32, LARGE, SMALL)),
    (replace(PREFILL, variant="in_loop"), Plan("blocks", 32, SMALL, SMALL)),
)
TABLES = (Table("NVIDIA H200", "90", ROWS), Table("NVIDIA A100", "80", ROWS))


def test_a_gpu_gets_its_own_table_silently() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_table(TABLES, Target("cuda", "80", "NVIDIA A100")) is TABLES[1]
        # An absent GPU has an architecture and no name.
        assert choose_table(TABLES, Target("cuda", "90")) is TABLES[0]


def test_a_table_without_the_variant_gives_safe_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hoisted row's tiles mean nothing to the portable GEMM of the baseline.
    monkeypatch.setattr(tuning, "table_for", lambda target: Table("NVIDIA X", "90", ROWS[:3]))
    plan_for.cache_clear()
    for problem in (DECODE, PREFILL):
        plan = plan_for(Target("cuda", "90", "NVIDIA X"), replace(problem, variant="in_loop"))
        assert (plan.path, plan.gemm1) == ("blocks", SAFE_TILE)
    plan_for.cache_clear()


def test_an_unknown_gpu_gets_the_nearest_architecture_with_a_notice() -> None:
    with pytest.warns(UserWarning, match="no tiles are tuned for NVIDIA H100; it gets those of NVIDIA H200"):
        assert choose_table(TABLES, Target("cuda", "90", "NVIDIA H100")) is TABLES[0]
    with pytest.warns(UserWarning, match="sm_120"):
        assert choose_table(TABLES, Target("cuda", "120")) is TABLES[0]


def test_another_vendor_gets_safe_tiles_with_a_notice() -> None:
    with pytest.warns(UserWarning, match="gfx942"):
        assert choose_table(TABLES, Target("hip", "gfx942")) is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0].m}-{row[0].group}-{row[0].variant}")
def test_a_known_problem_gets_its_row(row: tuple[Problem, Plan]) -> None:
    assert nearest(ROWS, row[0]) == row[1]


def test_an_unknown_problem_gets_the_row_most_like_it() -> None:
    assert nearest(ROWS, replace(DECODE, m=2)) == ROWS[0][1]
    assert nearest(ROWS, replace(PREFILL, m=4096)) == ROWS[1][1]
    # The numerics come before the size: a tile for another group may not even fit.
    assert nearest(ROWS, replace(DECODE, group=32, act_tile=32)) == ROWS[2][1]
    assert nearest(ROWS, replace(DECODE, variant="in_loop")) == ROWS[3][1]


FEW_EXPERTS = replace(DECODE, inter=1408, experts=8, top_k=1)
MANY_EXPERTS = replace(DECODE, inter=1408, experts=512, top_k=32)


@pytest.mark.parametrize(
    ("problem", "sorted_from", "unsorted_to"),
    [
        (FEW_EXPERTS, 8, 4),
        (replace(FEW_EXPERTS, top_k=4), 4, 1),
        (MANY_EXPERTS, 16, 8),
        (replace(MANY_EXPERTS, top_k=1), 512, 256),
    ],
    ids=["1 of 8", "4 of 8", "32 of 512", "1 of 512"],
)
@pytest.mark.parametrize("gpu", ["H200", "unknown", "interpreter"])
def test_a_model_without_a_row_is_sorted_where_experts_have_tokens_to_share(
    problem: Problem, sorted_from: int, unsorted_to: int, gpu: str
) -> None:
    """Not from some number of tokens on: it depends on how many slots meet at an expert. The table of the
    H200 holds none of these; what it answers agrees with the rule where there is no table."""
    rows = load_table(FOLDER / "NVIDIA_H200.json").rows
    plans = {
        "H200": partial(nearest, [row for row in rows if row[0].variant == "hoisted"]),
        "unknown": fallback_plan,
        "interpreter": interpreter_plan,
    }
    assert plans[gpu](replace(problem, m=1)).path == "slots"
    assert plans[gpu](replace(problem, m=unsorted_to)).path == "slots"
    assert plans[gpu](replace(problem, m=sorted_from)).path == ("ring" if gpu == "H200" else "blocks")


@pytest.mark.parametrize(
    ("m", "experts", "top_k", "slots"),
    [(1, 256, 8, 1), (1, 8, 8, 1), (2, 8, 8, 2), (2, 8, 4, 8 / 6), (3, 4, 9, 6.75), (4096, 8, 2, 1024)],
)
def test_slots_that_meet_at_an_expert(m: int, experts: int, top_k: int, slots: float) -> None:
    problem = replace(DECODE, m=m, experts=experts, top_k=top_k)
    assert problem.slots_per_expert_hit == pytest.approx(slots)


def test_the_interpreter_needs_no_table() -> None:
    assert plan_for(INTERPRETER, DECODE).path == "slots"
    assert plan_for(INTERPRETER, PREFILL).path == "blocks"
    # The baseline's GEMMs quantize rows of blocks, however few there are.
    assert plan_for(INTERPRETER, replace(DECODE, variant="in_loop")).path == "blocks"


@pytest.mark.filterwarnings("ignore:no tiles are tuned")
@pytest.mark.parametrize("m", [1, 64, 1696])
def test_hoppers_kernel_is_planned_for_hopper_alone(m: int) -> None:
    problem = replace(DECODE, m=m)
    here = plan_for(Target("cuda", "90"), problem)
    there = plan_for(Target("cuda", "80"), problem)
    assert here.path == ("slots" if m == 1 else "ring")
    assert there.path == ("slots" if m == 1 else "blocks")
    assert there.block_m == here.block_m


@pytest.mark.filterwarnings("ignore:no tiles are tuned")
def test_a_gpu_without_any_table_gets_blocks_that_hold_an_experts_tokens() -> None:
    plan = plan_for(Target("hip", "gfx942"), PREFILL)
    assert plan == Plan("blocks", 64, SAFE_TILE, SAFE_TILE)
    assert [block_m_for(held) for held in (0.1, 16, 17, 33, 1000)] == [16, 16, 32, 64, 64]


def test_blocks_of_another_size_change_nothing_else() -> None:
    assert with_block_m(RING, 16) == Plan("ring", 16, RING.gemm1, RING.gemm2)
    with pytest.raises(ValueError, match="no blocks"):
        with_block_m(SLOTS, 16)


def test_a_table_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(dump_table(TABLES[0]))
    assert load_table(path) == TABLES[0]
    # A row of the table is a line of the diff.
    assert len(path.read_text().splitlines()) == len(ROWS) + 6


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"gpu": "x", "arch": "90", "moe_w4a8": [{}]}))
    with pytest.raises(ValueError, match=r"table\.json is no tile table"):
        load_table(path)


def holds(plan: Plan) -> bool:
    """Whether the op takes such a plan."""
    if plan.path == "slots":
        return plan.block_m == 1 and {type(plan.gemm1), type(plan.gemm2)} == {DecodeTile}
    if plan.path in RINGS:
        return plan.block_m in RING_BLOCK_MS and {type(plan.gemm1), type(plan.gemm2)} == {RingTile}
    # WGMMA takes 64 weight rows for each 4 warps.
    tiles = (plan.gemm1, plan.gemm2)
    fits = all(isinstance(tile, Tile) and tile.block_n >= 16 * tile.warps for tile in tiles)
    return plan.block_m in BLOCK_MS and fits


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_tables_hold_tiles_that_exist(path: Path) -> None:
    table = load_table(path)
    assert path.stem == table.gpu.replace(" ", "_")
    assert path.read_text() == dump_table(table)
    assert [row for row in table.rows if not holds(row[1])] == []
