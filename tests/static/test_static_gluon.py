"""Gluon's kernels are captured as Triton's are: descriptors, specialized warps, identity."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from triton.experimental.gluon.language import NVMMASharedLayout
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from perfsuite.model import Launches
from perfsuite.static.describe import text
from perfsuite.static.offline import compile_launches

SOURCE = """
import torch
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier, tma
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

LAYOUT = gl.NVMMASharedLayout(128, 8, 2)


@gluon.jit
def _take(out_ptr, ring, STEPS: gl.constexpr):
    tile, full, empty = ring
    OF: gl.constexpr = gl.BlockedLayout([1, 16], [4, 8], [4, 1], [1, 0])
    total = gl.zeros([64, 128], gl.int32, OF)
    for step in range(STEPS):
        mbarrier.wait(full, step & 1)
        total += tile.load(OF).to(gl.int32) * 3
        mbarrier.arrive(empty)
    rows = gl.arange(0, 64, gl.SliceLayout(1, OF))[:, None]
    gl.store(out_ptr + rows * 128 + gl.arange(0, 128, gl.SliceLayout(0, OF))[None, :], total)


@gluon.jit
def _copy(desc, ring, STEPS: gl.constexpr):
    tile, full, empty = ring
    for step in range(STEPS):
        mbarrier.wait(empty, (step & 1) ^ 1)
        mbarrier.expect(full, 64 * 128)
        tma.async_copy_global_to_shared(desc, [step * 64, 0], full, tile)


@gluon.jit
def ring_kernel(desc, out_ptr, STEPS: gl.constexpr):
    tile = gl.allocate_shared_memory(gl.int8, [64, 128], desc.layout)
    full = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    mbarrier.init(full, count=1)
    mbarrier.init(empty, count=1)
    fence_async_shared()
    ring = (tile, full, empty)
    gl.warp_specialize([(_take, (out_ptr, ring, STEPS)), (_copy, (desc, ring, STEPS))], [1], [24])


def total(x):
    out = x.new_empty(64, 128, dtype=torch.int32)
    steps = x.shape[0] // 64
    ring_kernel[(1,)](TensorDescriptor.from_tensor(x, [64, 128], LAYOUT), out, STEPS=steps, num_warps=4)
    return out
"""
HARMLESS = {
    "again": SOURCE,
    "comment": SOURCE.replace("    for step", "    # Round and round.\n\n    for step"),
    "renamed": SOURCE.replace("_take", "_a_far_longer_name_than_before").replace("rows", "each"),
}
REAL = {
    "constant": SOURCE.replace("* 3", "* 5"),
    "where it is copied from": SOURCE.replace("[step * 64, 0]", "[step * 32, 0]"),
    "registers": SOURCE.replace("[1], [24]", "[1], [40]"),
}


def captured(path: Path, source: str, x: torch.Tensor) -> Launches:
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return compile_launches(module.total, (x,), "sm_90")


@pytest.fixture
def x(meta: Callable[..., torch.Tensor]) -> torch.Tensor:
    return meta(1024, 128, dtype=torch.int8)


def test_a_launch_tells_its_descriptors_and_all_its_warps(tmp_path: Path, x: torch.Tensor) -> None:
    launches = captured(tmp_path / "ring.py", SOURCE, x)
    (kernel,) = launches.kernels
    assert (kernel.name, kernel.grid, kernel.spills) == ("ring_kernel", (1, 1, 1), 0)
    # The warps that take, the one that copies, and what fills its warp group.
    assert kernel.warps == 8 and kernel.registers
    assert kernel.shared_bytes is not None and kernel.shared_bytes >= 64 * 128 + 16
    descriptor = "TensorDescriptor(i8[1024,128],shape=[1024, 128],strides=[128, 1],block_shape=[64, 128])"
    assert kernel.arguments == {"desc": descriptor, "STEPS": 16}
    assert f"(desc={descriptor},out_ptr=i32[64,128],STEPS=16," in launches.order[0]
    assert launches.comparable and launches.opaque == ()
    assert kernel.instructions["tensor_copy"] == 1


def test_the_hash_follows_the_code_alone(tmp_path: Path, x: torch.Tensor) -> None:
    before = captured(tmp_path / "before.py", SOURCE, x)
    for index, (name, source) in enumerate(HARMLESS.items()):
        after = captured(tmp_path / f"harmless{index}.py", source, x)
        assert after.same_code(before), name
        assert after.kernels[0].listing == before.kernels[0].listing, name
    for index, (name, source) in enumerate(REAL.items()):
        after = captured(tmp_path / f"real{index}.py", source, x)
        assert after.kernels[0].hash != before.kernels[0].hash, name


def test_descriptors_of_other_elements_are_told_apart(meta: Callable[..., torch.Tensor]) -> None:
    base = meta(4096, dtype=torch.int8)

    def described(*strides: int) -> str:
        return text(TensorDescriptor(base, [8, 32], list(strides), [8, 32], NVMMASharedLayout(32, 8, 2)))

    assert described(32, 1) != described(64, 1)
