from dataclasses import replace

from stats_example import KERNEL, launches, result

from perfsuite.model import Kernel, Launches, Timer
from perfsuite.stats.why import differences, why


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
        "timer cuda-graph → cuda-events",
        "error (RMS) 0.004 → 0.012, tolerance 0.02",
        "the output's bits differ for the same inputs",
    )
    assert why(base, result(error_rms=0.005, output_hash="1")) == ()
