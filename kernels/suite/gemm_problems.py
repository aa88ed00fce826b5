"""Problems of the two GEMMs alone, and of the integer mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from kernels import gemms, reference
from kernels.inputs import integer_weights, moe_tokens, moe_weights
from kernels.quantize import PackedWeight, padded_k, quantize_rows, quantized_values
from kernels.routing import align_experts
from kernels.shapes import Shape
from kernels.suite.problems import (
    SMALL_TOKENS,
    BenchmarkProblem,
    moe_bytes,
    moe_operations,
    shrunk,
)
from kernels.target import target_of
from kernels.tuning import Plan, Problem, plan_for

SMALL_GEMM_TOKENS = 64
"""What Triton's interpreter gets: 32 slots for each of its experts, a whole block."""
TOLERANCE = 0.004
"""Codes and weights are exact here: what is left is bf16. Expected: 0.17 %; 0.3 % where SiLU is a launch of
its own, which rounds in between."""
INTEGER_TOLERANCE, WIDE_INTEGER_TOLERANCE, WIDE = 0.03, 0.045, 4096
"""RMS relative error of the integer mode that passes; one scale fits a wider row worse. Expected: 2.4 % for
rows of 2048 and 512, 3.6 % for rows of 4096 and 14336."""


def live_rows(op: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`op` on rows of which the first `live` hold something, and no other: a view, nothing is copied."""

    def of_live(*, live: int, **made: Any) -> torch.Tensor:
        return op(**made)[:live]

    of_live.__name__ = op.__name__
    return of_live


def gemm_problem(shape: Shape, m: int, group: int, act_tile: int, *, second: bool) -> BenchmarkProblem:
    """`gate_up` or, `second`, `down` for `m` tokens, of which each expert gets as many."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        return lambda seed: _rows(shape, m, group, act_tile, seed, second)

    n, k = (shape.hidden, shape.inter) if second else (2 * shape.inter, shape.hidden)
    slots = m * shape.top_k
    weights = shape.experts * n * k
    return BenchmarkProblem(
        *(make(shape, m), make(shrunk(shape), SMALL_GEMM_TOKENS)),
        live_rows(reference.down if second else reference.gate_up),
        tolerance=TOLERANCE,
        bytes=weights // 2 + weights // group * 2 + slots * (k + 2 * (n if second else n // 2)),
        operations=2 * slots * n * k,
    )


def _rows(shape: Shape, m: int, group: int, act_tile: int, seed: int, second: bool) -> Mapping[str, Any]:
    """Random rows in blocks that are all full: slots go round the experts."""
    weight: PackedWeight = moe_weights(shape, group, seed)["w2" if second else "w1"]
    ids = (torch.arange(m * shape.top_k) % shape.experts).view(m, shape.top_k)
    problem = Problem(m, shape.hidden, shape.inter, shape.experts, shape.top_k, group, act_tile, "hoisted")
    plan: Plan = plan_for(target_of(ids.device), problem)
    routing = align_experts(ids, shape.experts, plan.block_m)
    live = m * shape.top_k
    torch.manual_seed(seed)
    width = padded_k(weight.shape[2])
    rows = torch.randn(routing.slots.shape[0], weight.shape[2]).bfloat16()
    scales: torch.Tensor | None = None
    if plan.path == "ring_bf16":
        rows = quantized_values(rows, act_tile, width)
    else:
        rows, scales = quantize_rows(rows, act_tile, width)
    names = ("rows", "scales", "w2" if second else "w1", "routing", "act_tile", "plan", "live")
    return dict(zip(names, (rows, scales, weight, routing, act_tile, plan, live), strict=True))


gate_up, down = live_rows(gemms.gate_up), live_rows(gemms.down)


def integer_problem(shape: Shape, m: int) -> BenchmarkProblem:
    """`moe_w4a8_integer` of `shape` for `m` tokens."""

    def make(shape: Shape, m: int) -> Callable[[int], Mapping[str, Any]]:
        return lambda seed: {**integer_weights(shape, seed), **moe_tokens(shape, m, seed)}

    # Nibbles, a multiplier of two bytes for each 128, and a scale of four for each row.
    expert = 3 * shape.inter * shape.hidden
    size = expert // 2 + expert // 128 * 2 + 4 * (2 * shape.inter + shape.hidden)
    return BenchmarkProblem(
        *(make(shape, m), make(shrunk(shape), min(m, SMALL_TOKENS)), reference.moe_w4a8_integer),
        tolerance=INTEGER_TOLERANCE if max(shape.hidden, shape.inter) < WIDE else WIDE_INTEGER_TOLERANCE,
        bytes=moe_bytes(shape, m, size),
        operations=moe_operations(shape, m),
    )
