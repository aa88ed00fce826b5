"""One problem: inputs by seed, a small twin for the interpreter, the truth, the least that a call costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch

from kernels import reference
from kernels.integer import IntegerWeight, random_integer_weight
from kernels.quantize import TILE, PackedWeight, random_weight
from kernels.shapes import Shape

WEIGHT_COPIES = 4
"""Sets of inputs share this many copies of the weights: enough to defeat the cache, few enough to fit."""
COPIES_BYTES = 8 << 30
"""Copies of a large layer take no more than this together: one alone is many times the cache then."""
STACK_SETS = 2
"""Sets of a stack: its layers defeat the cache by themselves, and each call is long."""
SMALL_HIDDEN, SMALL_INTER, SMALL_EXPERTS, SMALL_TOKENS, SMALL_LAYERS = 256, 128, 8, 48, 2
"""What Triton's interpreter gets: a whole tile and more of every group, and more tokens than a block."""

Weight = TypeVar("Weight", PackedWeight, IntegerWeight, torch.Tensor)

TOLERANCE = {32: 0.015, 128: 0.02}
"""RMS relative error that passes, by activation tile. Expected: 1.2 % and 1.6 %."""
STACK_TOLERANCE = 0.012
"""Of one layer and its residual; the errors of several add up like noise. Expected: 0.6 % and 0.85 %."""
BF16_TOLERANCE = 0.01
"""Of bf16 operands and a bf16 result. Expected: 0.5 % of two products, 0.25 % of one."""

_weights: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()
"""Weights in use, by what they are: gone as soon as no set of inputs holds them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a benchmark hands to `gpu_benchmark`.

    Attributes:
        inputs, small: seed → arguments, on torch's default device.
        reference: the same arguments → fp32 truth.
        tolerance: RMS relative error that passes.
        bytes, operations: of one call at the real shape, at least (2 operations a multiply-add).
        precision: what the operations are done in.
        rotate: sets of inputs; None: as many as their size asks for.
    """

    inputs: Callable[[int], Mapping[str, Any]]
    small: Callable[[int], Mapping[str, Any]]
    reference: Callable[..., Any]
    tolerance: float
    bytes: int
    operations: int
    precision: str = "int8"
    rotate: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `gpu_benchmark`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
    return Problem(
        *(make(shape, m), tiny, reference.moe_w4a8, TOLERANCE[act_tile]),
        bytes=moe_bytes(shape, m, shape.bytes(group)),
        operations=moe_operations(shape, m),
    )


def grouped_bf16_problem(shape: Shape, m: int) -> Problem:
    """`moe_grouped_bf16` of `shape` for `m` tokens."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        return lambda seed: {**bf16_weights(shape, seed), **moe_tokens(shape, m, seed)}

    return Problem(
        *(make(shape, m), make(shrunk(shape), min(m, SMALL_TOKENS)), reference.moe_grouped_bf16),
        tolerance=BF16_TOLERANCE,
        bytes=moe_bytes(shape, m, 2 * shape.weights),
        operations=moe_operations(shape, m),
        precision="bf16",
    )


def stack_problem(shape: Shape, m: int, group: int, *, act_tile: int) -> Problem:
    """`moe_stack` of all the layers of `shape` for `m` tokens; all sets of inputs share the weights."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            layers = [int4_weights(shape, group, layer) for layer in range(shape.layers)]
            torch.manual_seed(seed)
            return {
                "x": torch.randn(m, shape.hidden).bfloat16(),
                "weights": [(layer["w1"], layer["w2"]) for layer in layers],
                "routing": [random_routing(shape, m) for _ in layers],
                "act_tile": act_tile,
            }

        return inputs

    return Problem(
        *(make(shape, m), make(shrunk(shape), min(m, SMALL_TOKENS)), reference.moe_stack),
        tolerance=STACK_TOLERANCE * shape.layers**0.5,
        bytes=shape.layers * moe_bytes(shape, m, shape.bytes(group)),
        operations=shape.layers * moe_operations(shape, m),
        rotate=STACK_SETS,
    )


def dense_problem(m: int, n: int, k: int, group: int) -> Problem:
    """`dequant_gemm` of `m` rows with one weight of n × k."""

    def make(m: int, n: int, k: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            torch.manual_seed(seed)
            return {"x": torch.randn(m, k).bfloat16(), "weight": random_weight(1, n, k, group)}

        return inputs

    return Problem(
        *(make(m, n, k), make(min(m, SMALL_TOKENS), SMALL_INTER, SMALL_HIDDEN), reference.dequant_gemm),
        tolerance=BF16_TOLERANCE,
        bytes=n * k // 2 + n * k // group * 2 + 2 * m * (n + k),
        operations=2 * m * n * k,
        precision="bf16",
    )


def dequantize_problem(n: int, k: int, group: int) -> Problem:
    """`dequantize` of one weight of n × k."""

    def make(n: int, k: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            torch.manual_seed(seed)
            return {"weight": random_weight(1, n, k, group)}

        return inputs

    return Problem(
        *(make(n, k), make(SMALL_INTER, SMALL_HIDDEN), reference.dequantize),
        # One rounding to bf16: 0.1 %.
        tolerance=0.002,
        bytes=n * k // 2 + n * k // group * 2 + 2 * n * k,
        operations=n * k,
        precision="fp32",
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
        layers=min(shape.layers, SMALL_LAYERS),
    )


def moe_weights(shape: Shape, group: int, seed: int) -> dict[str, PackedWeight]:
    """Random weights of one layer: live inputs share a few copies, each seed has one of them."""
    return int4_weights(shape, group, seed % weight_copies(shape.bytes(group)))


def weight_copies(layer_bytes: int) -> int:
    """How many copies of a layer sets of inputs share."""
    return max(1, min(WEIGHT_COPIES, COPIES_BYTES // layer_bytes))


def int4_weights(shape: Shape, group: int, copy: int) -> dict[str, PackedWeight]:
    """w1 and w2 of one layer; `copy` tells layers apart."""
    return _layer(shape, copy, group, lambda rows, k: random_weight(shape.experts, rows, k, group))


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


def moe_bytes(shape: Shape, m: int, layer_bytes: int) -> int:
    """Weights of the experts hit (expected, with random routing), tokens in and out, routing."""
    hit = 1 - (1 - shape.top_k / shape.experts) ** m
    return round(hit * layer_bytes) + 2 * m * shape.hidden * 2 + m * shape.top_k * (4 + 8)


def moe_operations(shape: Shape, m: int) -> int:
    """Of both products of every token and each of its experts."""
    return 2 * m * shape.top_k * 3 * shape.hidden * shape.inter


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
