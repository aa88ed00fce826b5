"""The correctness gate on real tensors."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch

from perfsuite.model import Result, Status
from perfsuite.plugin.gate import check, compare, output_hash, poisoned_allocations
from perfsuite.plugin.spec import Spec
from perfsuite.stats.accuracy import less_accurate


def spec(function, tolerance: float = 1e-3, **more) -> Spec:  # type: ignore[no-untyped-def]
    def inputs(seed: int) -> tuple[torch.Tensor]:
        torch.manual_seed(seed)
        return (torch.randn(64),)

    return Spec(function, inputs, lambda x: x * 2, tolerance, **more)


def test_right_passes_with_its_errors() -> None:
    gate = check(spec(lambda x: (x * 2).to(torch.bfloat16), 0.01), "cpu")
    assert gate.passed
    assert gate.error_rms is not None
    assert 1e-4 < gate.error_rms < 0.01
    assert gate.error_max is not None


def test_wrong_scale_is_incorrect_and_says_by_how_much() -> None:
    gate = check(spec(lambda x: x * 2.2), "cpu")
    assert not gate.passed
    assert "10.000%" in gate.message


def test_one_wrong_group_shows_in_the_maximum() -> None:
    def one_off(x: torch.Tensor) -> torch.Tensor:
        out = x * 2
        out[3] += 1
        return out

    gate = check(spec(one_off, 0.5), "cpu")
    assert gate.passed
    assert gate.error_max is not None
    assert gate.error_rms is not None
    assert gate.error_max > gate.error_rms


def test_what_is_never_written_is_poisoned() -> None:
    def half(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        out[:32] = x[:32] * 2
        return out

    gate = check(spec(half, 0.9), "cpu")
    assert not gate.passed
    assert "32 of 64" in gate.message


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_never_pass(bad: float) -> None:
    truth = torch.ones(4)
    got = truth.clone()
    got[1] = bad
    assert not compare(got, truth, 0.99).passed


def test_nan_in_the_reference_never_passes() -> None:
    assert not compare(torch.ones(4), torch.tensor([1.0, math.nan, 1.0, 1.0]), 0.99).passed


@pytest.mark.parametrize(
    ("got", "want", "word"),
    [
        (None, torch.ones(2), "nothing to compare"),
        (torch.ones(2), (torch.ones(2), torch.ones(2)), "1 outputs where the reference has 2"),
        (torch.ones(2, 3), torch.ones(3, 2), "shape (2, 3)"),
    ],
)
def test_wrong_forms_are_named(got: object, want: object, word: str) -> None:
    gate = compare(got, want, 0.1)
    assert not gate.passed
    assert word in gate.message


def test_an_op_that_writes_into_its_inputs_is_compared_with_fresh_ones() -> None:
    assert check(spec(lambda x: x.mul_(2)), "cpu").passed


def test_zero_reference() -> None:
    assert compare(torch.zeros(3), torch.zeros(3), 0.0).passed
    assert not compare(torch.full((3,), 0.1), torch.zeros(3), 0.01).passed


def test_inputs_that_forget_their_seed_are_the_same_for_op_and_reference() -> None:
    forgetful = Spec(lambda x: x * 2, lambda _: (torch.randn(64),), lambda x: x * 2, 1e-6)
    assert check(forgetful, "cpu").passed


def test_complex_numbers_are_compared_with_their_imaginary_part() -> None:
    truth = torch.complex(torch.ones(3), torch.ones(3))
    assert compare(truth.clone(), truth, 0.0).passed
    assert not compare(truth.conj(), truth, 0.5).passed


def test_whole_numbers_are_compared_exactly() -> None:
    truth = torch.tensor([2**60])
    assert compare(truth.clone(), truth, 0.0).passed
    assert not compare(truth + 1, truth, 0.0).passed


def test_large_doubles_are_compared_as_doubles() -> None:
    truth = torch.tensor([1e300, 2e300], dtype=torch.float64)
    assert compare(truth.clone(), truth, 0.0).passed
    assert not compare(truth * 1.1, truth, 0.05).passed


def test_nothing_to_compare_never_passes() -> None:
    assert "no elements" in compare(torch.ones(0), torch.ones(0), 0.1).message


def test_poison_fills_floats_and_integers() -> None:
    with poisoned_allocations():
        floats, integers = torch.empty(3), torch.ones(3, dtype=torch.int8).new_empty(2)
    assert floats.isnan().all()
    assert integers.eq(127).all()


def test_hash_is_of_the_bits() -> None:
    ones = torch.ones(4, dtype=torch.bfloat16)
    assert output_hash(ones) == output_hash(ones.clone())
    assert output_hash(ones) != output_hash(ones + 0.0078125)
    assert check(spec(lambda x: x * 2, hash_output=True), "cpu").output_hash


def test_parts_add_up_to_the_whole_error() -> None:
    truth = torch.randn(7, 300)
    gate = compare(truth + 0.01 * torch.randn_like(truth), truth, 0.1)
    assert len(gate.error_parts) == 16 and gate.error_rms is not None
    mean_square = sum(part * part for part in gate.error_parts) / 16
    # Parts differ by one value in size.
    assert math.sqrt(mean_square) == pytest.approx(gate.error_rms, rel=0.01)


def test_parts_are_relative_to_the_whole_reference() -> None:
    truth = torch.cat([torch.zeros(1024), torch.ones(1024)])
    got = truth.clone()
    got[0] = 0.1
    parts = compare(got, truth, 0.9).error_parts
    assert all(map(math.isfinite, parts)) and parts[0] > 0 and not any(parts[1:])
    assert compare(truth, truth, 0.0).error_parts == (0.0,) * 16


@pytest.mark.parametrize(("values", "parts"), [(100, 0), (128, 2), (640, 10), (5000, 16)])
def test_small_outputs_have_fewer_parts_or_none(values: int, parts: int) -> None:
    truth = torch.ones(values)
    assert len(compare(truth * 1.01, truth, 0.1).error_parts) == parts


def test_a_loss_in_any_output_shows_in_the_parts_and_a_red_gate_has_none() -> None:
    truth = (torch.randn(2048), torch.randn(2048), torch.randn(3))
    good = compare((truth[0] * 1.001, truth[1], truth[2]), truth, 0.1).error_parts
    worse = compare((truth[0] * 1.001, truth[1] * 1.01, truth[2]), truth, 0.1).error_parts
    assert len(good) == len(worse) == 16
    assert all(after > 2 * before for before, after in zip(good, worse, strict=True))
    assert compare((truth[0] * 2, truth[1], truth[2]), truth, 0.1).error_parts == ()


def quantized_product(x: torch.Tensor, w: torch.Tensor, tile: int, order: list[int]) -> torch.Tensor:
    """x · wᵀ with INT8 activations, tile by tile in that order."""
    tiles = x.view(x.shape[0], -1, tile)
    scale = tiles.abs().amax(-1, keepdim=True) / 127
    whole = (tiles / scale).round()
    products = torch.einsum("mtk,ntk->tmn", whole, w.view(w.shape[0], -1, tile)) * scale.permute(1, 0, 2)
    out = torch.zeros_like(products[0])
    for index in order:
        out = out + products[index]
    return out.bfloat16()


def test_another_order_of_summation_is_no_loss_and_a_coarser_tile_is() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(8, 1024).bfloat16().float(), torch.randint(-8, 8, (256, 1024)).float()
    truth = x.double() @ w.double().T

    def measured(tile: int, order: list[int]) -> Result:
        gate = compare(quantized_product(x, w, tile, order), truth, 0.02)
        assert gate.passed
        blank = Result("c", "v", "f", {}, "cpu", Status.OK, error_rms=gate.error_rms, tolerance=0.02)
        return replace(blank, error_parts=gate.error_parts)

    base = measured(32, list(range(32)))
    for seed in range(4):
        reordered = measured(32, random.Random(seed).sample(range(32), 32))
        assert not less_accurate(base, reordered) and not less_accurate(reordered, base)
    coarse = measured(128, list(range(8)))
    assert coarse.error_rms is not None and base.error_rms is not None
    assert coarse.error_rms < 1.5 * base.error_rms, "a plain factor would not see it"
    assert less_accurate(base, coarse) and not less_accurate(coarse, base)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"tolerance": 2.0}, ValueError),
        ({"rotate": 0}, ValueError),
        ({"inputs": 3}, TypeError),
        ({"small": 1}, TypeError),
    ],
)
def test_a_wrong_specification_is_refused_by_name(change: dict[str, object], error: type[Exception]) -> None:
    arguments = {"function": abs, "inputs": abs, "reference": abs, "tolerance": 0.1, **change}
    with pytest.raises(error, match=next(iter(change))):
        Spec(**arguments)  # type: ignore[arg-type]
