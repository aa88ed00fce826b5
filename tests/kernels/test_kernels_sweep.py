"""What a sweep tries, and how its rows get into the table. Nothing is measured."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kernels.decode import DecodeTile
from kernels.quantize import TILE
from kernels.ring import RingTile
from kernels.routing import BLOCK_MS
from kernels.shapes import GPT_OSS_120B, MIXTRAL_8X7B, QWEN35_35B, SHAPES
from kernels.sweep import MODES, MOST_SLOTS, TOKENS, Work, blockings, fastest, main, merged, plans, tiles
from kernels.target import Target
from kernels.tuning import RING_BLOCK_MS, RINGS, TILES, Plan, Tile

HOPPER, AMPERE = Target("cuda", "90"), Target("cuda", "80")
DECODE = Work(QWEN35_35B, 1, 128, 128, "hoisted")
PREFILL = replace(DECODE, m=1696)
OLD = [(DECODE.problem, Plan("blocks", 16, Tile(64, 4, 4), Tile(64, 4, 4)))]
BETTER = Plan("slots", 1, DecodeTile(8, 16, 4), DecodeTile(16, 32, 4))


def works() -> Iterator[Work]:
    """Every row that a sweep of all shapes measures."""
    for shape in SHAPES.values():
        for group, act_tile, variant in MODES:
            if group in shape.groups:
                yield from (Work(shape, m, group, act_tile, variant) for m in TOKENS)


def test_new_rows_replace_old_ones_and_the_rest_stays() -> None:
    rows = merged(OLD, [(PREFILL.problem, BETTER), (DECODE.problem, BETTER)])
    assert rows == [(DECODE.problem, BETTER), (PREFILL.problem, BETTER)]
    assert merged(rows, ()) == rows


def test_a_tie_goes_to_a_plan_that_sorts() -> None:
    ring, slots = Plan("ring", 16, RingTile(8), RingTile(8)), BETTER
    assert fastest([(7.20, ring), (7.15, slots)]) == (ring, 7.20)
    assert fastest([(7.30, ring), (7.15, slots)]) == (slots, 7.15)
    assert fastest([(7.20, slots), (7.15, ring), (7.16, ring)]) == (ring, 7.15)


def test_rows_are_in_the_order_of_sizes_not_of_digits() -> None:
    shuffled = [(replace(DECODE, m=m).problem, BETTER) for m in (1696, 8, 64, 4096, 1)]
    assert [problem.m for problem, _ in merged((), shuffled)] == [1, 8, 64, 1696, 4096]


def test_one_token_is_not_sorted_and_many_are() -> None:
    assert blockings(DECODE, HOPPER) == blockings(DECODE, AMPERE) == [("slots", 1)]
    assert {path for path, _ in blockings(PREFILL, HOPPER)} == set(RINGS)
    assert {path for path, _ in blockings(PREFILL, AMPERE)} == {"blocks"}
    # Here they meet.
    assert {path for path, _ in blockings(replace(DECODE, m=16), HOPPER)} == {"slots", *RINGS}
    assert 16 * QWEN35_35B.top_k <= MOST_SLOTS


def test_blocks_are_about_as_large_as_what_an_expert_holds() -> None:
    assert blockings(PREFILL, HOPPER) == [(path, size) for path in RINGS for size in (16, 32, 64)]
    many = replace(PREFILL, shape=MIXTRAL_8X7B)
    assert blockings(many, AMPERE) == [("blocks", 64), ("blocks", 128)]
    assert blockings(many, HOPPER) == [("ring", 64), ("ring_bf16", 64)]


@pytest.mark.parametrize("target", [HOPPER, AMPERE], ids=lambda target: target.arch)
def test_every_row_has_something_to_try_for_both_products(target: Target) -> None:
    for work in works():
        found = blockings(work, target)
        assert found, work
        for path, block_m in found:
            assert block_m in {"slots": (1,), "blocks": BLOCK_MS}.get(path, RING_BLOCK_MS)
            kind = TILES[path]
            for gemm in ("gemm1", "gemm2"):
                choices = tiles(work, (path, block_m), gemm)
                assert choices, (work, path, gemm)
                assert {type(tile) for tile in choices} == {kind}
                assert len(set(choices)) == len(choices)


def test_the_baseline_is_swept_over_blocks_alone() -> None:
    in_loop = replace(PREFILL, variant="in_loop")
    assert {path for path, _ in blockings(in_loop, HOPPER)} == {"blocks"}
    assert {path for path, _ in blockings(replace(in_loop, m=1), HOPPER)} == {"blocks"}


def test_decode_tiles_hold_no_more_of_a_row_than_there_is() -> None:
    small = Work(GPT_OSS_120B, 1, 32, 128, "hoisted")
    for gemm, k in (("gemm1", 2880), ("gemm2", 2880 * 4)):
        for tile in tiles(small, ("slots", 1), gemm):
            assert isinstance(tile, DecodeTile)
            assert tile.tiles <= 2 * -(-k // TILE)


def test_all_tiles_of_both_products_are_compiled_ahead() -> None:
    found = list(plans(DECODE, HOPPER))
    assert {plan.gemm1 for plan in found} == set(tiles(DECODE, ("slots", 1), "gemm1"))
    assert {plan.gemm2 for plan in found} == set(tiles(DECODE, ("slots", 1), "gemm2"))


@pytest.mark.parametrize("module", ["kernels.sweep", "kernels.tuning"])
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_both_modules_are_the_command(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [module])
    with pytest.raises(SystemExit, match="3"):
        runpy.run_module(module, run_name="__main__")
    assert "no GPU here" in capsys.readouterr().err


def test_help_says_what_each_mode_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for number, (group, act_tile, variant) in enumerate(MODES):
        assert f"{number} = group {group}, activation tile {act_tile}, {variant.replace('_', ' ')}" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--tokens 8 0", "--tokens: '0' is no whole number from 1 on"),
        ("--processes x", "--processes: 'x' is no whole number from 1 on"),
        ("--seconds 0", "--seconds: '0' is no number of seconds above 0"),
        ("--seconds nan", "--seconds: 'nan' is no number of seconds above 0"),
        ("--modes 6", "--modes: invalid choice: 6"),
        ("--out .", "--out: . is a folder"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(
    options: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options.split())
    assert f"error: argument {told}" in capsys.readouterr().err


def test_a_damaged_table_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "table.json"
    damaged.write_text("{")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(damaged)])
    assert f"{damaged} cannot be read and would be lost" in capsys.readouterr().err
    assert damaged.read_text() == "{"
