"""Device code of `quantize`: INT8 rows, SiLU·up, and unpacking of INT4."""

import triton
import triton.language as tl
from triton.language.extra import cuda

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
def codes_of(value):
    """INT8 codes and scales of `value` (rows × tiles × columns of a tile)."""
    scale, inverse = scale_of(tl.max(abs_bits(value), axis=2))
    return to_int8(value, inverse[:, :, None]), scale


@triton.jit
def load_rows(x_ptr, rows, live, cols, K: tl.constexpr):
    """bf16 values at (rows, cols): rows × the two dimensions of `cols`."""
    offsets = rows.to(tl.int64)[:, None, None] * K + cols[None, :, :]
    # Padding (columns from K on) reads as zero and is written as zero.
    return tl.load(x_ptr + offsets, mask=live[:, None, None] & (cols < K)[None, :, :], other=0.0)


@triton.jit
def values_of(codes, scale, ROWS: tl.constexpr, TILES: tl.constexpr, TILE: tl.constexpr):
    """code · scale as bf16, of each 16 columns the one at 4t + 2i + j in place 8j + 2t + i."""
    values = to_bf16(codes.to(tl.float32) * scale[:, :, None])
    sixteens = values.reshape(ROWS, TILES * TILE // 16, 4, 2, 2)
    return sixteens.permute(0, 1, 4, 2, 3).reshape(ROWS, TILES, TILE)


@triton.jit
def store_codes(codes, codes_ptr, row, live, cols, K_PADDED: tl.constexpr):
    """Codes (or values) to row `row`. Rows not live go nowhere."""
    # In the last tile, columns past the padded width belong to nobody.
    inside = live[:, None, None] & (cols < K_PADDED)[None, :, :]
    offsets = row.to(tl.int64)[:, None, None] * K_PADDED + cols[None, :, :]
    tl.store(codes_ptr + offsets, codes, mask=inside)


@triton.jit
def store_scales(scale, scales_ptr, row, live, tiles, TILES: tl.constexpr, SCALES_STRIDE):
    """Scales to column `row`. Rows not live go nowhere."""
    line = scales_ptr + tiles.to(tl.int64)[None, :] * SCALES_STRIDE
    # Tiles past the last belong to nobody.
    tl.store(line + row.to(tl.int64)[:, None], scale, mask=live[:, None] & (tiles < TILES)[None, :])


@triton.jit
def _held(counts_ptr, rows, ROWS, BLOCK_M: tl.constexpr):
    """Which of a program's rows hold something; with BLOCK_M, rows are blocks with counts."""
    if BLOCK_M:
        # A program's rows are of one block. Past the last block counts are zero.
        block = tl.min(rows, axis=0) // BLOCK_M
        return rows - block * BLOCK_M < tl.load(counts_ptr + block)
    return rows < ROWS


@triton.jit
def _quantize_rows(
    # pointers
    x_ptr,
    codes_ptr,
    scales_ptr,
    counts_ptr,
    # shape
    ROWS,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    TILES: tl.constexpr,
    BLOCK_M: tl.constexpr,
    # stride
    SCALES_STRIDE,
    # meta
    TILE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_TILES: tl.constexpr,
    VALUES: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """VALUES: bf16 values to `codes_ptr`, and no scales. With BLOCK_M, rows are blocks with counts."""
    if OVERLAP:
        cuda.gdc_wait()
        cuda.gdc_launch_dependents()
    tiles = tl.program_id(1) * BLOCK_TILES + tl.arange(0, BLOCK_TILES)
    cols = tiles[:, None] * TILE + tl.arange(0, TILE)[None, :]
    first = tl.program_id(0) * BLOCK_ROWS
    # Live blocks are in front: a program goes on until it meets one that is not.
    held = tl.load(counts_ptr + first // BLOCK_M) if BLOCK_M else ROWS
    while held > 0:
        rows = first + tl.arange(0, BLOCK_ROWS)
        # A program's rows are of one block.
        live = (rows % BLOCK_M if BLOCK_M else rows) < held
        codes, scale = codes_of(load_rows(x_ptr, rows, live, cols, K).to(tl.float32))
        if VALUES:
            values = values_of(codes, scale, BLOCK_ROWS, BLOCK_TILES, TILE)
            store_codes(values, codes_ptr, rows, live, cols, K_PADDED)
        else:
            store_codes(codes, codes_ptr, rows, live, cols, K_PADDED)
            store_scales(scale, scales_ptr, rows, live, tiles, TILES, SCALES_STRIDE)
        first += tl.num_programs(0) * BLOCK_ROWS
        held = tl.load(counts_ptr + first // BLOCK_M, mask=first < ROWS, other=0) if BLOCK_M else 0


@triton.jit
def _gated(h_ptr, rows, live, cols, INTER: tl.constexpr):
    """silu(gate) · up in fp32 at (rows, cols): rows × the two dimensions of `cols`."""
    offsets = rows.to(tl.int64)[:, None, None] * (2 * INTER) + cols[None, :, :]
    # Gate in the first INTER columns, up in the last; padding beyond INTER reads as zero.
    mask = live[:, None, None] & (cols < INTER)[None, :, :]
    gate = tl.load(h_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(h_ptr + offsets + INTER, mask=mask, other=0.0).to(tl.float32)
    return gate * (1.0 / (1.0 + tl.exp(-gate))) * up


@triton.jit
def _silu_mul_quantize(
    # pointers
    h_ptr,
    codes_ptr,
    scales_ptr,
    counts_ptr,
    # shape
    ROWS,
    INTER: tl.constexpr,
    K_PADDED: tl.constexpr,
    TILES: tl.constexpr,
    BLOCK_M: tl.constexpr,
    # stride
    SCALES_STRIDE,
    # meta
    TILE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_TILES: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    live = _held(counts_ptr, rows, ROWS, BLOCK_M)
    if BLOCK_M and tl.max(live.to(tl.int32), axis=0) == 0:
        return
    tiles = tl.program_id(1) * BLOCK_TILES + tl.arange(0, BLOCK_TILES)
    cols = tiles[:, None] * TILE + tl.arange(0, TILE)[None, :]
    codes, scale = codes_of(_gated(h_ptr, rows, live, cols, INTER))
    store_codes(codes, codes_ptr, rows, live, cols, K_PADDED)
    store_scales(scale, scales_ptr, rows, live, tiles, TILES, SCALES_STRIDE)


@triton.jit
def _silu_mul(
    # pointers
    h_ptr,
    out_ptr,
    counts_ptr,
    # shape
    ROWS,
    INTER: tl.constexpr,
    BLOCK_M: tl.constexpr,
    # meta
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    live = _held(counts_ptr, rows, ROWS, BLOCK_M)
    if BLOCK_M and tl.max(live.to(tl.int32), axis=0) == 0:
        return
    cols = (tl.program_id(1) * BLOCK_COLS + tl.arange(0, BLOCK_COLS))[None, :]
    value = _gated(h_ptr, rows, live, cols, INTER)
    offsets = rows.to(tl.int64)[:, None, None] * INTER + cols[None, :, :]
    # Columns past the end belong to nobody.
    mask = live[:, None, None] & (cols < INTER)[None, :, :]
    tl.store(out_ptr + offsets, to_bf16(value), mask=mask)
