"""Device code of `dequant_gemm`: INT4 weights as bf16."""

import triton
import triton.language as tl

from kernels._quantize import to_bf16


@triton.jit
def _dequantize(
    # pointers
    packed_ptr,
    scales_ptr,
    out_ptr,
    # shape
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    # meta
    BLOCK_N: tl.constexpr,
):
    """128 columns of a block of rows: low nibbles are the first 64 columns, high ones the last."""
    rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    tile = tl.program_id(1)
    # Half a tile as rows × groups × columns of a group: each scale is loaded once, whatever the group.
    CHUNK: tl.constexpr = min(GROUP, 64)
    chunks = tl.arange(0, 64 // CHUNK)
    cols = chunks[:, None] * CHUNK + tl.arange(0, CHUNK)[None, :]
    live = rows < N
    packed_rows = packed_ptr + (tile.to(tl.int64) * N + rows)[:, None, None] * 64
    packed = tl.load(packed_rows + cols[None, :, :], mask=live[:, None, None], other=0).to(tl.int32)
    for half in tl.static_range(2):
        # Both halves of a tile of one group have the same scale.
        group = (tile * 128 + half * 64 + chunks * CHUNK) // GROUP
        offsets = group.to(tl.int64)[None, :] * N + rows[:, None]
        scale = tl.load(scales_ptr + offsets, mask=live[:, None], other=0.0).to(tl.float32)
        # A nibble in the last bits of 2²³ is 2²³ + nibble; with its sign bit turned, the signed value is a
        # difference away. That is cheaper than a conversion, and a high nibble need not be shifted.
        unit = 1 + 15 * half
        bits = (packed & (15 * unit)) ^ (0x4B000000 | (8 * unit))
        code = bits.to(tl.float32, bitcast=True) - (8388608.0 + 8 * unit)
        value = to_bf16(code * (scale * (1.0 / unit))[:, :, None])
        col = tile * 128 + half * 64 + cols
        # Rows past the end belong to nobody, columns from K on are padding.
        mask = live[:, None, None] & (col < K)[None, :, :]
        tl.store(out_ptr + rows.to(tl.int64)[:, None, None] * K + col[None, :, :], value, mask=mask)
