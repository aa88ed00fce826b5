"""Routing, the tokens quantized into their rows, and the sum over a token's experts."""

from __future__ import annotations

import pytest
import torch
from stand_in import poisoned, rms_error

from kernels import reference, routing
from kernels.routing import (
    Routing,
    align_experts,
    route_and_quantize,
    route_and_quantized_values,
)
from kernels.weighted_sum import weighted_sum

SIZES = [(1, 4, 2), (9, 256, 8), (64, 4, 4), (200, 7, 3), (33, 500, 11), (130, 256, 8)]
"""Tokens, experts, choices. The last has more slots than one launch counts."""


def random_ids(m: int, experts: int, top_k: int) -> torch.Tensor:
    """Different experts for each token, some of which do not exist."""
    ids = torch.rand(m, experts).topk(top_k).indices
    ids[m // 2, 0] = -1
    ids[0, top_k - 1] = experts
    return ids


def assert_routes(found: Routing, ids: torch.Tensor, experts: int, block_m: int) -> None:
    """`found` is the twin's but for the order within an expert."""
    want = reference.align_experts(ids, experts, block_m)
    live = int(want.live)
    assert torch.equal(found.live, want.live)
    # No tile of a GEMM is handed out yet.
    assert torch.equal(found.next, want.next)
    assert torch.equal(found.expert, want.expert)
    assert torch.equal(found.count, want.count)
    assert torch.equal(found.first[:live], want.first[:live])
    assert torch.equal(found.of_expert[:live], want.of_expert[:live])
    places, flat = found.places.flatten().long(), ids.flatten()
    exists = (flat >= 0) & (flat < experts)
    assert torch.equal(places >= 0, exists)
    # Every row of a live block holds the slot whose place it is, or none.
    rows = torch.full((found.slots.numel(),), -1)
    rows[places[exists]] = torch.where(exists)[0]
    assert torch.equal(found.slots[: live * block_m].long(), rows[: live * block_m])
    assert int((rows >= 0).sum()) == int(exists.sum())
    # It is a row of its expert's blocks, among those that count.
    assert torch.equal(found.expert[places[exists] // block_m].long(), flat[exists])
    assert (places[exists] % block_m < found.count[places[exists] // block_m]).all()


@pytest.mark.parametrize("block_m", [16, 64])
@pytest.mark.parametrize(("m", "experts", "top_k"), SIZES)
def test_routing(m: int, experts: int, top_k: int, block_m: int) -> None:
    ids = random_ids(m, experts, top_k)
    with poisoned():
        found = align_experts(ids, experts, block_m)
    assert_routes(found, ids, experts, block_m)


@pytest.mark.parametrize(("m", "experts", "top_k"), SIZES)
@pytest.mark.parametrize("act_tile", [32, 128])
def test_tokens_are_quantized_into_all_their_rows(m: int, experts: int, top_k: int, act_tile: int) -> None:
    ids = random_ids(m, experts, top_k)
    x = torch.randn(m, 160).bfloat16()
    x[-1, 3] = float("nan")
    with poisoned():
        found, codes, scales = route_and_quantize(x, ids, experts, 16, act_tile, 256)
    assert_routes(found, ids, experts, 16)
    want_codes, want_scales = reference.quantize_rows(x[:-1], act_tile, 256)
    for token in range(m - 1):
        rows = found.places[token][found.places[token] >= 0].long()
        assert torch.equal(codes[rows], want_codes[token].expand(len(rows), -1))
        assert torch.equal(scales[:, rows], want_scales[:, token, None].expand(-1, len(rows)))
    last = found.places[-1][found.places[-1] >= 0].long()
    assert scales[0, last].isnan().all()
    # Rows that hold no slot are left alone.
    assert int(scales[1].isfinite().sum()) == int((found.places >= 0).sum())


def test_counting_apart_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks, of several programs each."""
    monkeypatch.setattr(routing, "ALONE", 0)
    monkeypatch.setattr(routing, "CHUNK_TOKENS", 4)
    monkeypatch.setattr(routing, "PROGRAMS", 64)
    monkeypatch.setattr(routing, "LARGEST_CHUNK", 32)
    ids = random_ids(90, 9, 3)
    x = torch.randn(90, 64).bfloat16()
    with poisoned():
        found, codes, scales = route_and_quantize(x, ids, 9, 16, 32)
    assert_routes(found, ids, 9, 16)
    want_codes, want_scales = reference.quantize_rows(x, 32)
    token, choice = torch.where(found.places >= 0)
    held = found.places[token, choice].long()
    assert torch.equal(codes[held], want_codes[token])
    assert torch.equal(scales[:, held], want_scales[:, token])
    with poisoned():
        found, values = route_and_quantized_values(x, ids, 9, 16, 32)
    assert_routes(found, ids, 9, 16)
    assert torch.equal(values, reference.quantized_values(x, 32))


def test_all_slots_of_one_expert() -> None:
    ids = torch.full((70, 1), 2)
    with poisoned():
        found = align_experts(ids, 300, 32)
    assert_routes(found, ids, 300, 32)


def test_no_token_and_no_expert() -> None:
    none = align_experts(torch.empty(0, 8, dtype=torch.int64), 4, 16)
    assert (none.blocks, int(none.live)) == (0, 0)
    ids = torch.full((3, 2), -1)
    with poisoned():
        found = align_experts(ids, 4, 16)
    assert_routes(found, ids, 4, 16)
    assert weighted_sum(torch.empty(0, 64).bfloat16(), torch.empty(0, 2), ids[:0].int()).shape == (0, 64)


@pytest.mark.parametrize(("m", "hidden", "top_k"), [(3, 96, 2), (70, 1200, 3)])
def test_weighted_sum(m: int, hidden: int, top_k: int) -> None:
    y = torch.randn(m * top_k + 5, hidden).bfloat16()
    places = torch.randperm(m * top_k + 5, dtype=torch.int32)[: m * top_k].view(m, top_k)
    unused = torch.ones(len(y), dtype=torch.bool)
    places[1] = -1
    places[2, 1] = -1
    unused[places[places >= 0].long()] = False
    y[unused] = float("nan")
    weights = torch.rand(m, top_k)
    with poisoned():
        out = weighted_sum(y, weights, places)
    assert (out[1] == 0).all()
    assert rms_error(out, reference.weighted_sum(y, weights, places)) < 3e-3
    given = torch.empty_like(out)
    assert weighted_sum(y, weights, places, given) is given
    assert torch.equal(given, out)
