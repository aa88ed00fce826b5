"""Random inputs of one MoE layer: weights that several sets of inputs share, tokens, routing.

All of it on torch's default device and the same in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch

from kernels.integer import IntegerWeight, random_integer_weight
from kernels.quantize import TILE, PackedWeight, random_weight
from kernels.shapes import Shape

WEIGHT_COPIES = 4
"""Sets of inputs share this many copies of the weights: enough to defeat the cache, few enough to fit."""
COPIES_BYTES = 8 << 30
"""Copies of a large layer take no more than this together: one alone is many times the cache then."""

Weight = TypeVar("Weight", PackedWeight, IntegerWeight, torch.Tensor)

_weights: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()
"""Weights in use, by what they are: gone as soon as no set of inputs holds them."""


def moe_weights(shape: Shape, group: int, seed: int) -> dict[str, PackedWeight]:
    """Random weights of one layer: live inputs share a few copies, each seed has one of them."""
    return int4_weights(shape, group, seed % weight_copies(shape.bytes(group)))


def weight_copies(layer_bytes: int) -> int:
    """How many copies of a layer sets of inputs share."""
    return max(1, min(WEIGHT_COPIES, COPIES_BYTES // layer_bytes))


def int4_weights(shape: Shape, group: int, copy: int, *, symmetric: bool = False) -> dict[str, PackedWeight]:
    """w1 and w2 of one layer; `copy` tells layers apart. `symmetric`: as of `random_weight`."""

    def draw(rows: int, k: int) -> PackedWeight:
        return random_weight(shape.experts, rows, k, group, symmetric=symmetric)

    return _layer(shape, copy, f"symmetric {group}" if symmetric else group, draw)


def bf16_weights(shape: Shape, seed: int) -> dict[str, torch.Tensor]:
    """As `moe_weights`, in bf16: [experts, rows, K], the values vary like 1/√K."""

    def draw(rows: int, k: int) -> torch.Tensor:
        return torch.empty(shape.experts, rows, k, dtype=torch.bfloat16).normal_(0, k**-0.5)

    return _layer(shape, seed % weight_copies(2 * shape.weights), None, draw)


def integer_weights(shape: Shape, seed: int) -> dict[str, IntegerWeight]:
    """As `moe_weights`, with integer multipliers of groups."""
    copy = seed % weight_copies(shape.bytes(TILE))
    return _layer(shape, copy, "integer", lambda rows, k: random_integer_weight(shape.experts, rows, k))


def _layer(
    shape: Shape, copy: int, group: int | str | None, draw: Callable[[int, int], Weight]
) -> dict[str, Weight]:
    """w1 and w2 of one layer, drawn where nobody holds them."""
    sizes = {"w1": (2 * shape.inter, shape.hidden), "w2": (shape.hidden, shape.inter)}
    found = {}
    for number, (name, (rows, k)) in enumerate(sizes.items()):
        key = (str(torch.get_default_device()), shape.experts, rows, k, group, copy, number)
        weight = _weights.get(key)
        if weight is None:
            torch.manual_seed(7919 * (2 * copy + number + 1))
            weight = _weights[key] = draw(rows, k)
        found[name] = weight
    return found


def moe_tokens(shape: Shape, m: int, seed: int) -> dict[str, torch.Tensor]:
    """Random activations and random routing; the weights of a token's experts sum to 1."""
    torch.manual_seed(seed)
    x = torch.randn(m, shape.hidden).bfloat16()
    weights, ids = random_routing(shape, m)
    return {"x": x, "topk_weights": weights, "topk_ids": ids}


def random_routing(shape: Shape, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """topk_weights and topk_ids of `m` tokens."""
    weights, ids = torch.randn(m, shape.experts).softmax(-1).topk(shape.top_k)
    return weights / weights.sum(-1, keepdim=True), ids
