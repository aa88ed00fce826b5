from collections.abc import Mapping
from dataclasses import replace

import pytest
from stats_example import KERNEL, launches, result

from perfsuite.model import Kernel, Launches, Result, Timer
from perfsuite.stats.why import changed_kernels, differences, why


def said(base: Kernel, head: Kernel) -> tuple[str, ...]:
    return differences(launches(base), launches(head))


def test_every_attribute_is_named_in_one_sentence() -> None:
    head = replace(
        KERNEL,
        hash="b" * 16,
        registers=168,
        spills=12,
        stack_bytes=48,
        shared_bytes=98304,
        warps=4,
        stages=4,
        grid=(264,),
        arguments={"BLOCK_N": 256, "M": 8, "SPLIT": 2},
    )
    assert said(KERNEL, head) == (
        "_gemm1: registers 128 → 168, spills 0 → 12, stack 0 B → 48 B, "
        "shared memory 64.0 KiB → 96.0 KiB, warps 8 → 4, stages 3 → 4, BLOCK_N 128 → 256, "
        "SPLIT absent → 2, grid (132) → (264)",
    )


def test_other_code_with_equal_attributes() -> None:
    expected = ("machine code of _gemm1 differs, same registers/spills/shared memory",)
    assert said(KERNEL, replace(KERNEL, hash="b" * 16)) == expected


def test_another_grid_of_the_same_code() -> None:
    assert said(KERNEL, replace(KERNEL, grid=(1,))) == ("_gemm1: grid (132) → (1), same machine code",)


def test_equal_launches_differ_in_nothing() -> None:
    assert said(KERNEL, KERNEL) == ()
    assert differences(Launches(), Launches()) == ()


def test_kernels_added_removed_and_renamed() -> None:
    other = replace(KERNEL, name="_reduce", hash="c" * 16)
    assert differences(launches(KERNEL), launches(KERNEL, other)) == (
        "kernel _reduce added (registers 128, spills 0, shared memory 64.0 KiB)",
        "launches 1 → 2",
    )
    assert differences(launches(KERNEL, other), launches(KERNEL))[0] == "kernel _reduce removed"
    renamed = said(KERNEL, replace(KERNEL, name="_gemm_up"))
    assert renamed == ("_gemm1 is now called _gemm_up, same machine code",)


def test_launches_of_one_kernel_repeated() -> None:
    once = Launches((KERNEL,), ("_gemm1#a[132](M=8)",))
    twice = Launches((KERNEL,), ("_gemm1#a[132](M=8)",) * 2)
    assert differences(once, twice) == ("launches 1 → 2", "_gemm1 launched 1× → 2×")


def test_same_name_twice_is_matched_by_position_after_equal_ones() -> None:
    second = replace(KERNEL, grid=(7,))
    changed = replace(second, hash="b" * 16, registers=200)
    found = differences(launches(KERNEL, second), launches(KERNEL, changed))
    assert found == ("_gemm1[7]: registers 128 → 200",)


def test_torch_ops_added_removed_and_reshaped() -> None:
    base = Launches((KERNEL,), ("_gemm1#a[1]()", "aten.mm(bf16[8,64],bf16[64,64])"))
    assert differences(base, Launches((KERNEL,), base.order[:1])) == (
        "launches 2 → 1",
        "torch op aten.mm removed (1×)",
    )
    added = Launches((KERNEL,), (*base.order, "aten.silu(bf16[8,64])"))
    assert "torch op aten.silu added (1×)" in differences(base, added)
    reshaped = Launches((KERNEL,), (base.order[0], "aten.mm(bf16[9,64],bf16[64,64])"))
    assert differences(base, reshaped) == ("torch ops run on other shapes or types",)


def test_another_order_is_said() -> None:
    order = ("_gemm1#a[1]()", "aten.silu(bf16[8])")
    found = differences(Launches((KERNEL,), order), Launches((KERNEL,), order[::-1]))
    assert found == ("the same launches in another order or with other arguments",)


def test_accuracy_timer_and_output_bits() -> None:
    base = result(output_hash="1")
    head = result(error_rms=0.012, output_hash="2", timer=Timer.EVENTS)
    assert why(base, head) == (
        "less accurate: error (RMS) 0.004 → 0.012, tolerance 0.02",
        "timer cuda-graph → cuda-events",
        "the output's bits differ for the same inputs",
    )
    assert why(head, base)[1] == "more accurate: error (RMS) 0.012 → 0.004, tolerance 0.02"
    assert why(base, result(error_rms=0.005, output_hash="1")) == ()


def costs(**facts: float | str | bool | None) -> Result:
    return result(extra=facts)


