"""One problem: inputs by seed, a small twin for the interpreter, the truth, the least that a call costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from kernels import reference
from kernels.inputs import bf16_weights, int4_weights, moe_tokens, moe_weights, random_routing
from kernels.quantize import random_weight
from kernels.shapes import Shape
from kernels.target import INTERPRETED, target_of
from kernels.tuning import Plan, Problem, plan_for

STACK_SETS = 2
"""Sets of a stack: its layers defeat the cache by themselves, and each call is long."""
SMALL_HIDDEN, SMALL_INTER, SMALL_EXPERTS, SMALL_TOKENS, SMALL_LAYERS = 256, 128, 8, 48, 2
"""What Triton's interpreter gets: a whole tile and more of every group, and more tokens than a block."""

GATES = {32: 0.013, 128: 0.017}
"""RMS relative error of the whole op that passes, by activation tile. Expected: 1.2 % and 1.6 %."""
TOY_GATES = {32: 0.015, 128: 0.02}
"""The same of layers narrower than `REAL_WIDTH`. Their rows have few groups and so differ in norm: the
largest values, which the scales follow, are further from the rest. The suite's toys and what the interpreter
gets instead of a model are at up to 1.32 % with tile 32 and 1.77 % with 128."""
REAL_WIDTH = 512
"""Of hidden and inter: no model of the suite has less."""
STACK_GATE, TOY_STACK_GATE = 0.006, 0.012
"""Of one layer and its residual; the errors of several add up like noise. Expected with activation tile 128:
0.42 % of a layer of real width (2.7 % of 40), 0.85 % of a toy."""
BF16_TOLERANCE = 0.01
"""Of bf16 operands and a bf16 result. Expected: 0.5 % of two products, 0.25 % of one."""


@dataclass(frozen=True, slots=True)
class BenchmarkProblem:
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
) -> BenchmarkProblem:
    """`moe_w4a8` of `shape` for `m` tokens. `small=False`: the interpreter gets the shape as it is."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            weights = moe_weights(shape, group, seed)
            return {**weights, **moe_tokens(shape, m, seed), "act_tile": act_tile, "variant": variant}

        return inputs

    tiny = make(shrunk(shape), min(m, SMALL_TOKENS)) if small else make(shape, m)
    return BenchmarkProblem(
        *(make(shape, m), tiny, reference.moe_w4a8),
        tolerance=gate(shrunk(shape) if small and INTERPRETED else shape, act_tile),
        bytes=moe_bytes(shape, m, shape.bytes(group)),
        operations=moe_operations(shape, m),
    )


def planned(made: Mapping[str, Any], variant: str) -> Plan:
    """What the table has for a call of `moe_w4a8` with those arguments."""
    x, (experts, hidden, inter), ids = made["x"], made["w2"].shape, made["topk_ids"]
    group, act_tile = made["w1"].group, made["act_tile"]
    problem = Problem(x.shape[0], hidden, inter, experts, ids.shape[1], group, act_tile, variant)
    return plan_for(target_of(x.device), problem)


def gate(shape: Shape, act_tile: int) -> float:
    """What passes of the whole op at that shape."""
    return (TOY_GATES if min(shape.hidden, shape.inter) < REAL_WIDTH else GATES)[act_tile]


def stack_gate(shape: Shape) -> float:
    """What passes of all its layers in sequence."""
    narrow = min(shape.hidden, shape.inter) < REAL_WIDTH
    return (TOY_STACK_GATE if narrow else STACK_GATE) * math.sqrt(shape.layers)


def grouped_bf16_problem(shape: Shape, m: int) -> BenchmarkProblem:
    """`moe_grouped_bf16` of `shape` for `m` tokens."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        return lambda seed: {**bf16_weights(shape, seed), **moe_tokens(shape, m, seed)}

    return BenchmarkProblem(
        *(make(shape, m), make(shrunk(shape), min(m, SMALL_TOKENS)), reference.moe_grouped_bf16),
        tolerance=BF16_TOLERANCE,
        bytes=moe_bytes(shape, m, 2 * shape.weights),
        operations=moe_operations(shape, m),
        precision="bf16",
    )


def stack_problem(shape: Shape, m: int, group: int, *, act_tile: int) -> BenchmarkProblem:
    """`moe_stack` of all the layers of `shape` for `m` tokens; all sets of inputs share the weights."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            layers = [int4_weights(shape, group, layer, symmetric=True) for layer in range(shape.layers)]
            torch.manual_seed(seed)
            return {
                "x": torch.randn(m, shape.hidden).bfloat16(),
                "weights": [(layer["w1"], layer["w2"]) for layer in layers],
                "routing": [random_routing(shape, m) for _ in layers],
                "act_tile": act_tile,
            }

        return inputs

    return BenchmarkProblem(
        *(make(shape, m), make(shrunk(shape), min(m, SMALL_TOKENS)), reference.moe_stack),
        tolerance=stack_gate(shrunk(shape) if INTERPRETED else shape),
        bytes=shape.layers * moe_bytes(shape, m, shape.bytes(group)),
        operations=shape.layers * moe_operations(shape, m),
        rotate=STACK_SETS,
    )


def dense_problem(m: int, n: int, k: int, group: int) -> BenchmarkProblem:
    """`dequant_gemm` of `m` rows with one weight of n × k."""

    def make(m: int, n: int, k: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            torch.manual_seed(seed)
            return {"x": torch.randn(m, k).bfloat16(), "weight": random_weight(1, n, k, group)}

        return inputs

    return BenchmarkProblem(
        *(make(m, n, k), make(min(m, SMALL_TOKENS), SMALL_INTER, SMALL_HIDDEN), reference.dequant_gemm),
        tolerance=BF16_TOLERANCE,
        bytes=n * k // 2 + n * k // group * 2 + 2 * m * (n + k),
        operations=2 * m * n * k,
        precision="bf16",
    )


def dequantize_problem(n: int, k: int, group: int) -> BenchmarkProblem:
    """`dequantize` of one weight of n × k."""

    def make(n: int, k: int) -> Callable[[int], Mapping[str, Any]]:
        def inputs(seed: int) -> Mapping[str, Any]:
            torch.manual_seed(seed)
            return {"weight": random_weight(1, n, k, group)}

        return inputs

    return BenchmarkProblem(
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


def moe_bytes(shape: Shape, m: int, layer_bytes: int) -> int:
    """Weights of the experts hit (expected, with random routing), tokens in and out, routing."""
    hit = 1 - (1 - shape.top_k / shape.experts) ** m
    return round(hit * layer_bytes) + 2 * m * shape.hidden * 2 + m * shape.top_k * (4 + 8)


def moe_operations(shape: Shape, m: int) -> int:
    """Of both products of every token and each of its experts."""
    return 2 * m * shape.top_k * 3 * shape.hidden * shape.inter


def rows_problem(rows: int, k: int, act_tile: int, *, gated: bool) -> BenchmarkProblem:
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
    return BenchmarkProblem(make(rows), make(min(rows, SMALL_TOKENS)), truth, 1e-3, moved, 4 * rows * width)
