"""Device code of `matvec_w4` for Hopper, in Gluon: `_matvec_w4`, with every layout as it is wanted.

What follows the wait for x counts, since the next launch waits for it: x is quantized once by all threads and
shared in one step, scales of weights are loaded as they will be used, and nothing else passes through shared
memory but the sums of the warps.
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
def _share(half, bits, words, scales, FACTOR: gl.constexpr):
    """Codes of half of each tile, and FACTOR times the largest magnitude for each 16 of them, for all."""
    LAYOUT: gl.constexpr = half.type.layout
    largest = bits.to(gl.float32, bitcast=True)
    # Below 1e-36 the reciprocal would overflow.
    inverse = gl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;", "=f,f", [gl.maximum(largest, 1e-36)], gl.float32, True, 1
    )
    codes = _codes(half, gl.convert_layout(_spread(inverse * 127.0, 64), LAYOUT))
    words.store(codes)
    scales.store(_spread(largest * FACTOR, 4))
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
def _places(AXIS: gl.constexpr, SIZE: gl.constexpr, LAYOUT: gl.constexpr):
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
def _half(x_ptr, first, TILES: gl.constexpr, K: gl.constexpr, LAYOUT: gl.constexpr):
    """64 columns of each tile of a row of x, fp32 [TILES, 64]; beyond K zero."""
    tile = gl.arange(0, TILES, layout=gl.SliceLayout(1, LAYOUT))
    col = gl.arange(0, 64, layout=gl.SliceLayout(0, LAYOUT))
    col = tile[:, None] * 128 + col[None, :] + first
    return gl.load(x_ptr + col, mask=col < K, other=0.0).to(gl.float32)


@gluon.jit
def _rows(block, N: gl.constexpr, ROWS: gl.constexpr, LAYOUT: gl.constexpr):
    """Rows of a block; past the end the last one again, which is not stored."""
    row = block * ROWS + _places(2, ROWS // 8, LAYOUT) * 8 + _places(0, 8, LAYOUT)
    if N % ROWS != 0:
        row = gl.minimum(row, N - 1)
    return row


@gluon.jit
def _row_scales(
    s_ptr,
    row,
    tile,
    first,
    N: gl.constexpr,
    K_PADDED: gl.constexpr,
    GROUP: gl.constexpr,
    LAYOUT: gl.constexpr,
):
    """Scale of a row in a tile for each 16 weights of half of it."""
    group = tile * (128 // GROUP) + (_places(3, 4, LAYOUT) * 16 + first) // GROUP
    return gl.load(s_ptr + group * N + row, mask=group < K_PADDED // GROUP, other=0.0)


@gluon.jit
def _matvec(
    # pointers
    x_ptr,
    w_ptr,
    w_scale_ptr,
    y_ptr,
    # shape
    TOKENS,
    N: gl.constexpr,
    K: gl.constexpr,
    K_PADDED: gl.constexpr,
    # meta
    GROUP: gl.constexpr,
    ACT_TILE: gl.constexpr,
    ROWS: gl.constexpr,
    TILES: gl.constexpr,
    WARPS: gl.constexpr,
    OVERLAP: gl.constexpr,
):
    """y[token, rows] of a block of ROWS; TILES cover all of K.

    Threads of a warp hold 8 rows side by side, 16 bytes of a tile each; warps take turns at tiles.
    """
    BOTH: gl.constexpr = ROWS // 8
    JOINT: gl.constexpr = GROUP == 128 and ACT_TILE == 128
    PIECES: gl.constexpr = 64 // ACT_TILE if ACT_TILE < 64 else 1
    WORDS: gl.constexpr = gl.BlockedLayout([1, 1, 1, 4], [8, 1, 1, 4], [1, WARPS, 1, 1], [3, 0, 1, 2])
    ONCE: gl.constexpr = gl.BlockedLayout([1, 1, 1, 1], [8, 1, 1, 4], [1, WARPS, 1, 1], [3, 0, 1, 2])
    X: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [WARPS, 1], [1, 0])
    FLAT: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [1, 0])
    low_words = gl.allocate_shared_memory(gl.int32, [TILES, 16], FLAT)
    high_words = gl.allocate_shared_memory(gl.int32, [TILES, 16], FLAT)
    offsets = gl.allocate_shared_memory(gl.int32, [TILES, 4], FLAT)
    low_scales = gl.allocate_shared_memory(gl.float32, [TILES, 4], FLAT)
    high_scales = gl.allocate_shared_memory(gl.float32, [TILES, 4], FLAT)
    token = (gl.program_id(0) % TOKENS).to(gl.int64)
    block = gl.program_id(0) // TOKENS
    row = _rows(block, N, ROWS, WORDS)
    tile = _places(1, TILES, WORDS)
    # Read once: other data should stay in the cache.
    packed = gl.load(
        w_ptr + ((tile * N + row) * 16 + _places(3, 16, WORDS)),
        mask=tile < K_PADDED // 128,
        other=0,
        eviction_policy="evict_first",
    )
    row = _rows(block, N, ROWS, ONCE)
    tile = _places(1, TILES, ONCE)
    s_low = _row_scales(w_scale_ptr, row, tile, 0, N, K_PADDED, GROUP, ONCE)
    s_high = s_low
    if GROUP < 128:
        s_high = _row_scales(w_scale_ptr, row, tile, 64, N, K_PADDED, GROUP, ONCE)
    if OVERLAP:
        # The next launch may load its weights already: it waits for this one, as this one does for the last.
        gl.inline_asm_elementwise("griddepcontrol.launch_dependents; // $0", "=r", [], gl.int32, False, 1)
        # Weights are nobody's result; x is, and y may still be read.
        gl.inline_asm_elementwise("griddepcontrol.wait; // $0", "=r", [], gl.int32, False, 1)
    low = _half(x_ptr + token * K, 0, TILES, K, X)
    high = _half(x_ptr + token * K, 64, TILES, K, X)
    low_bits = _largest(low, PIECES)
    high_bits = _largest(high, PIECES)
    if ACT_TILE == 128:
        low_bits = gl.maximum(low_bits, high_bits)
        high_bits = low_bits
    # Unpacking leaves high nibbles 16 times the weight, and low ones together with them.
    codes = _share(low, low_bits, low_words, low_scales, 1.0 / (127.0 * 16.0) if JOINT else 1.0 / 127.0)
    _share(high, high_bits, high_words, high_scales, 1.0 / (127.0 * 16.0))
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
    # In a thread, in a warp, between warps.
    y = gl.sum(y.reshape([8, TILES // WARPS, WARPS, BOTH, 4]), axis=1)
    y = gl.sum(gl.sum(y, axis=3), axis=1)
    LAYOUT: gl.constexpr = y.type.layout
    lane = gl.arange(0, 8, layout=gl.SliceLayout(1, LAYOUT))
    turn = gl.arange(0, BOTH, layout=gl.SliceLayout(0, LAYOUT))
    mine = block * ROWS + turn[None, :] * 8 + lane[:, None]
    gl.store(y_ptr + token * N + mine, y.to(gl.bfloat16), mask=mine < N)
