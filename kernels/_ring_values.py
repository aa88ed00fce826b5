"""Device code of `_ring` for rows of bf16 values: the K-loop where scales are part of the operands.

A weight is scaled on its way to the tensor cores, once for all tokens of a block, and the sums need no end at
each group: half the rate of INT8, and a third of the other instructions where groups are short.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)


@gluon.jit
def _values(packed, scale, LAYOUT: gl.constexpr):
    """Both nibbles of each byte times the scale of their row, bf16: (low, high), K in `VALUE_ORDER`.

    `scale`: bf16 twice in an int32. Four bytes b0 … b3 of a register become the pairs (b0, b2) and (b1, b3):
    one mask for both of a pair. 0x4308 is 136, of which the nibble is added to or taken off the last bits.
    """
    low = gl.inline_asm_elementwise(
        "{ .reg .b32 t, m; mov.b32 m, 0x43084308; lop3.b32 $0, $2, 0x000F000F, m, 0x6A; shr.u32 t, $2, 8;"
        " lop3.b32 $1, t, 0x000F000F, m, 0x6A; sub.rn.bf16x2 $0, $0, m; sub.rn.bf16x2 $1, $1, m;"
        " mul.rn.bf16x2 $0, $0, $3; mul.rn.bf16x2 $1, $1, $3; }",
        "=&r,=&r,r,r,r,r,r",
        [packed, scale[0]],
        gl.bfloat16,
        True,
        4,
    )
    high = gl.inline_asm_elementwise(
        "{ .reg .b32 t, m; mov.b32 m, 0x43084308; shr.u32 t, $2, 4; lop3.b32 $0, t, 0x000F000F, m, 0x6A;"
        " shr.u32 t, $2, 12; lop3.b32 $1, t, 0x000F000F, m, 0x6A; sub.rn.bf16x2 $0, $0, m;"
        " sub.rn.bf16x2 $1, $1, m; mul.rn.bf16x2 $0, $0, $3; mul.rn.bf16x2 $1, $1, $3; }",
        "=&r,=&r,r,r,r,r,r",
        [packed, scale[1]],
        gl.bfloat16,
        True,
        4,
    )
    return _as_operand(low, LAYOUT), _as_operand(high, LAYOUT)


@gluon.jit
def _as_operand(values, LAYOUT: gl.constexpr):
    """The registers as they are: K's order tells what a thread holds of INT8 rows from what of bf16."""
    WIDTH: gl.constexpr = values.shape[1]
    turned = values.reshape([64, WIDTH // 16, 4, 2, 2]).permute([0, 1, 3, 2, 4]).reshape([64, WIDTH])
    return gl.convert_layout(turned, gl.DotOperandLayout(0, LAYOUT, 2), assert_trivial=True)


@gluon.jit
def _twice(w_scale, at, MY: gl.constexpr, OPERAND: gl.constexpr):
    """Scales of 64 rows, each bf16 twice in an int32."""
    bits = w_scale.index(at).slice(MY, 64).load(gl.SliceLayout(1, OPERAND)).to(gl.uint16, bitcast=True)
    return (bits.to(gl.int32) * 0x00010001)[:, None]


@gluon.jit
def value_sums(
    ring,
    stage,
    phase,
    MY: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
    GATHERED: gl.constexpr,
):
    """64 rows times the block's tokens, summed over K: (fp32 [64, BLOCK_M], stage, phase)."""
    w, w_scale, x, x_scale, full, empty = ring
    BYTES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 32])
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, BYTES, 4)
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 16])
    PARTS: gl.constexpr = 2 if W_SCALES == 4 else 1
    WIDTH: gl.constexpr = 64 // PARTS
    sums = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT)
    for k in range(K_TILES):
        mbarrier.wait(full.index(stage), phase)
        if GATHERED:
            # What threads have copied, for WGMMA to see.
            fence_async_shared()
        rows = w.index(stage).slice(MY, 64, 0)
        tokens = x.index(stage)
        for part in gl.static_range(PARTS):
            packed = rows.slice(part * WIDTH, WIDTH, 1).load(OPERAND)
            first = _twice(w_scale, stage * W_SCALES + part, MY, OPERAND)
            second = first
            if W_SCALES > 1:
                second = _twice(w_scale, stage * W_SCALES + PARTS + part, MY, OPERAND)
            low, high = _values(packed, (first, second), LAYOUT)
            some = tokens.slice(part * WIDTH, WIDTH, 1).permute((1, 0))
            sums = warpgroup_mma(low, some, sums, is_async=True)
            some = tokens.slice(64 + part * WIDTH, WIDTH, 1).permute((1, 0))
            sums = warpgroup_mma(high, some, sums, is_async=True)
        sums = warpgroup_mma_wait(0, [sums])
        mbarrier.arrive(empty.index(stage))
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1
    return sums, stage, phase


@gluon.jit
def as_values(act, BLOCK_M: gl.constexpr):
    """32 columns × tokens, quantized to INT8 with one scale a token: the values, columns in `VALUE_ORDER`."""
    largest = gl.max(gl.abs(act), axis=0)
    # Below 1e-36 the reciprocal would overflow; of a sixteenth it does not underflow above 8.5e37 either.
    inverse = gl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;", "=f,f", [gl.maximum(largest, 1e-36) * 0.0625], gl.float32, True, 1
    )
    inverse = inverse * (127.0 / 16.0)
    values = gl.floor(act * inverse[None, :] + 0.5) * (largest * (1.0 / 127.0))[None, :]
    # Column 4t + 2i + j of 16 goes to place 8j + 2t + i.
    return values.reshape([2, 4, 2, 2, BLOCK_M]).permute([0, 3, 1, 2, 4]).reshape([32, BLOCK_M])
