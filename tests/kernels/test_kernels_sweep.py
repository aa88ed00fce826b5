"""What a sweep tries, and how its rows get into the table. Nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kernels.decode import DecodeTile
from kernels.quantize import TILE
from kernels.ring import RingTile
from kernels.routing import BLOCK_MS
from kernels.shapes import GPT_OSS_120B, MIXTRAL_8X7B, QWEN35_35B, SHAPES
from kernels.sweep import MODES, MOST_SLOTS, TOKENS, Work, cuts, merged, plans, tiles
from kernels.target import Target
from kernels.tuning import RING_BLOCK_MS, Plan, Tile

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


def test_rows_are_in_the_order_of_sizes_not_of_digits() -> None:
    shuffled = [(replace(DECODE, m=m).problem, BETTER) for m in (1696, 8, 64, 4096, 1)]
    assert [problem.m for problem, _ in merged((), shuffled)] == [1, 8, 64, 1696, 4096]


def test_one_token_is_not_sorted_and_many_are() -> None:
    assert cuts(DECODE, HOPPER) == cuts(DECODE, AMPERE) == [("slots", 1)]
    assert {path for path, _ in cuts(PREFILL, HOPPER)} == {"ring"}
    assert {path for path, _ in cuts(PREFILL, AMPERE)} == {"blocks"}
    # Here they meet.
    assert {path for path, _ in cuts(replace(DECODE, m=16), HOPPER)} == {"slots", "ring"}
    assert 16 * QWEN35_35B.top_k <= MOST_SLOTS


def test_blocks_are_about_as_large_as_what_an_expert_holds() -> None:
    assert cuts(PREFILL, HOPPER) == [("ring", 16), ("ring", 32), ("ring", 64)]
    many = replace(PREFILL, shape=MIXTRAL_8X7B)
    assert cuts(many, AMPERE) == [("blocks", 64), ("blocks", 128)]
    assert cuts(many, HOPPER) == [("ring", 64)]


@pytest.mark.parametrize("target", [HOPPER, AMPERE], ids=lambda target: target.arch)
def test_every_row_has_something_to_try_for_both_products(target: Target) -> None:
    for work in works():
        found = cuts(work, target)
        assert found, work
        for path, block_m in found:
            sizes = {"slots": (1,), "ring": RING_BLOCK_MS, "blocks": BLOCK_MS}[path]
            assert block_m in sizes
            kind = {"slots": DecodeTile, "ring": RingTile, "blocks": Tile}[path]
            for gemm in ("gemm1", "gemm2"):
                choices = tiles(work, (path, block_m), gemm)
                assert choices, (work, path, gemm)
                assert {type(tile) for tile in choices} == {kind}
                assert len(set(choices)) == len(choices)


def test_the_baseline_is_swept_over_blocks_alone() -> None:
    in_loop = replace(PREFILL, variant="in_loop")
    assert {path for path, _ in cuts(in_loop, HOPPER)} == {"blocks"}
    assert {path for path, _ in cuts(replace(in_loop, m=1), HOPPER)} == {"blocks"}


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
