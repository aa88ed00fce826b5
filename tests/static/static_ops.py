"""Small ops with real kernels that the tests of `perfsuite.static` compile."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x_ptr, y_ptr, n, factor, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(y_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) * factor, mask=mask)


@triton.jit
def tile_kernel(a_ptr, b_ptr, c_ptr, K, TILE: tl.constexpr):
    i = tl.arange(0, TILE)
    total = tl.zeros((TILE, TILE), tl.float32)
    for k in range(0, K, TILE):
        a = tl.load(a_ptr + i[:, None] * K + k + i[None, :])
        b = tl.load(b_ptr + (k + i[:, None]) * TILE + i[None, :])
        total = tl.dot(a, b, total)
    tl.store(c_ptr + i[:, None] * TILE + i[None, :], total)


@triton.jit
def wide_kernel(x_ptr, y_ptr, N: tl.constexpr):
    """Holds more values than a thread has registers."""
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i)
    tl.store(y_ptr + i, x - tl.sum(x))


@triton.autotune(
    [
        triton.Config({"BLOCK": 2**21}, num_warps=4),
        triton.Config({"BLOCK": 64}, num_warps=2),
        triton.Config({"BLOCK": 128}, num_warps=4),
    ],
    key=["n"],
    reset_to_zero=["y_ptr"],
)
@triton.jit
def tuned_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(y_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) + 1, mask=mask)


@triton.autotune(configs=[triton.Config({"BLOCK": size}) for size in (64, 256)], key=["n"])
@triton.jit
def measurable_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(y_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) + 1, mask=mask)


@triton.jit
def asserting_kernel(x_ptr, N: tl.constexpr):
    tl.static_assert(N == 7, "the length must be seven")


def scale(x: torch.Tensor, factor: float = 2.0, block: int = 128) -> torch.Tensor:
    y = torch.empty_like(x)
    n = x.numel()
    scale_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, n, factor, BLOCK=block)
    return y


def matmul(a: torch.Tensor, b: torch.Tensor, tile: int = 64, **options: int) -> torch.Tensor:
    c = torch.empty(tile, tile, dtype=torch.float32, device=a.device)
    tile_kernel[(1,)](a, b, c, a.shape[1], TILE=tile, **options)
    return c


def tuned(x: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(x)
    n = x.numel()
    tuned_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, n)
    return y


def measurable(x: torch.Tensor) -> torch.Tensor:
    """Autotuned, with configurations that all compile, as on a GPU they have to."""
    y = torch.empty_like(x)
    n = x.numel()
    measurable_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, n)
    return y


def wide(x: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(x)
    wide_kernel[(1,)](x, y, x.numel(), num_warps=1)
    return y
