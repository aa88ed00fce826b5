"""Whole ops compile for GPUs that are not here; what fails says why; nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import static_ops
import torch
from triton import knobs
from triton.runtime.driver import driver

from perfsuite.errors import Exit, MachineError, UsageError
from perfsuite.model import Kernel
from perfsuite.static.mix import count_instructions
from perfsuite.static.occupancy import occupancy
from perfsuite.static.offline import CompileFailure, HostFailure, absent_gpu, compile_launches, compile_op
from perfsuite.static.sass import disassemble, parse
from perfsuite.static.targets import NAMES, find_target

Meta = Callable[..., torch.Tensor]


def instruction_mix(binary: bytes, target: str) -> dict[str, int]:
    (instructions,) = disassemble((binary,), target)
    return count_instructions(instructions)


def bf16(meta: Meta, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return meta(size, size, dtype=torch.bfloat16), meta(size, size, dtype=torch.bfloat16)


@pytest.mark.parametrize("target", NAMES)
def test_every_target_compiles(target: str, meta: Meta) -> None:
    (kernel,) = compile_launches(static_ops.scale, (meta(100),), target).kernels
    assert kernel.target == target and kernel.registers


def test_tensors_without_memory_count_as_aligned(meta: Meta) -> None:
    x = meta(1024)
    assert x.data_ptr() == 0
    aligned = instruction_mix(*code(x))
    assert aligned.get("global_load.128") and not aligned.get("global_load.32")


def code(x: torch.Tensor) -> tuple[bytes, str]:
    (binary,) = compile_op(static_ops.scale, (x, 2.0, 1024), "sm_90").binaries.values()
    return binary, "sm_90"


def test_a_kernel_that_needs_too_much_shared_memory_fails(meta: Meta) -> None:
    arguments = (*bf16(meta, 128), 128)
    assert compile_launches(static_ops.matmul, arguments, "sm_90").kernels
    with pytest.raises(
        CompileFailure, match=r"tile_kernel needs \d+ bytes of shared memory.*sm_120 has 101376"
    ):
        compile_launches(static_ops.matmul, arguments, "sm_120")


def test_a_compile_error_shows_its_last_lines(meta: Meta) -> None:
    def op(x: torch.Tensor) -> None:
        static_ops.asserting_kernel[(1,)](x, N=8)

    with pytest.raises(CompileFailure, match="the length must be seven") as failure:
        compile_launches(op, (meta(8),), "sm_90")
    assert "asserting_kernel does not compile for sm_90" in failure.value.what
    assert failure.value.exit_code is Exit.RED


def test_a_failure_of_ptxas_shows_what_it_said(
    meta: Meta, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def op(x: torch.Tensor) -> None:
        static_ops.scale_kernel[(1,)](x, x, 8, 1.0, BLOCK=32, ptx_options="--no-such-option")

    with pytest.raises(CompileFailure, match="no-such-option"):
        compile_launches(op, (meta(8),), "sm_90")
    assert "ld.global" not in capfd.readouterr().out, "the whole PTX is not for the terminal"


def test_what_makes_the_arguments_sees_the_target_and_is_not_part_of_the_op(meta: Meta) -> None:
    seen = []

    def make() -> tuple[torch.Tensor, ...]:
        seen.append(driver.active.get_current_target().arch)
        static_ops.matmul(meta(64, 64), meta(64, 64))
        return (meta(100),)

    assert [kernel.name for kernel in compile_launches(static_ops.scale, make, "sm_80").kernels] == [
        "scale_kernel"
    ]
    assert seen == [80]
    with pytest.raises(HostFailure, match="makes the arguments does not run on meta tensors"):
        compile_launches(static_ops.scale, lambda: meta(1).item(), "sm_80")


def test_host_code_that_reads_values_fails_by_name(meta: Meta) -> None:
    with pytest.raises(HostFailure, match="meta tensors"):
        compile_launches(lambda x: x.sum().item(), (meta(8),), "sm_90")


def test_an_unknown_target_and_no_gpu_are_told(meta: Meta) -> None:
    with pytest.raises(UsageError, match="sm_91"):
        compile_launches(static_ops.scale, (meta(8),), "sm_91")
    if not torch.cuda.is_available():
        with pytest.raises(MachineError, match="no GPU"):
            compile_launches(static_ops.scale, (meta(8),), None)


def test_nothing_is_left_behind(meta: Meta) -> None:
    active = driver._active
    caches = set(static_ops.scale_kernel.device_caches)
    with absent_gpu("sm_80"):
        assert driver.active.get_current_target().arch == 80
        with absent_gpu("gfx942"):
            assert driver.active.get_current_target().arch == "gfx942"
            assert driver.active.utils.get_device_properties(0)["multiprocessor_count"] == 304
        assert driver.active.get_current_target().arch == 80
        static_ops.scale(meta(8))
    assert driver._active is active
    new = set(static_ops.scale_kernel.device_caches) - caches
    assert all(str(device).startswith("absent ") for device in new)


def test_an_overridden_architecture_does_not_count(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_OVERRIDE_ARCH", "sm80")
    (binary,) = compile_op(static_ops.matmul, bf16(meta, 64), "sm_90").binaries.values()
    assert instruction_mix(binary, "sm_90").get("matrix.HGMMA")
    assert knobs.runtime.override_arch == "sm80"


def test_host_code_may_ask_a_compiled_kernel_for_its_registers(meta: Meta) -> None:
    with absent_gpu("sm_90"):
        handle = static_ops.scale_kernel.warmup(meta(8), meta(8), 8, 1.0, BLOCK=64, grid=(1,))
        handle._init_handles()
    assert handle.n_regs > 0 and handle.n_spills == 0


def test_the_mix_tells_the_kind_of_matrix_instruction(meta: Meta) -> None:
    mixes = {}
    for target in ("sm_80", "sm_90"):
        (binary,) = compile_op(static_ops.matmul, bf16(meta, 64), target).binaries.values()
        mixes[target] = instruction_mix(binary, target)
    assert mixes["sm_90"].get("matrix.HGMMA") and "matrix.HMMA" not in mixes["sm_90"]
    assert mixes["sm_80"].get("matrix.HMMA") and "matrix.HGMMA" not in mixes["sm_80"]
    for mix in mixes.values():
        assert mix["total"] == sum(count for name, count in mix.items() if name != "total")
        assert mix["global_to_shared.128"] and mix["conversion" if "conversion" in mix else "integer"]


def test_instructions_are_counted_by_class() -> None:
    lines = [
        "LDG.E.128 R4, desc[UR4][R2.64]",
        "@!P0 LDG.E.U8 R4, desc[UR4][R2.64]",
        "@P1 STG.E [R2.64], R4",
        "LDL R1, [R2]",
        "I2FP.F32.S32 R2, R3",
        "IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28]",
        "IMAD R1, R2, R3, R4",
        "@UP0 BRA `(.L_x_1)",
        "IGMMA.64x128x32.S8.S8 R24, R4, gdesc[UR8], R24",
        "NOP",
    ]
    text = "\n".join(f"        /*{16 * i:04x}*/    {line} ;" for i, line in enumerate(lines))
    counts = count_instructions(parse(text))
    assert counts == {
        "total": 9,
        "control": 1,
        "conversion": 1,
        "global_load.128": 1,
        "global_load.8": 1,
        "global_store.32": 1,
        "integer": 1,
        "local_load": 1,
        "matrix.IGMMA": 1,
        "move": 1,
    }


def kernel(**facts: int) -> Kernel:
    values = {"registers": 32, "warps": 4, "shared_bytes": 0} | facts
    return Kernel("k", "0" * 16, "sm_90", **values)  # type: ignore[arg-type]


def test_occupancy_is_the_tightest_of_its_limits() -> None:
    assert occupancy(kernel()) == 1.0
    assert occupancy(kernel(registers=255, warps=8)) == 8 / 64
    assert occupancy(kernel(registers=128)) == 16 / 64
    assert occupancy(kernel(shared_bytes=100 * 1024, warps=8)) == 16 / 64
    assert occupancy(kernel(warps=1)) == 0.5
    assert occupancy(Kernel("k", "0" * 16, "gfx942", registers=32, warps=4)) is None


def test_targets_have_their_usual_spellings() -> None:
    assert find_target("sm_90a") is find_target("90") is find_target("sm90") is find_target("sm_90")


def test_importing_static_imports_neither_torch_nor_triton() -> None:
    modules = "capture, describe, loop, machine_code, mix, occupancy, offline, sass, targets, torch_ops"
    script = (
        f"import sys; from perfsuite.static import {modules}\n"
        "sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
