"""Looking tiles up: by GPU, by architecture, by likeness; and the tables themselves."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from kernels.routing import BLOCK_MS
from kernels.sweep import merged
from kernels.target import INTERPRETER, Target
from kernels.tuning import (
    FOLDER,
    Plan,
    Problem,
    Table,
    Tile,
    choose_table,
    dump_table,
    load_table,
    nearest,
    plan_for,
)

SMALL, LARGE = Tile(64, 4, 4), Tile(256, 8, 3)
DECODE = Problem(1, 2048, 512, 256, 8, 128, 128, "hoisted")
PREFILL = replace(DECODE, m=1696)
ROWS = (
    (DECODE, Plan(False, 16, SMALL, SMALL)),
    (PREFILL, Plan(True, 64, LARGE, LARGE)),
    (replace(PREFILL, group=32, act_tile=32), Plan(True, 32, LARGE, SMALL)),
    (replace(PREFILL, variant="in_loop"), Plan(True, 32, SMALL, SMALL)),
)
TABLES = (Table("NVIDIA H200", "90", ROWS), Table("NVIDIA A100", "80", ROWS))


def test_a_gpu_gets_its_own_table_silently() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_table(TABLES, Target("cuda", "80", "NVIDIA A100")) is TABLES[1]
        # An absent GPU has an architecture and no name.
        assert choose_table(TABLES, Target("cuda", "90")) is TABLES[0]


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


def test_the_interpreter_needs_no_table() -> None:
    assert not plan_for(INTERPRETER, DECODE).sorted
    assert plan_for(INTERPRETER, PREFILL).sorted


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


def test_new_rows_replace_old_ones() -> None:
    better = Plan(True, 32, SMALL, LARGE)
    rows = merged(ROWS, [(PREFILL, better)])
    assert len(rows) == len(ROWS)
    assert dict(rows)[PREFILL] == better
    assert merged(rows, ()) == rows


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_tables_hold_tiles_that_exist(path: Path) -> None:
    table = load_table(path)
    assert path.stem == table.gpu.replace(" ", "_")
    assert path.read_text() == dump_table(table)
    for _, plan in table.rows:
        assert plan.block_m in BLOCK_MS
        for tile in (plan.gemm1, plan.gemm2):
            # WGMMA takes 64 weight rows for each 4 warps.
            assert tile.block_n >= 16 * tile.warps
