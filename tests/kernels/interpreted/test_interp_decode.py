"""The decode path and the dense matvec against their plain-torch twins, in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from stand_in import poisoned, rms_error

from kernels import reference
from kernels.decode import DecodeTile, decode_down, decode_gate_up
from kernels.matvec_w4 import matvec_w4
from kernels.quantize import PackedWeight, pack_int4, random_weight, unpack_int4

TILE = DecodeTile(rows=32, tiles=4, warps=4)
DOWN_TILE = 16
"""Columns that share a scale in the second product, whatever the first one's tile."""


def rounded(rows: torch.Tensor, act_tile: int) -> torch.Tensor:
    """Rows as the kernels see them once they are quantized."""
    padded = -(-rows.shape[1] // 128) * 128
    codes, scales = reference.quantize_rows(rows, act_tile, padded)[:2]
    return reference.dequantize_rows(codes, scales, act_tile)[:, : rows.shape[1]]


def slots_twin(x: torch.Tensor, w1: PackedWeight, ids: torch.Tensor, act_tile: int) -> torch.Tensor:
    """silu(gate) · up of every slot with a known expert, x rounded like in the kernel; others are zero."""
    known = ((ids >= 0) & (ids < w1.shape[0])).flatten()
    weight = unpack_int4(w1)[ids.flatten().clamp(0, w1.shape[0] - 1)]
    rows = rounded(x, act_tile).repeat_interleave(ids.shape[1], dim=0)
    return reference.silu_mul(torch.einsum("snk,sk->sn", weight, rows)) * known.unsqueeze(-1)


def inputs(m: int, hidden: int, experts: int, top_k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(hidden + m)
    x = torch.randn(m, hidden).bfloat16()
    weights, ids = torch.randn(m, experts).softmax(-1).topk(top_k)
    return x, weights, ids


CASES = [
    # One step over K, and several with a last one that is not full; K that ends inside a tile.
    (128, 128, 256, 128, TILE, DecodeTile(32, 4, 4)),
    (128, 32, 384, 256, DecodeTile(16, 2, 4), DecodeTile(64, 2, 4)),
    (64, 128, 256, 192, DecodeTile(64, 1, 4), DecodeTile(32, 4, 4)),
    (64, 32, 320, 192, TILE, DecodeTile(16, 8, 4)),
    (32, 128, 288, 160, DecodeTile(32, 2, 4), TILE),
    (32, 32, 160, 96, DecodeTile(4, 2, 2, 4), DecodeTile(8, 1, 1)),
]


@pytest.mark.parametrize(("group", "act_tile", "hidden", "inter", "up", "down"), CASES)
def test_decode(group: int, act_tile: int, hidden: int, inter: int, up: DecodeTile, down: DecodeTile) -> None:
    x, weights, ids = inputs(3, hidden, 4, 2)
    # A token without experts, and one with one expert that does not exist.
    ids[1] = torch.tensor([-1, 4])
    ids[2, 1] = 9
    w1, w2 = random_weight(4, 2 * inter, hidden, group), random_weight(4, hidden, inter, group)
    with poisoned():
        act = decode_gate_up(x, w1, ids, act_tile=act_tile, tile=up)
        out = torch.empty_like(x)
        decode_down(act, w2, weights, ids, out, tile=down)
    known = ((ids >= 0) & (ids < 4)).flatten()
    # The same integers: what is left is the rounding to bf16.
    assert rms_error(act[known], slots_twin(x, w1, ids, act_tile)[known]) < 3e-3
    acts = rounded(torch.where(known.unsqueeze(-1), act, 0), DOWN_TILE)
    y = torch.einsum("snk,sk->sn", unpack_int4(w2)[ids.flatten().clamp(0, 3)], acts)
    assert rms_error(out, (y.view(3, 2, -1) * weights.unsqueeze(-1)).sum(1)) < 3e-3
    assert (out[1] == 0).all()
    # One token's error varies by a third; across many it is 1.2 % and 1.6 %.
    assert rms_error(out, reference.moe_w4a8(x, w1, w2, weights, ids)) < 0.03


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_token_that_is_not_a_number_stays_alone(value: float) -> None:
    """Infinity has no code, and is none any more."""
    x, weights, ids = inputs(2, 128, 4, 2)
    x[0, 77] = value
    w1, w2 = random_weight(4, 256, 128, 128), random_weight(4, 128, 128, 128)
    out = torch.empty_like(x)
    decode_down(decode_gate_up(x, w1, ids, act_tile=128, tile=TILE), w2, weights, ids, out, tile=TILE)
    assert out[0].isnan().all()
    assert out[1].isfinite().all()


@pytest.mark.parametrize(("group", "act_tile"), [(32, 32), (32, 128), (64, 32), (128, 32), (128, 128)])
@pytest.mark.parametrize(
    ("tokens", "rows", "k", "tile"),
    [
        (1, 1, 384, DecodeTile(1, 4, 1, 1)),
        (3, 70, 256, None),
        (2, 100, 384, DecodeTile(16, 4, 4)),
    ],
)
def test_matvec(tokens: int, rows: int, k: int, tile: DecodeTile | None, group: int, act_tile: int) -> None:
    torch.manual_seed(rows)
    x, weight = torch.randn(tokens, k).bfloat16(), random_weight(1, rows, k, group)
    with poisoned():
        y = matvec_w4(x, weight, act_tile=act_tile, tile=tile)
    assert y.dtype == torch.bfloat16
    assert rms_error(y, rounded(x, act_tile) @ unpack_int4(weight)[0].T) < 5e-3


def test_padding_of_k_weighs_nothing() -> None:
    x, weight = torch.randn(1, 96).bfloat16(), pack_int4(torch.randn(1, 40, 96), 32)
    with poisoned():
        y = matvec_w4(x, weight, act_tile=32)
    assert rms_error(y, rounded(x, 32) @ unpack_int4(weight)[0].T) < 5e-3


def test_nothing_to_do() -> None:
    x, weights, ids = inputs(0, 128, 4, 2)
    w1, w2 = random_weight(4, 256, 128, 128), random_weight(4, 128, 128, 128)
    act = decode_gate_up(x, w1, ids, act_tile=128, tile=TILE)
    assert act.shape == (0, 128)
    decode_down(act, w2, weights, ids, x, tile=TILE)
    assert matvec_w4(x, random_weight(1, 8, 128, 32)).shape == (0, 8)


def test_what_does_not_fit_is_named() -> None:
    x, weights, ids = inputs(2, 128, 4, 2)
    w1, w2 = random_weight(4, 256, 128, 128), random_weight(4, 128, 128, 128)
    act = torch.zeros(4, 128).bfloat16()
    with pytest.raises(ValueError, match=r"x has shape \(2, 128\); it must be \(2, 256\)"):
        decode_gate_up(x, random_weight(4, 256, 256, 128), ids, act_tile=128, tile=TILE)
    with pytest.raises(ValueError, match="w1 has 255 rows"):
        decode_gate_up(x, random_weight(4, 255, 128, 128), ids, act_tile=128, tile=TILE)
    with pytest.raises(TypeError, match="topk_ids"):
        decode_gate_up(x, w1, ids.int(), act_tile=128, tile=TILE)
    with pytest.raises(ValueError, match="act_tile is 64"):
        decode_gate_up(x, w1, ids, act_tile=64, tile=TILE)
    with pytest.raises(ValueError, match="act has shape"):
        decode_down(act[:3], w2, weights, ids, x, tile=TILE)
    with pytest.raises(ValueError, match="out has shape"):
        decode_down(act, w2, weights, ids, x[:1], tile=TILE)
    with pytest.raises(ValueError, match="4 experts"):
        matvec_w4(x, w1)
    with pytest.raises(ValueError, match="must cover the 4 tiles"):
        matvec_w4(torch.zeros(1, 512).bfloat16(), random_weight(1, 8, 512, 32), tile=DecodeTile(8, 2, 4))
    with pytest.raises(ValueError, match="tiles is 3"):
        DecodeTile(8, 3, 4)
    with pytest.raises(ValueError, match="lanes is 8"):
        DecodeTile(4, 4, 4)
