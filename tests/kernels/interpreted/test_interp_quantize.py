"""Quantization of rows against its plain-torch twin."""

from __future__ import annotations

import pytest
import torch
from stand_in import poisoned, rms_error

from kernels import reference
from kernels.quantize import quantize_rows, quantized_values, silu_mul, silu_mul_quantize


@pytest.mark.parametrize("act_tile", [32, 128])
@pytest.mark.parametrize(("k", "padded"), [(96, 128), (256, None), (2880, 2944)])
def test_quantize_rows(act_tile: int, k: int, padded: int | None) -> None:
    x = torch.randn(5, k).bfloat16()
    x[2] = 0
    with poisoned():
        codes, scales = quantize_rows(x, act_tile, padded)
    want_codes, want_scales = reference.quantize_rows(x, act_tile, padded)
    assert torch.equal(codes, want_codes)
    assert torch.equal(scales, want_scales)


@pytest.mark.parametrize("act_tile", [32, 128])
@pytest.mark.parametrize(("k", "padded"), [(96, 128), (256, None), (2880, 2944)])
def test_values_are_codes_times_scales(act_tile: int, k: int, padded: int | None) -> None:
    x = torch.randn(5, k).bfloat16()
    x[2] = 0
    with poisoned():
        values = quantized_values(x, act_tile, padded)
    assert torch.equal(values, reference.quantized_values(x, act_tile, padded))
    rows = reference.columns_in_order(values)[:, :k]
    assert rms_error(rows, x.float()) < 0.01
    # Each column is where it was.
    assert ((rows - x.float()).abs() <= x.float().abs().amax(1, keepdim=True) / 120).all()


def test_nan_is_not_lost() -> None:
    x = torch.randn(2, 64).bfloat16()
    x[1, 40] = float("nan")
    _, scales = quantize_rows(x, 32)
    assert scales.isnan().tolist() == [[False, False], [False, True]]
    assert quantized_values(x, 32).isnan().view(2, 2, 32).all(2).tolist() == scales.isnan().T.tolist()


@pytest.mark.parametrize("act_tile", [32, 128])
def test_silu_mul_quantize(act_tile: int) -> None:
    hidden = torch.randn(70, 2 * 96).bfloat16()
    with poisoned():
        codes, scales = silu_mul_quantize(hidden, act_tile, 128)
    want_codes, want_scales = reference.silu_mul_quantize(hidden, act_tile, 128)
    assert (codes.int() - want_codes.int()).abs().max() <= 1
    torch.testing.assert_close(scales, want_scales)
    assert rms_error(silu_mul(hidden), reference.silu_mul(hidden)) < 3e-3


def test_rows_that_do_not_count_are_left_alone() -> None:
    counts = torch.tensor([16, 3, 0, 1, 0], dtype=torch.int32)
    held = (torch.arange(16) < counts[:, None]).flatten()
    x = torch.where(held[:, None], torch.randn(80, 128), float("nan")).bfloat16()
    with poisoned():
        outs = [quantize_rows(x, 32, counts=counts), silu_mul_quantize(x, 32, counts=counts)]
        values = quantized_values(x, 32, counts=counts)
        gated = silu_mul(x, counts=counts)
    wants = [reference.quantize_rows(x[held], 32), reference.silu_mul_quantize(x[held], 32)]
    for (codes, scales), (want_codes, want_scales) in zip(outs, wants, strict=True):
        assert (codes[held].int() - want_codes.int()).abs().max() <= 1
        torch.testing.assert_close(scales[:, held], want_scales)
        assert (codes[~held] == 127).all()
        assert scales[:, ~held].isnan().all()
    assert torch.equal(values[held], reference.quantized_values(x[held], 32))
    assert values[~held].isnan().all()
    assert rms_error(gated[held], reference.silu_mul(x[held])) < 3e-3
    assert gated[~held].isnan().all()


def test_counts_that_do_not_fit_are_refused() -> None:
    x = torch.randn(10, 64).bfloat16()
    with pytest.raises(ValueError, match="10 rows are no whole number of rows each"):
        quantize_rows(x, 32, counts=torch.ones(3, dtype=torch.int32))
