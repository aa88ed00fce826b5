"""Device code of the integer mode of `_ring`: groups have integer multipliers, the K-loop stays in INT32.

A weight is nibble · multiplier · scale of its row, and nibble · multiplier fits a byte: four are multiplied
at a time, on their way to the tensor cores, and the sums are converted once, at the end.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)


@gluon.jit
def _times(packed, multiplier):
    """Both nibbles of each byte times the multiplier of its row (1 to 15), as INT8: (low, high).

    With u = nibble + 8, the bytes of u · multiplier + 128 - 8 · multiplier neither borrow nor carry.
    """
    shift = -2139062144 - multiplier * 0x08080808
    low = gl.inline_asm_elementwise(
        "{ .reg .b32 t; lop3.b32 t, $1, 0x0F0F0F0F, 0x08080808, 0x6A;"
        " mad.lo.u32 t, t, $2, $6; xor.b32 $0, t, 0x80808080; }",
        "=r,r,r,r,r,r,r,r,r,r",
        [packed, multiplier, shift],
        gl.int8,
        True,
        4,
    )
    high = gl.inline_asm_elementwise(
        "{ .reg .b32 t; shr.u32 t, $1, 4; lop3.b32 t, t, 0x0F0F0F0F, 0x08080808, 0x6A;"
        " mad.lo.u32 t, t, $2, $6; xor.b32 $0, t, 0x80808080; }",
        "=r,r,r,r,r,r,r,r,r,r",
        [packed, multiplier, shift],
        gl.int8,
        True,
        4,
    )
    return low, high


@gluon.jit
def integer_sums(
    ring,
    stage,
    phase,
    MY: gl.constexpr,
    K_TILES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
):
    """64 rows times BLOCK_M tokens of the block, summed over K: (fp32 [64, BLOCK_M], stage, phase)."""
    w, multipliers, x, x_scale, full, empty = ring
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 32])
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, LAYOUT, 4)
    sums = gl.zeros([64, BLOCK_M], gl.int32, LAYOUT)
    for k in range(K_TILES):
        mbarrier.wait(full.index(stage), phase)
        packed = w.index(stage).slice(MY, 64, 0).load(OPERAND)
        multiplier = multipliers.index(stage).slice(MY, 64).load(gl.SliceLayout(1, OPERAND)).to(gl.int32)
        low, high = _times(packed, multiplier[:, None])
        tokens = x.index(stage).slice(0, BLOCK_M, 0)
        dot = warpgroup_mma(low, tokens.slice(0, 64, 1).permute((1, 0)), sums, is_async=True)
        dot = warpgroup_mma(high, tokens.slice(64, 64, 1).permute((1, 0)), dot, is_async=True)
        sums = warpgroup_mma_wait(0, [dot])
        mbarrier.arrive(empty.index(stage))
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1
    return sums.to(gl.float32), stage, phase


@gluon.jit
def own_scales(
    scales, expert, row, n_tile, MY: gl.constexpr, N: gl.constexpr, BLOCK_M: gl.constexpr, GATED: gl.constexpr
):
    """(scales of the 64 weight rows, scales of the block's tokens)."""
    row_scale_ptr, token_scale_ptr = scales
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 32])
    mine = MY + gl.arange(0, 64, layout=gl.SliceLayout(1, LAYOUT))
    # Rows past the last are not stored.
    if GATED:
        n = gl.minimum(n_tile * 128 + mine // 16 * 8 + mine % 8, N // 2 - 1) + (mine // 8 % 2) * (N // 2)
    else:
        n = gl.minimum(n_tile * 256 + mine, N - 1)
    of_row = gl.load(row_scale_ptr + expert * N + n)
    of_token = gl.load(token_scale_ptr + row + gl.arange(0, BLOCK_M, layout=gl.SliceLayout(0, LAYOUT)))
    return of_row[:, None], of_token[None, :]
