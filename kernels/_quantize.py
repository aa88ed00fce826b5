"""Device code of `quantize`: INT8 rows, SiLU·up, and unpacking of INT4."""

import triton
import triton.language as tl

from kernels import target

INTERPRETED = tl.constexpr(target.INTERPRETED)


@triton.jit
def abs_bits(x):
    """|x| of fp32 as int32, which orders like the float but puts NaN above infinity: a maximum keeps NaN."""
    return x.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def scale_of(bits):
    """(scale, 1 / scale) of INT8 from the maximum of `abs_bits`; NaN makes the scale NaN."""
    largest = bits.to(tl.float32, bitcast=True)
    # Below 1e-36 the reciprocal would overflow.
    return largest * (1.0 / 127.0), 127.0 / tl.maximum(largest, 1e-36)


@triton.jit
def to_int8(x, inverse):
    """Round half up. |x · inverse| is at most 127, but for the last bit of the reciprocal."""
    return tl.floor(x * inverse + 0.5).to(tl.int8)


@triton.jit
def to_bf16(x):
    """fp32 to bf16, to nearest even: by hand in the interpreter, which truncates (a bias of 0.3 %)."""
    if INTERPRETED:
        bits = x.to(tl.int32, bitcast=True)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & -65536).to(tl.float32, bitcast=True)
        x = tl.where(x == x, rounded, x)
    return x.to(tl.bfloat16)


@triton.jit
def unpack_int4(packed, PTX: tl.constexpr):
    """Both nibbles of each byte as INT8, 16 times their signed value: (low, high)."""
    if PTX:
        # Four bytes a register: two instructions for four low nibbles, one for four high ones.
        low = tl.inline_asm_elementwise(
            "{ .reg .b32 t; shl.b32 t, $1, 4; and.b32 $0, t, 0xF0F0F0F0; }",
            "=r,r",
            [packed],
            dtype=tl.int8,
            is_pure=True,
            pack=4,
        )
        high = tl.inline_asm_elementwise(
            "and.b32 $0, $1, 0xF0F0F0F0;", "=r,r", [packed], dtype=tl.int8, is_pure=True, pack=4
        )
    else:
        low = (packed << 4).to(tl.int8, bitcast=True)
        high = (packed & 0xF0).to(tl.int8, bitcast=True)
    return low, high


@triton.jit
def _store_codes(
    value,
    rows,
    tiles,
    codes_ptr,
    ROWS,
    K_PADDED: tl.constexpr,
    TILE: tl.constexpr,
):
    """Quantize `value` (rows × tiles × TILE), store the codes, return the scales (rows × tiles)."""
    scale, inverse = scale_of(tl.max(abs_bits(value), axis=2))
    codes = to_int8(value, inverse[:, :, None])
    cols = tiles[:, None] * TILE + tl.arange(0, TILE)[None, :]
    offsets = rows.to(tl.int64)[:, None, None] * K_PADDED + cols[None, :, :]
    # Rows past the end and, in the last tile, columns past the padded width belong to nobody.
    tl.store(codes_ptr + offsets, codes, mask=(rows < ROWS)[:, None, None] & (cols < K_PADDED)[None, :, :])
    return scale


@triton.jit
def _quantize_rows(
    # pointers
    x_ptr,
    codes_ptr,
    scales_ptr,
    place_ptr,
    # shape
    ROWS,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TILES: tl.constexpr,
    COPIES: tl.constexpr,
    # stride
    SCALES_STRIDE,
    # meta
    TILE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_TILES: tl.constexpr,
):
    """Scales go to the row's own column or, with COPIES, to each column that `place` lists for the row."""
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    tiles = tl.program_id(1) * BLOCK_TILES + tl.arange(0, BLOCK_TILES)
    cols = tiles[:, None] * TILE + tl.arange(0, TILE)[None, :]
    offsets = rows.to(tl.int64)[:, None, None] * K + cols[None, :, :]
    # Padding (columns from K on) reads as zero and is written as zero.
    mask = (rows < ROWS)[:, None, None] & (cols < K)[None, :, :]
    value = tl.load(x_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
    scale = _store_codes(value, rows, tiles, codes_ptr, ROWS, K_PADDED, TILE)
    line = scales_ptr + tiles.to(tl.int64)[None, :] * SCALES_STRIDE
    live = (rows < ROWS)[:, None] & (tiles < TILES)[None, :]
    if COPIES:
        for copy in tl.static_range(COPIES):
            place = tl.load(place_ptr + rows * COPIES + copy, mask=rows < ROWS, other=-1)
            # A negative place: this copy goes nowhere.
            tl.store(line + place[:, None], scale, mask=live & (place >= 0)[:, None])
    else:
        tl.store(line + rows[:, None], scale, mask=live)


@triton.jit
def _gated(h_ptr, rows, cols, ROWS, INTER: tl.constexpr):
    """silu(gate) · up in fp32 at (rows, cols): rows × the two dimensions of `cols`."""
    offsets = rows.to(tl.int64)[:, None, None] * (2 * INTER) + cols[None, :, :]
    # Gate in the first INTER columns, up in the last; padding beyond INTER reads as zero.
    mask = (rows < ROWS)[:, None, None] & (cols < INTER)[None, :, :]
    gate = tl.load(h_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(h_ptr + offsets + INTER, mask=mask, other=0.0).to(tl.float32)
    return gate * (1.0 / (1.0 + tl.exp(-gate))) * up


@triton.jit
def _silu_mul_quantize(
    # pointers
    h_ptr,
    codes_ptr,
    scales_ptr,
    # shape
    ROWS,
    INTER: tl.constexpr,
    K_PADDED: tl.constexpr,
    TILES: tl.constexpr,
    # stride
    SCALES_STRIDE,
    # meta
    TILE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_TILES: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    tiles = tl.program_id(1) * BLOCK_TILES + tl.arange(0, BLOCK_TILES)
    cols = tiles[:, None] * TILE + tl.arange(0, TILE)[None, :]
    value = _gated(h_ptr, rows, cols, ROWS, INTER)
    scale = _store_codes(value, rows, tiles, codes_ptr, ROWS, K_PADDED, TILE)
    ptrs = scales_ptr + tiles.to(tl.int64)[None, :] * SCALES_STRIDE + rows[:, None]
    # Rows and tiles past the end belong to nobody.
    tl.store(ptrs, scale, mask=(rows < ROWS)[:, None] & (tiles < TILES)[None, :])


@triton.jit
def _silu_mul(
    # pointers
    h_ptr,
    out_ptr,
    # shape
    ROWS,
    INTER: tl.constexpr,
    # meta
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    cols = (tl.program_id(1) * BLOCK_COLS + tl.arange(0, BLOCK_COLS))[None, :]
    value = _gated(h_ptr, rows, cols, ROWS, INTER)
    offsets = rows.to(tl.int64)[:, None, None] * INTER + cols[None, :, :]
    # Rows and columns past the end belong to nobody.
    mask = (rows < ROWS)[:, None, None] & (cols < INTER)[None, :, :]
    tl.store(out_ptr + offsets, to_bf16(value), mask=mask)
