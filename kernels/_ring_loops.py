"""Device code of `_ring`: the K-loops of a warp group, which differ in how sums of integers are scaled."""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)


@gluon.jit
def _unpack(packed):
    """Both nibbles of each byte as INT8, 16 times their signed value: (low, high)."""
    low = gl.inline_asm_elementwise(
        "{ .reg .b32 t; shl.b32 t, $1, 4; and.b32 $0, t, 0xF0F0F0F0; }", "=r,r", [packed], gl.int8, True, 4
    )
    high = gl.inline_asm_elementwise("and.b32 $0, $1, 0xF0F0F0F0;", "=r,r", [packed], gl.int8, True, 4)
    return low, high


@gluon.jit
def _dot(low, high, x, acc, HALF: gl.constexpr, AT: gl.constexpr, WIDTH: gl.constexpr, GO_ON: gl.constexpr):
    """Starts the rows times the block's tokens: over both halves of the K-tile (HALF 2), or part of one."""
    if HALF == 2:
        dot = warpgroup_mma(low, x.slice(0, 64, 1).permute((1, 0)), acc, use_acc=GO_ON, is_async=True)
        return warpgroup_mma(high, x.slice(64, 64, 1).permute((1, 0)), dot, use_acc=True, is_async=True)
    else:
        some = x.slice(64 * HALF + AT, WIDTH, 1).permute((1, 0))
        if HALF == 0:
            return warpgroup_mma(low, some, acc, use_acc=GO_ON, is_async=True)
        else:
            return warpgroup_mma(high, some, acc, use_acc=GO_ON, is_async=True)


@gluon.jit
def _row_scale(w_scale, at, MY: gl.constexpr, LAYOUT: gl.constexpr):
    return w_scale.index(at).slice(MY, 64).load(gl.SliceLayout(1, LAYOUT)).to(gl.float32)[:, None]


@gluon.jit
def _by_groups(
    rows,
    w_scale,
    x,
    stage,
    MY: gl.constexpr,
    W_SCALES: gl.constexpr,
    PARTS: gl.constexpr,
    BLOCK_M: gl.constexpr,
    LAYOUT: gl.constexpr,
):
    """Σ over the groups of a K-tile of scale · dot, without converting or resetting a dot.

    The dots run on, D₁ = d₁, D₂ = d₁ + d₂ …, and Σ sᵢ · dᵢ = Σ Dᵢ · (sᵢ - sᵢ₊₁). They start at the bits of
    1.5 · 2²³, to which an integer below 2²² adds as a mantissa: read as a float, each is M + Dᵢ, and of all
    the M only M · s₁ is left to be taken off. That is rounded, too, to 2⁻²⁴ of
    M · the largest scale: 0.002 % of a sum where scales are alike, 0.24 % where a group whose scale is 100
    times the others' has no part.
    """
    WIDTH: gl.constexpr = 64 // PARTS
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, LAYOUT, 4)
    dot = gl.full([64, BLOCK_M], 0x4B400000, gl.int32, LAYOUT)
    scale = _row_scale(w_scale, stage * W_SCALES, MY, LAYOUT)
    some = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT) - 12582912.0 * scale
    for part in gl.static_range(PARTS):
        low, high = _unpack(rows.slice(part * WIDTH, WIDTH, 1).load(OPERAND))
        for half in gl.static_range(2):
            begun = _dot(low, high, x, dot, half, part * WIDTH, WIDTH, True)
            if half == 0:
                after = _row_scale(w_scale, stage * W_SCALES + PARTS + part, MY, LAYOUT)
            elif part + 1 < PARTS:
                after = _row_scale(w_scale, stage * W_SCALES + part + 1, MY, LAYOUT)
            else:
                after = scale * 0.0
            dot = warpgroup_mma_wait(0, [begun])
            some += dot.to(gl.float32, bitcast=True) * (scale - after)
            # Before the dots run on: else each would be copied.
            some = gl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [some], gl.float32, False, 1)
            scale = after
    return some


