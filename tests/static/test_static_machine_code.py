"""The hash is the machine code's, not the source's; resource usage is what CUDA's own tool says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import static_ops
import torch
import triton

from perfsuite.errors import MachineError
from perfsuite.static.elf import read_elf
from perfsuite.static.machine_code import code_hash, resources
from perfsuite.static.offline import compile_op

SOURCE = """
import triton
import triton.language as tl

@triton.jit
def kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    value = tl.load(x_ptr + offsets, mask=mask)
    tl.store(y_ptr + offsets, value * 3.0 + 1.0, mask=mask)
"""

HARMLESS = {
    "comment": SOURCE.replace("    mask =", "    # Guards the end.\n    mask ="),
    "renamed local": SOURCE.replace("value", "loaded"),
    "moved": SOURCE.replace(
        "@triton.jit", "ANSWER = 42\n\n\ndef unused():\n    return ANSWER\n\n\n@triton.jit"
    ),
    "renamed kernel": SOURCE.replace("def kernel", "def a_kernel_with_a_far_longer_name_than_before"),
    "docstring": SOURCE.replace("    offsets =", '    """Scales."""\n    offsets =', 1),
}
REAL = {
    "constant": (SOURCE.replace("3.0", "5.0"), 128),
    "tile": (SOURCE, 256),
    "operation": (SOURCE.replace("* 3.0 + 1.0", "* 3.0 - 1.0"), 128),
}


def load(path: Path, source: str) -> ModuleType:
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hash_of(path: Path, source: str, block: int, target: str) -> str:
    module = load(path, source)
    jitted = next(value for value in vars(module).values() if isinstance(value, triton.JITFunction))
    x = torch.empty(1000, device="meta")
    compiled = compile_op(lambda: jitted[(8,)](x, x, 1000, BLOCK=block), (), target)
    return compiled.launches.kernels[0].hash


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "gfx942"])
def test_the_hash_follows_the_code_alone(tmp_path: Path, target: str) -> None:
    before = hash_of(tmp_path / "before.py", SOURCE, 128, target)
    assert re.fullmatch("[0-9a-f]{16}", before)
    for index, (name, source) in enumerate(HARMLESS.items()):
        assert hash_of(tmp_path / f"harmless{index}.py", source, 128, target) == before, name
    for index, (name, (source, block)) in enumerate(REAL.items()):
        assert hash_of(tmp_path / f"real{index}.py", source, block, target) != before, name


def test_line_information_changes_the_file_but_not_the_hash(tmp_path: Path) -> None:
    binaries = []
    x = torch.empty(1000, device="meta")
    for name in ("comment", "moved"):
        module = load(tmp_path / f"{name}.py", HARMLESS[name])
        compiled = compile_op(lambda module=module: module.kernel[(8,)](x, x, 1000, BLOCK=128), (), "sm_90")
        binaries += compiled.binaries.values()
    assert binaries[0] != binaries[1]
    assert code_hash(binaries[0]) == code_hash(binaries[1])


def tool_says(binary: bytes, folder: Path) -> dict[str, int]:
    path = folder / "kernel.cubin"
    path.write_bytes(binary)
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    done = subprocess.run(
        [tool, "--dump-resource-usage", path], capture_output=True, text=True, check=True, timeout=60
    )
    line = next(line for line in done.stdout.splitlines() if "REG:" in line)
    return {name: int(number) for name, number in re.findall(r"([A-Z]+):(\d+)", line)}


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_resources_are_what_cuobjdump_says(
    target: str, tmp_path: Path, meta: Callable[..., torch.Tensor]
) -> None:
    def op() -> None:
        static_ops.scale(meta(1000))
        static_ops.matmul(meta(64, 128, dtype=torch.bfloat16), meta(128, 64, dtype=torch.bfloat16))
        static_ops.wide(meta(16384))

    compiled = compile_op(op, (), target)
    assert len(compiled.binaries) == 3
    for binary in compiled.binaries.values():
        used = resources(binary, target)
        says = tool_says(binary, tmp_path)
        assert (used.registers, used.stack_bytes, used.shared_bytes) == (
            says["REG"],
            says["STACK"],
            says["SHARED"],
        )
    spilling = compiled.launches.kernels[-1]
    assert spilling.spills and spilling.stack_bytes == 4 * spilling.spills


def test_arrays_of_the_program_are_no_spills(meta: Callable[..., torch.Tensor]) -> None:
    compiled = compile_op(static_ops.wide, (meta(16384),), "sm_90")
    (binary,) = compiled.binaries.values()
    plain = resources(binary, "sm_90")
    declared = resources(binary, "sm_90", "\t.local .align 16 .b8 \t__local_depot0[16];\n")
    assert plain.spills is not None and declared.spills == plain.spills - 4
    assert declared.stack_bytes == plain.stack_bytes


def test_an_amd_binary_tells_its_registers(meta: Callable[..., torch.Tensor]) -> None:
    kernel = compile_op(static_ops.scale, (meta(1000),), "gfx942").launches.kernels[0]
    assert kernel.target == "gfx942" and kernel.registers and kernel.spills == 0


@pytest.mark.parametrize("binary", [b"", b"MZ\x90\x00 not an ELF file", b"\x7fELF\x02\x01" + bytes(10)])
def test_what_is_not_a_binary_is_refused(binary: bytes) -> None:
    with pytest.raises(MachineError):
        code_hash(binary)
    with pytest.raises(MachineError):
        resources(binary, "sm_90")


def test_a_cut_binary_and_another_machines_are_refused(meta: Callable[..., torch.Tensor]) -> None:
    (binary,) = compile_op(static_ops.scale, (meta(1000),), "sm_90").binaries.values()
    with pytest.raises(MachineError, match="damaged"):
        read_elf(binary[: len(binary) // 2])
    with pytest.raises(MachineError, match="gfx942"):
        resources(binary, "gfx942")