def test_host_time_memory_and_compile_time_beyond_their_noise() -> None:
    base = costs(host_ns=12_000.0, peak_bytes=100 << 20, compile_s=10.0)
    assert why(base, costs(host_ns=18_400, peak_bytes=102 << 20, compile_s=13.5)) == (
        "host time per call 12.00 µs → 18.40 µs",
        "peak memory 100.0 MiB → 102.0 MiB",
        "compile time 10.00 s → 13.50 s",
    )
    assert why(base, costs(host_ns=13_000, peak_bytes=(100 << 20) + 4096, compile_s=12.9)) == ()
    assert why(costs(host_ns=2000.0), costs(host_ns=2400.0)) == (), "a fifth, but below half a microsecond"
    assert why(costs(compile_s=0.1), costs(compile_s=0.9)) == ()
    assert why(costs(host_ns=18_400.0), costs(host_ns=12_000.0)) != ()


@pytest.mark.parametrize("odd", [None, "fast", True, float("nan"), float("inf")])
def test_a_cost_that_is_no_number_is_not_compared(odd: float | str | bool | None) -> None:
    assert why(costs(host_ns=1e9), costs(host_ns=odd)) == ()
    assert why(costs(host_ns=odd), costs(host_ns=1e9)) == ()


MIX = {"total": 400, "integer": 200, "matrix.HGMMA": 64, "float": 60, "shared_load.32": 40, "move": 36}


def mixed(mix: Mapping[str, int], **changes: object) -> Kernel:
    return replace(KERNEL, instructions=mix, **changes)  # type: ignore[arg-type]


def test_a_lost_matrix_instruction_is_said_in_words_and_before_other_kernels() -> None:
    other = replace(KERNEL, name="_other", hash="c" * 16)
    head = {**MIX, "total": 640, "matrix.HMMA": 256, "local_load": 12}
    del head["matrix.HGMMA"]
    sentences = differences(
        launches(other, mixed(MIX)),
        launches(replace(other, hash="d" * 16, warps=4), mixed(head, hash="b" * 16, registers=255)),
    )
    assert sentences == (
        "_gemm1: lost WGMMA, registers 128 → 255, matrix.HMMA 0 → 256, matrix.HGMMA 64 → 0, "
        "local_load 0 → 12",
        "_other: warps 8 → 4",
    )
    assert said(mixed(head), mixed(MIX, hash="b" * 16)) == (
        "_gemm1: gained WGMMA, matrix.HMMA 256 → 0, matrix.HGMMA 0 → 64, local_load 12 → 0",
    )


def test_only_large_changes_of_the_mix_are_told_and_few_of_them() -> None:
    nearly = {**MIX, "integer": 210, "total": 410}
    assert said(mixed(MIX), mixed(nearly, hash="b" * 16)) == (
        "machine code of _gemm1 differs, same registers/spills/shared memory, nearly the same instructions",
    )
    grown = {name: 2 * count for name, count in MIX.items()} | {"matrix.HGMMA": 64}
    (sentence,) = said(mixed(MIX), mixed(grown, hash="b" * 16))
    assert sentence == "_gemm1: instructions 400 → 800, integer 200 → 400, float 60 → 120"


def test_a_mix_that_one_side_does_not_know_makes_no_difference() -> None:
    assert said(KERNEL, mixed(MIX)) == () == said(mixed(MIX), KERNEL)
    changed = said(KERNEL, mixed(MIX, hash="b" * 16))
    assert changed == ("machine code of _gemm1 differs, same registers/spills/shared memory",)
    assert launches(KERNEL).same_code(launches(mixed(MIX)))


def test_a_listing_that_one_side_does_not_know_makes_no_difference() -> None:
    listed = replace(KERNEL, listing="0000  BRA .L_0000")
    assert said(KERNEL, listed) == () == said(listed, KERNEL)
    assert launches(KERNEL).same_code(launches(listed))


def test_spills_come_before_what_else_changed() -> None:
    other = replace(KERNEL, name="_other", hash="c" * 16)
    head = launches(replace(KERNEL, hash="b" * 16, warps=4), replace(other, hash="d" * 16, spills=12))
    assert differences(launches(KERNEL, other), head) == (
        "_other: spills 0 → 12",
        "_gemm1: warps 8 → 4",
    )


def test_changed_kernels_are_named_with_what_changed() -> None:
    other = replace(KERNEL, name="_reduce", hash="c" * 16)
    faster = replace(KERNEL, hash="b" * 16, registers=190, grid=(264,))
    base, head = launches(KERNEL, other), launches(faster)
    assert changed_kernels(base, head) == {
        "_gemm1": ("registers 128 → 190", "grid (132) → (264)"),
        "_reduce": ("removed",),
    }
    assert changed_kernels(base, base) == {}
    assert changed_kernels(launches(KERNEL), launches(replace(KERNEL, name="_gemm_up"))) == {}
    plain = Launches((KERNEL,), ("_gemm1#a[1]()",))
    assert changed_kernels(
        plain, Launches((KERNEL,), (*plain.order, *plain.order, "aten.silu(bf16[8])"))
    ) == {
        "_gemm1": ("launched 1× → 2×",),
        "aten.silu": ("launched 0× → 1×",),
    }
