"""Launches and torch ops are listed in order; trials, views and allocations are not; patches go away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import static_ops
import torch
import triton
from triton.compiler.compiler import CompiledKernel
from triton.runtime.autotuner import Autotuner
from triton.runtime.jit import JITFunction

from perfsuite.errors import MachineError
from perfsuite.static.capture import record_launches
from perfsuite.static.describe import scalar, tensor_text, text
from perfsuite.static.offline import absent_gpu, compile_launches
from perfsuite.static.patching import replaced

Meta = Callable[..., torch.Tensor]


def patched_methods() -> list[object]:
    return [
        vars(owner)[name]
        for owner, name in (
            (JITFunction, "run"),
            (CompiledKernel, "__getitem__"),
            (CompiledKernel, "_init_handles"),
            (Autotuner, "run"),
            (Autotuner, "_bench"),
        )
    ]


def test_a_launch_has_its_grid_and_arguments(meta: Meta) -> None:
    launches = compile_launches(static_ops.scale, (meta(1000), 3.0), "sm_90")
    (kernel,) = launches.kernels
    assert (kernel.name, kernel.target, kernel.grid) == ("scale_kernel", "sm_90", (8, 1, 1))
    assert kernel.arguments == {"n": 1000, "factor": 3.0, "BLOCK": 128}
    assert (kernel.warps, kernel.shared_bytes) == (4, 0) and kernel.registers
    assert launches.comparable and launches.opaque == ()
    (entry,) = launches.order
    assert entry.startswith(f"scale_kernel#{kernel.hash}[8,1,1](x_ptr=f32[1000],y_ptr=f32[1000],n=1000,")


def test_equal_ops_have_equal_lists_and_others_do_not(meta: Meta) -> None:
    once = compile_launches(static_ops.scale, (meta(1000),), "sm_90")
    assert once.same_code(compile_launches(static_ops.scale, {"x": meta(1000)}, "sm_90"))
    for other in ((meta(1000), 2.5), (meta(2000),), (meta(1000), 2.0, 256), (meta(10, 100),)):
        assert not once.same_code(compile_launches(static_ops.scale, other, "sm_90"))


def test_distinct_kernels_once_and_every_launch_in_order(meta: Meta) -> None:
    def op(x: torch.Tensor) -> None:
        for block in (64, 128, 64):
            static_ops.scale(x, block=block)

    launches = compile_launches(op, (meta(1000),), "sm_80")
    assert [kernel.arguments["BLOCK"] for kernel in launches.kernels] == [64, 128]
    assert len(launches.order) == 3 and launches.order[0] == launches.order[2] != launches.order[1]


def test_options_of_the_launch_are_told(meta: Meta) -> None:
    a = meta(64, 128, dtype=torch.bfloat16)
    launches = compile_launches(lambda: static_ops.matmul(a, a.T, num_warps=8, num_stages=2), (), "sm_90")
    (kernel,) = launches.kernels
    assert (kernel.warps, kernel.stages) == (8, 2) and kernel.shared_bytes
    assert "b_ptr=bf16[128,64]{1,128}" in launches.order[0]
    assert kernel.arguments == {"K": 128, "TILE": 64}, "defaults are not told"


def test_a_launch_that_may_overlap_the_one_before_is_another(meta: Meta) -> None:
    def op(**options: bool) -> None:
        static_ops.scale_kernel[(8,)](meta(1000), meta(1000), 1000, 2.0, BLOCK=128, **options)

    alone, overlapping = (compile_launches(op, options, "sm_90") for options in ({}, {"launch_pdl": True}))
    assert overlapping.kernels[0].arguments["launch_pdl"] is True
    assert overlapping.kernels[0].hash == alone.kernels[0].hash and not overlapping.same_code(alone)


def test_torch_ops_that_work_are_listed_and_others_are_not(meta: Meta) -> None:
    def op(x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x)
        y.copy_(x.view(4, 2).t().detach()[:, :].expand(2, 4))
        z = torch.zeros(2, 4)
        assert y.numel() == 8 and y.is_contiguous()
        return torch.mm(y, z.T).to(torch.bfloat16)

    order = compile_launches(op, (meta(2, 4),), "sm_90").order
    assert order == (
        "aten.copy_(f32[2,4],f32[2,4]{1,2})",
        "aten.zeros((2,4))",
        "aten.mm(f32[2,4],f32[4,2]{1,4})",
        "aten._to_copy(f32[2,2],dtype=torch.bfloat16)",
    )


def test_torch_ops_alone_prove_nothing(meta: Meta) -> None:
    assert not compile_launches(torch.mm, (meta(4, 4), meta(4, 4)), "sm_90").comparable


def test_work_on_the_host_is_not_listed() -> None:
    with record_launches() as recorder:
        torch.ones(4) + 1
    assert recorder.launches().order == ()


def test_a_custom_op_makes_the_list_opaque(meta: Meta) -> None:
    @torch.library.custom_op("static_tests::double", mutates_args=())
    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    double.register_fake(torch.empty_like)

    def op(x: torch.Tensor) -> torch.Tensor:
        return double(static_ops.scale(x))

    launches = compile_launches(op, (meta(8),), "sm_90")
    assert launches.order[-1] == "static_tests.double(f32[8])"
    assert "static_tests.double" in launches.opaque[0]
    assert launches.kernels and not launches.comparable


def test_a_compiled_function_makes_the_list_opaque(meta: Meta) -> None:
    compiled = torch.compile(lambda x: x * 2 + 1, backend="eager")
    launches = compile_launches(compiled, (meta(8),), "sm_90")
    assert "torch.compile" in launches.opaque[0] and not launches.comparable


def test_warm_ups_are_not_launches(meta: Meta) -> None:
    with absent_gpu("sm_90"), record_launches() as recorder:
        static_ops.scale_kernel.warmup(meta(8), meta(8), 8, 1.0, BLOCK=64, grid=(1,))
    assert recorder.launches().order == ()


def test_a_kernel_launched_by_its_handle_is_listed(meta: Meta) -> None:
    x = meta(8)
    with absent_gpu("sm_90"), record_launches() as recorder:
        handle = static_ops.scale_kernel.warmup(x, x, 8, 1.0, BLOCK=64, grid=(1,))
        handle[(3,)](x, x, 8, 1.0, 64)
    (kernel,) = recorder.launches().kernels
    assert kernel.grid == (3, 1, 1) and kernel.arguments["BLOCK"] == 64


def test_an_autotuner_gives_its_choice_and_not_its_trials(meta: Meta) -> None:
    launches = compile_launches(static_ops.tuned, (meta(1000),), "sm_90")
    (kernel,) = launches.kernels
    # The first configuration does not compile: its tile is too large.
    assert kernel.arguments["BLOCK"] == 64 and kernel.warps == 2
    assert "BLOCK: 64" in str(kernel.arguments["autotuned"])
    assert len(launches.order) == 1, "neither trials nor the ops that reset arguments"
    assert "tuned_kernel" in launches.opaque[0] and not launches.comparable
    assert static_ops.tuned_kernel.cache == {}, "a choice that was not measured must not stay"


def test_nested_recorders_both_record(meta: Meta) -> None:
    before = patched_methods()
    with absent_gpu("sm_90"), record_launches() as outer:
        static_ops.scale(meta(8))
        with record_launches() as inner:
            static_ops.scale(meta(16))
            meta(4) + 1
    assert len(inner.launches().order) == 2 and len(outer.launches().order) == 3
    assert outer.launches().order[1:] == inner.launches().order
    assert patched_methods() == before


def test_patches_go_away_after_an_error(meta: Meta) -> None:
    before = patched_methods()
    with pytest.raises(ZeroDivisionError), absent_gpu("sm_90"), record_launches() as recorder:
        static_ops.scale(meta(8))
        raise ZeroDivisionError
    assert patched_methods() == before
    assert len(recorder.launches().order) == 1
    meta(4) + 1
    assert len(recorder.launches().order) == 1


def test_an_unknown_triton_is_named() -> None:
    with pytest.raises(MachineError, match=r"JITFunction\.fly"), replaced(JITFunction, "fly", lambda f: f):
        pass


def test_the_interpreter_records_nothing_and_works(tmp_path: Path) -> None:
    script = tmp_path / "interpreted.py"
    script.write_text(
        "import torch, static_ops\n"
        "from perfsuite.errors import MachineError\n"
        "from perfsuite.static.capture import record_launches\n"
        "from perfsuite.static.offline import compile_launches\n"
        "x = torch.arange(8.0)\n"
        "with record_launches() as recorder:\n"
        "    y = static_ops.scale(x)\n"
        "assert torch.equal(y, 2 * x), y\n"
        "assert recorder.launches().order == ()\n"
        "try:\n"
        "    compile_launches(static_ops.scale, (x.to('meta'),), 'sm_90')\n"
        "except MachineError as error:\n"
        "    assert 'TRITON_INTERPRET' in str(error)\n"
        "else:\n"
        "    raise SystemExit('not refused')\n"
    )
    here = Path(__file__).parent
    environment = {
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": f"{here}:{here.parent.parent}",
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TRITON_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_text_of_arguments_is_stable() -> None:
    assert tensor_text(torch.empty(2, 3, dtype=torch.float8_e4m3fn)) == "f8_e4m3fn[2,3]"
    assert tensor_text(torch.empty(2, 3, dtype=torch.uint8).T) == "u8[3,2]{1,3}"
    assert text((1, None, torch.int32)) == "(1,None,torch.int32)"
    assert text(object()) == "object"
    assert text(static_ops.scale_kernel) == "scale_kernel"
    assert scalar(triton.language.constexpr(5)) == 5
