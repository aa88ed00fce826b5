"""One problem: inputs by seed, a small twin for the interpreter, the truth, the least that a call costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import torch

from kernels import reference
from kernels.quantize import PackedWeight, random_weight
from kernels.shapes import Shape

WEIGHT_COPIES = 4
"""Sets of inputs share this many copies of the weights: enough to defeat the cache, few enough to fit."""
SMALL_HIDDEN, SMALL_INTER, SMALL_EXPERTS, SMALL_TOKENS = 256, 128, 8, 48
"""What Triton's interpreter gets: a whole tile and more of every group, and more tokens than a block."""

TOLERANCE = {32: 0.015, 128: 0.02}
"""RMS relative error that passes, by activation tile. Expected: 1.2 % and 1.6 %."""

_weights: WeakValueDictionary[tuple[object, ...], PackedWeight] = WeakValueDictionary()
"""Weights in use, by what they are: gone as soon as no set of inputs holds them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a benchmark hands to `gpu_benchmark`.

    Attributes:
        inputs, small: seed → arguments, on torch's default device.
        reference: the same arguments → fp32 truth.
        tolerance: RMS relative error that passes.
        bytes, operations: of one call at the real shape, at least (2 operations a multiply-add).
    """

    inputs: Callable[[int], Mapping[str, Any]]
    small: Callable[[int], Mapping[str, Any]]
    reference: Callable[..., Any]
    tolerance: float
    bytes: int
    operations: int

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `gpu_benchmark`."""
        names = ("inputs", "small", "reference", "tolerance", "bytes", "operations")
        return {name: getattr(self, name) for name in names} | {"precision": "int8"}


def moe_problem(
    shape: Shape, m: int, group: int, *, act_tile: int, variant: str = "hoisted", small: bool = True
) -> Problem:
    """`moe_w4a8` of `shape` for `m` tokens. `small=False`: the interpreter gets the shape as it is."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            weights = moe_weights(shape, group, seed)
            return {**weights, **moe_tokens(shape, m, seed), "act_tile": act_tile, "variant": variant}

        return inputs

    tiny = make(shrunk(shape), min(m, SMALL_TOKENS)) if small else make(shape, m)
    operations = 2 * m * shape.top_k * 3 * shape.hidden * shape.inter
    return Problem(
        make(shape, m), tiny, reference.moe_w4a8, TOLERANCE[act_tile], moe_bytes(shape, m, group), operations
    )


def shrunk(shape: Shape) -> Shape:
    """The shape for the interpreter: the same code, fewer and smaller experts."""
    experts = min(shape.experts, SMALL_EXPERTS)
    return replace(
        shape,
        hidden=min(shape.hidden, SMALL_HIDDEN),
        inter=min(shape.inter, SMALL_INTER),
        experts=experts,
        top_k=min(shape.top_k, experts // 2),
    )


def moe_weights(shape: Shape, group: int, seed: int) -> dict[str, PackedWeight]:
    """Random weights of one layer, shared by all live inputs whose seeds are equal modulo `WEIGHT_COPIES`."""
    copy = seed % WEIGHT_COPIES
    sizes = {"w1": (2 * shape.inter, shape.hidden), "w2": (shape.hidden, shape.inter)}
    device = torch.get_default_device()
    found = {}
    for number, (name, (rows, k)) in enumerate(sizes.items()):
        key = (str(device), shape.experts, rows, k, group, copy, number)
        weight = _weights.get(key)
        if weight is None:
            torch.manual_seed(7919 * (2 * copy + number + 1))
            weight = _weights[key] = random_weight(shape.experts, rows, k, group)
        found[name] = weight
    return found


def moe_tokens(shape: Shape, m: int, seed: int) -> dict[str, torch.Tensor]:
    """Random activations and random routing; the weights of a token's experts sum to 1."""
    torch.manual_seed(seed)
    x = torch.randn(m, shape.hidden).bfloat16()
    weights, ids = torch.randn(m, shape.experts).softmax(-1).topk(shape.top_k)
    return {"x": x, "topk_weights": weights / weights.sum(-1, keepdim=True), "topk_ids": ids}


def moe_bytes(shape: Shape, m: int, group: int) -> int:
    """Weights and scales of the experts hit (expected, with random routing), tokens in and out, routing."""
    hit = shape.experts * (1 - (1 - shape.top_k / shape.experts) ** m)
    weights = 3 * shape.inter * shape.hidden
    expert = weights // 2 + weights // group * 2
    return round(hit * expert) + 2 * m * shape.hidden * 2 + m * shape.top_k * (4 + 8)


def rows_problem(rows: int, k: int, act_tile: int, *, gated: bool) -> Problem:
    """Quantizing `rows` rows of width `k`; `gated`: of silu(gate) · up, from rows twice as wide."""
    width = 2 * k if gated else k

    def make(rows: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            torch.manual_seed(seed)
            x = torch.randn(rows, width).bfloat16()
            return {"hidden" if gated else "x": x, "act_tile": act_tile}

        return inputs

    moved = rows * (2 * width + k + 4 * -(-k // act_tile))
    truth = reference.silu_mul_quantize if gated else reference.quantize_rows
    # The codes may differ by one where a value lies between two: the last bit of a product decides.
    return Problem(make(rows), make(min(rows, SMALL_TOKENS)), truth, 1e-3, moved, 4 * rows * width)
