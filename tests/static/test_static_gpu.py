"""On a real GPU: what is recorded of real launches is what was compiled without launching."""

from __future__ import annotations

import pytest
import static_ops
import torch

from perfsuite.static.capture import record_launches, target_name
from perfsuite.static.offline import compile_launches

pytestmark = pytest.mark.gpu


def present_target() -> str:
    from triton.runtime.driver import driver

    return target_name(driver.active.get_current_target())


def test_a_real_launch_is_recorded_and_works() -> None:
    x = torch.randn(1000, device="cuda")
    with record_launches() as recorder:
        y = static_ops.scale(x)
    assert torch.equal(y, 2 * x)
    assert [kernel.name for kernel in recorder.launches().kernels] == ["scale_kernel"]


def test_compiling_gives_what_launching_records() -> None:
    def op(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return static_ops.scale(x).sum() + static_ops.matmul(a, a.T).sum() + torch.mm(a, a)

    def arguments(device: str) -> tuple[torch.Tensor, ...]:
        return torch.ones(1000, device=device), torch.ones(64, 64, dtype=torch.bfloat16, device=device)

    inputs = arguments("cuda")
    with record_launches() as recorder:
        op(*inputs)
    real = recorder.launches()
    for target in (None, present_target()):
        ahead = compile_launches(op, arguments("meta"), target)
        assert ahead.order == real.order
        assert ahead.opaque == real.opaque == ()


def test_compiling_launches_nothing_on_the_present_gpu() -> None:
    x = torch.ones(1000, device="cuda")
    before = x.clone()

    def op() -> None:
        static_ops.scale_kernel[(8,)](x, x, 1000, 5.0, BLOCK=128)

    assert compile_launches(op, (), None).kernels
    torch.cuda.synchronize()
    assert torch.equal(x, before)


def test_an_autotuner_that_measures_records_its_choice_alone() -> None:
    x = torch.ones(3000, device="cuda")
    lists = []
    for _ in range(2):
        with record_launches() as recorder:
            y = static_ops.measurable(x)
        lists.append(recorder.launches())
    assert torch.equal(y, x + 1)
    assert len(lists[0].order) == 1 and lists[0].opaque == ()
    assert lists[0].same_code(lists[1]), "with and without trials the same"


def test_a_graph_captures_what_is_recorded() -> None:
    x = torch.ones(1000, device="cuda")
    static_ops.scale(x)
    graph = torch.cuda.CUDAGraph()
    # The recorder inside: entering a capture launches something of torch's own.
    with torch.cuda.graph(graph), record_launches() as recorder:
        y = static_ops.scale(x)
    graph.replay()
    assert torch.equal(y, 2 * x) and len(recorder.launches().order) == 1