@gluon.jit
def sums(
    ring,
    stage,
    phase,
    MY: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    X_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
):
    """64 rows times the block's tokens, summed over K: (fp32 [64, BLOCK_M], stage, phase)."""
    w, w_scale, x, x_scale, full, empty = ring
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 32])
    OF_ROW: gl.constexpr = gl.SliceLayout(1, LAYOUT)
    OF_TOKEN: gl.constexpr = gl.SliceLayout(0, LAYOUT)
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, LAYOUT, 4)
    PIECES: gl.constexpr = W_SCALES if W_SCALES > X_SCALES else X_SCALES
    # A byte holds both halves of a K-tile: parts of the bytes, and dots of each part.
    DOTS: gl.constexpr = 1 if PIECES == 1 else 2
    PARTS: gl.constexpr = PIECES // DOTS
    WIDTH: gl.constexpr = 64 // PARTS
    acc = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT)
    none = gl.zeros([64, BLOCK_M], gl.int32, LAYOUT)
    for k in range(K_TILES):
        mbarrier.wait(full.index(stage), phase)
        rows = w.index(stage).slice(MY, 64, 0)
        if X_SCALES < W_SCALES:
            scale = x_scale.index(stage).slice(0, BLOCK_M).load(OF_TOKEN)[None, :]
            some = _by_groups(rows, w_scale, x.index(stage), stage, MY, W_SCALES, PARTS, BLOCK_M, LAYOUT)
            acc += some * scale
        else:
            for part in gl.static_range(PARTS):
                low, high = _unpack(rows.slice(part * WIDTH, WIDTH, 1).load(OPERAND))
                for half in gl.static_range(DOTS):
                    dot = _dot(
                        low, high, x.index(stage), none, 2 if DOTS == 1 else half, part * WIDTH, WIDTH, False
                    )
                    at = stage * W_SCALES + (half * PARTS + part) * W_SCALES // PIECES
                    row_scale = w_scale.index(at).slice(MY, 64).load(OF_ROW).to(gl.float32)[:, None]
                    at = stage * X_SCALES + (half * PARTS + part) * X_SCALES // PIECES
                    scale = x_scale.index(at).slice(0, BLOCK_M).load(OF_TOKEN)[None, :]
                    if W_SCALES < X_SCALES:
                        # A row has one scale for all pieces: its products with each would be kept, and spill.
                        acc += warpgroup_mma_wait(0, [dot]).to(gl.float32) * row_scale * scale
                    else:
                        scale = row_scale * scale
                        acc += warpgroup_mma_wait(0, [dot]).to(gl.float32) * scale
        mbarrier.arrive(empty.index(stage))
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1
    # Unpacking leaves 16 times the weight.
    return acc * 0.0625, stage, phase


@gluon.jit
def pair_sums(
    ring,
    stage,
    phase,
    MY: gl.constexpr,
    K_TILES: gl.constexpr,
    W_SCALES: gl.constexpr,
    X_SCALES: gl.constexpr,
    BLOCK_M: gl.constexpr,
    STAGES: gl.constexpr,
):
    """Two fragments of 64 rows by one warp group, (a, b, stage, phase): they share the scales of tokens.

    While the sums of one are scaled, the tensor cores work on the other.
    """
    w, w_scale, x, x_scale, full, empty = ring
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_M, 32])
    OF_TOKEN: gl.constexpr = gl.SliceLayout(0, LAYOUT)
    OPERAND: gl.constexpr = gl.DotOperandLayout(0, LAYOUT, 4)
    PIECES: gl.constexpr = W_SCALES if W_SCALES > X_SCALES else X_SCALES
    DOTS: gl.constexpr = 1 if PIECES == 1 else 2
    PARTS: gl.constexpr = PIECES // DOTS
    WIDTH: gl.constexpr = 64 // PARTS
    a = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT)
    b = gl.zeros([64, BLOCK_M], gl.float32, LAYOUT)
    none = gl.zeros([64, BLOCK_M], gl.int32, LAYOUT)
    for k in range(K_TILES):
        mbarrier.wait(full.index(stage), phase)
        upper = w.index(stage).slice(MY, 64, 0)
        lower = w.index(stage).slice(MY + 64, 64, 0)
        tokens = x.index(stage)
        for part in gl.static_range(PARTS):
            a_low, a_high = _unpack(upper.slice(part * WIDTH, WIDTH, 1).load(OPERAND))
            b_low, b_high = _unpack(lower.slice(part * WIDTH, WIDTH, 1).load(OPERAND))
            for half in gl.static_range(DOTS):
                at = stage * X_SCALES + (half * PARTS + part) * X_SCALES // PIECES
                scale = x_scale.index(at).slice(0, BLOCK_M).load(OF_TOKEN)[None, :]
                at = stage * W_SCALES + (half * PARTS + part) * W_SCALES // PIECES
                a_scale = _row_scale(w_scale, at, MY, LAYOUT)
                b_scale = _row_scale(w_scale, at, MY + 64, LAYOUT)
                a_dot = _dot(
                    a_low, a_high, tokens, none, 2 if DOTS == 1 else half, part * WIDTH, WIDTH, False
                )
                b_dot = _dot(
                    b_low, b_high, tokens, none, 2 if DOTS == 1 else half, part * WIDTH, WIDTH, False
                )
                a += warpgroup_mma_wait(3 - DOTS, [a_dot]).to(gl.float32) * (a_scale * scale)
                b += warpgroup_mma_wait(0, [b_dot]).to(gl.float32) * (b_scale * scale)
        mbarrier.arrive(empty.index(stage))
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1
    return a * 0.0625, b * 0.0625, stage, phase
