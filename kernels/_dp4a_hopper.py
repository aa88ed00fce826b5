"""Device code of few rows for Hopper, in Gluon: products of INT4 weights and INT8 activations by `dp4a`.

`_decode` with every layout as it is wanted. Threads of a warp hold 8 weight rows side by side, 16 bytes of a
tile each; warps take turns at tiles; other rows of a program are in registers. Activations are quantized once
by all threads and shared in one step, scales of weights are loaded as they will be used, and nothing else
passes through shared memory but the sums of the warps.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def _codes(value, inverse):
    """INT8 codes of fp32 [TILES, 64], four to a word: int32 [TILES, 16]. `inverse` is as large as `value`."""
    TILES: gl.constexpr = value.shape[0]
    even, odd = value.reshape([TILES, 16, 2, 2]).split()
    first, third = even.split()
    second, fourth = odd.split()
    even, odd = inverse.reshape([TILES, 16, 2, 2]).split()
    inverse, _ = even.split()
    # Rounding down a sum with 1.5 · 2²³ leaves the floor in its low bits.
    return gl.inline_asm_elementwise(
        """{
        .reg .f32 a, b, c, d;
        .reg .b32 e, f, g, h;
        fma.rn.f32 a, $1, $5, 0f3F000000;
        fma.rn.f32 b, $2, $5, 0f3F000000;
        fma.rn.f32 c, $3, $5, 0f3F000000;
        fma.rn.f32 d, $4, $5, 0f3F000000;
        add.rm.f32 a, a, 0f4B400000;
        add.rm.f32 b, b, 0f4B400000;
        add.rm.f32 c, c, 0f4B400000;
        add.rm.f32 d, d, 0f4B400000;
        mov.b32 e, a;
        mov.b32 f, b;
        mov.b32 g, c;
        mov.b32 h, d;
        prmt.b32 e, e, f, 0x0040;
        prmt.b32 g, g, h, 0x0040;
        prmt.b32 $0, e, g, 0x5410;
        }""",
        "=r,f,f,f,f,f",
        [first, second, third, fourth, inverse],
        gl.int32,
        True,
        1,
    )


@gluon.jit
def _largest(value, PIECES: gl.constexpr):
    """The largest magnitudes of PIECES of each row of fp32 [TILES, 64], as bits, which order NaN last."""
    bits = value.to(gl.int32, bitcast=True) & 0x7FFFFFFF
    return gl.max(bits.reshape([value.shape[0], PIECES, 64 // PIECES]), axis=2)


@gluon.jit
def _spread(piece, COLS: gl.constexpr):
    """[TILES, PIECES] as [TILES, COLS]."""
    TILES: gl.constexpr = piece.shape[0]
    EACH: gl.constexpr = COLS // piece.shape[1]
    PARENT: gl.constexpr = piece.type.layout.parent
    wide = gl.expand_dims(piece, 2) + gl.zeros([TILES, piece.shape[1], EACH], piece.dtype, PARENT)
    return wide.reshape([TILES, COLS])


@gluon.jit
def _share(half, bits, words, scales, factor, FACTORS: gl.constexpr, UNIT: gl.constexpr):
    """Codes of half of each tile, and the largest magnitude · factor · UNIT for each 16, for all."""
    LAYOUT: gl.constexpr = half.type.layout
    largest = bits.to(gl.float32, bitcast=True)
    # Below 1e-36 the reciprocal would overflow; of a sixteenth it does not underflow above 8.5e37 either.
    inverse = gl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;", "=f,f", [gl.maximum(largest, 1e-36) * 0.0625], gl.float32, True, 1
    )
    codes = _codes(half, gl.convert_layout(_spread(inverse * (127.0 / 16.0), 64), LAYOUT))
    words.store(codes)
    # Infinity has no code: not a number.
    scale = largest * UNIT + largest * 0.0
    if FACTORS:
        scale *= gl.convert_layout(factor, gl.SliceLayout(1, largest.type.layout))[:, None]
    scales.store(_spread(scale, 4))
    return codes


@gluon.jit
def _share_offsets(codes, offsets):
    """-8 · Σ of each 16 codes: what unpacked low nibbles are too large by, summed."""
    eights = gl.full_like(codes, -0x07070708)  # -8 in each byte
    some = gl.inline_asm_elementwise(
        "dp4a.s32.s32 $0, $1, $2, 0;", "=r,r,r", [codes, eights], gl.int32, True, 1
    )
    offsets.store(gl.sum(some.reshape([codes.shape[0], 4, 4]), axis=2))


@gluon.jit
def _dots(packed, x_low, x_high, offset, JOINT: gl.constexpr):
    """(Σ of low nibbles · code, 16 · Σ of high ones) over 4 words, and three zeros, or 16 · both in one."""
    if JOINT:
        both = gl.inline_asm_elementwise(
            """{
            .reg .b32 a, s;
            lop3.b32 a, $4, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $8, $16;
            lop3.b32 a, $5, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $9, s;
            lop3.b32 a, $6, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $10, s;
            lop3.b32 a, $7, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $11, s;
            shl.b32 s, s, 4;
            and.b32 a, $4, 0xF0F0F0F0; dp4a.s32.s32 s, a, $12, s;
            and.b32 a, $5, 0xF0F0F0F0; dp4a.s32.s32 s, a, $13, s;
            and.b32 a, $6, 0xF0F0F0F0; dp4a.s32.s32 s, a, $14, s;
            and.b32 a, $7, 0xF0F0F0F0; dp4a.s32.s32 $0, a, $15, s;
            mov.b32 $1, 0; mov.b32 $2, 0; mov.b32 $3, 0;
            }""",
            "=r,=r,=r,=r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
            [packed, x_low, x_high, offset],
            gl.int32,
            True,
            4,
        )
        return both, both
    else:
        low = gl.inline_asm_elementwise(
            """{
            .reg .b32 a, s;
            lop3.b32 a, $4, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $8, $12;
            lop3.b32 a, $5, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $9, s;
            lop3.b32 a, $6, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 s, a, $10, s;
            lop3.b32 a, $7, 0x08080808, 0x0F0F0F0F, 0x28; dp4a.u32.s32 $0, a, $11, s;
            mov.b32 $1, 0; mov.b32 $2, 0; mov.b32 $3, 0;
            }""",
            "=r,=r,=r,=r,r,r,r,r,r,r,r,r,r,r,r,r",
            [packed, x_low, offset],
            gl.int32,
            True,
            4,
        )
        high = gl.inline_asm_elementwise(
            """{
            .reg .b32 a, s;
            and.b32 a, $4, 0xF0F0F0F0; dp4a.s32.s32 s, a, $8, 0;
            and.b32 a, $5, 0xF0F0F0F0; dp4a.s32.s32 s, a, $9, s;
            and.b32 a, $6, 0xF0F0F0F0; dp4a.s32.s32 s, a, $10, s;
            and.b32 a, $7, 0xF0F0F0F0; dp4a.s32.s32 $0, a, $11, s;
            mov.b32 $1, 0; mov.b32 $2, 0; mov.b32 $3, 0;
            }""",
            "=r,=r,=r,=r,r,r,r,r,r,r,r,r",
            [packed, x_high],
            gl.int32,
            True,
            4,
        )
        return low, high


@gluon.jit
def _in_threads(dot, LAYOUT: gl.constexpr):
    """Sums over the words of a thread, fp32."""
    LANES: gl.constexpr = dot.shape[0]
    some = gl.sum(dot.reshape([LANES, dot.shape[1], dot.shape[2], 4, 4]), axis=4)
    return gl.convert_layout(some, LAYOUT, assert_trivial=True).to(gl.float32)


@gluon.jit
def _offsets_of_words(offsets, BOTH: gl.constexpr, WARPS: gl.constexpr, WORDS: gl.constexpr):
    """int32 [8, TILES, BOTH, 16] of [TILES, 4], without a copy in registers."""
    TILES: gl.constexpr = offsets.shape[0]
    DEEP: gl.constexpr = gl.BlockedLayout(
        [1, 1, 1, 1, 4], [8, 1, 1, 4, 1], [1, WARPS, 1, 1, 1], [4, 3, 0, 1, 2]
    )
    offset = offsets.load(gl.SliceLayout(0, gl.SliceLayout(2, gl.SliceLayout(4, DEEP))))
    offset = offset[None, :, None, :, None] + gl.zeros([8, TILES, BOTH, 4, 4], gl.int32, DEEP)
    return gl.convert_layout(offset.reshape([8, TILES, BOTH, 16]), WORDS, assert_trivial=True)


@gluon.jit
def places(AXIS: gl.constexpr, SIZE: gl.constexpr, LAYOUT: gl.constexpr):
    """0, 1, 2, … along one of four axes."""
    if AXIS == 0:
        i = gl.arange(0, SIZE, layout=gl.SliceLayout(1, gl.SliceLayout(2, gl.SliceLayout(3, LAYOUT))))
        return i[:, None, None, None]
    elif AXIS == 1:
        i = gl.arange(0, SIZE, layout=gl.SliceLayout(0, gl.SliceLayout(2, gl.SliceLayout(3, LAYOUT))))
        return i[None, :, None, None]
    elif AXIS == 2:
        i = gl.arange(0, SIZE, layout=gl.SliceLayout(0, gl.SliceLayout(1, gl.SliceLayout(3, LAYOUT))))
        return i[None, None, :, None]
    else:
        i = gl.arange(0, SIZE, layout=gl.SliceLayout(0, gl.SliceLayout(1, gl.SliceLayout(2, LAYOUT))))
        return i[None, None, None, :]


@gluon.jit
def row_scales(
    s_ptr,
    row,
    tile,
    first,
    N: gl.constexpr,
    K_PADDED: gl.constexpr,
    GROUP: gl.constexpr,
    LAYOUT: gl.constexpr,
    live=True,
):
    """Scale of a row in a tile for each 16 weights of half of it; zero of what is not live."""
    group = tile * (128 // GROUP) + (places(3, 4, LAYOUT) * 16 + first) // GROUP
    return gl.load(s_ptr + group * N + row, mask=live & (group < K_PADDED // GROUP), other=0.0)


@gluon.jit
def half_of(x_ptr, first, TILES: gl.constexpr, K: gl.constexpr, LAYOUT: gl.constexpr):
    """64 columns of each tile of a row of x, fp32 [TILES, 64]; beyond K zero."""
    tile = gl.arange(0, TILES, layout=gl.SliceLayout(1, LAYOUT))
    col = gl.arange(0, 64, layout=gl.SliceLayout(0, LAYOUT))
    col = tile[:, None] * 128 + col[None, :] + first
    return gl.load(x_ptr + col, mask=col < K, other=0.0).to(gl.float32)


@gluon.jit
def sums(
    packed,
    s_low,
    s_high,
    low,
    high,
    factor,
    FACTORS: gl.constexpr,
    GROUP: gl.constexpr,
    ACT_TILE: gl.constexpr,
    WORDS: gl.constexpr,
    ONCE: gl.constexpr,
):
    """Of each warp: Σ over its tiles of weight · scale · activation · factor, fp32 [8, WARPS, rows / 8].

    Args:
        packed: int32 words [8, TILES, rows / 8, 16] in the layout `WORDS`.
        s_low, s_high: what `row_scales` returns of both halves, in the layout `ONCE`.
        low, high: both halves of the activations' tiles, fp32 [TILES, 64].
        factor: fp32 [TILES] in the layout of the activations' tiles; without FACTORS it is 1 and not read.
    """
    TILES: gl.constexpr = packed.shape[1]
    BOTH: gl.constexpr = packed.shape[2]
    WARPS: gl.constexpr = WORDS.warps_per_cta[1]
    JOINT: gl.constexpr = GROUP == 128 and ACT_TILE == 128
    PIECES: gl.constexpr = 64 // ACT_TILE if ACT_TILE < 64 else 1
    FLAT: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [1, 0])
    low_words = gl.allocate_shared_memory(gl.int32, [TILES, 16], FLAT)
    high_words = gl.allocate_shared_memory(gl.int32, [TILES, 16], FLAT)
    offsets = gl.allocate_shared_memory(gl.int32, [TILES, 4], FLAT)
    low_scales = gl.allocate_shared_memory(gl.float32, [TILES, 4], FLAT)
    high_scales = gl.allocate_shared_memory(gl.float32, [TILES, 4], FLAT)
    low_bits = _largest(low, PIECES)
    high_bits = _largest(high, PIECES)
    if ACT_TILE == 128:
        low_bits = gl.maximum(low_bits, high_bits)
        high_bits = low_bits
    # Unpacking leaves high nibbles 16 times the weight, and low ones together with them.
    UNIT: gl.constexpr = 1.0 / (127.0 * 16.0) if JOINT else 1.0 / 127.0
    codes = _share(low, low_bits, low_words, low_scales, factor, FACTORS, UNIT)
    _share(high, high_bits, high_words, high_scales, factor, FACTORS, 1.0 / (127.0 * 16.0))
    _share_offsets(codes, offsets)
    OF_WORDS: gl.constexpr = gl.SliceLayout(0, gl.SliceLayout(2, WORDS))
    OF_ONCE: gl.constexpr = gl.SliceLayout(0, gl.SliceLayout(2, ONCE))
    x_low = low_words.load(OF_WORDS)[None, :, None, :] + gl.zeros([8, TILES, BOTH, 16], gl.int32, WORDS)
    x_high = high_words.load(OF_WORDS)[None, :, None, :] + gl.zeros([8, TILES, BOTH, 16], gl.int32, WORDS)
    xs_low = low_scales.load(OF_ONCE)[None, :, None, :]
    offset = _offsets_of_words(offsets, BOTH, WARPS, WORDS)
    low_dot, high_dot = _dots(packed, x_low, x_high, offset, JOINT)
    y = _in_threads(low_dot, ONCE) * (s_low.to(gl.float32) * xs_low)
    if not JOINT:
        xs_high = high_scales.load(OF_ONCE)[None, :, None, :]
        y += _in_threads(high_dot, ONCE) * (s_high.to(gl.float32) * xs_high)
    # In a thread, then in a warp.
    y = gl.sum(y.reshape([8, TILES // WARPS, WARPS, BOTH, 4]), axis=1)
    return gl.sum(y, axis=3)
