"""Instruction mixes come with kernels compiled ahead, cost one start of the tool, and never a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import static_ops
import torch

from perfsuite.errors import MachineError
from perfsuite.model import Launches
from perfsuite.static import instructions, mix
from perfsuite.static.instructions import with_instructions
from perfsuite.static.mix import count_instructions, instruction_mixes
from perfsuite.static.offline import Compiled, compile_launches, compile_op

Meta = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing remembered, neither in this process nor on disk; Triton's own cache is left alone."""
    monkeypatch.setattr(instructions, "_known", {})
    monkeypatch.setattr(instructions, "FOLDER", str(tmp_path / "mixes"))
    return tmp_path / "mixes"


def compiled(meta: Meta, target: str = "sm_90") -> Compiled:
    x = meta(64, 64, dtype=torch.bfloat16)

    def op() -> None:
        static_ops.scale(meta(1000))
        static_ops.matmul(x, x)

    return compile_op(op, (), target)


def without_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise MachineError(f"{name} was not found", "install it")

    monkeypatch.setattr(mix, "_tool", missing)


def mixes_of(launches: Launches) -> dict[str, dict[str, int]]:
    return {kernel.name: dict(kernel.instructions) for kernel in launches.kernels}


def test_kernels_compiled_ahead_know_their_mix_and_are_the_same_code(meta: Meta) -> None:
    launches = compile_launches(static_ops.matmul, (meta(64, 64), meta(64, 64)), "sm_90")
    (kernel,) = launches.kernels
    assert kernel.instructions["total"] > 50
    plain = compile_op(static_ops.matmul, (meta(64, 64), meta(64, 64)), "sm_90").launches
    assert not plain.kernels[0].instructions
    assert launches.same_code(plain) and plain.same_code(launches)


@pytest.mark.parametrize("target", ["sm_90", "sm_100"])
def test_read_together_or_one_by_one_the_mix_is_the_same(meta: Meta, target: str) -> None:
    binaries = list(compiled(meta, target).binaries.values())
    together = instruction_mixes(binaries, target)
    assert len(together) == 2 and together[0] != together[1]
    assert together == [count_instructions(mix._disassembly(binary)) for binary in binaries]


def test_an_architecture_that_raw_images_do_not_have_is_read_binary_by_binary(meta: Meta) -> None:
    binaries = list(compiled(meta).binaries.values())[:1]
    assert instruction_mixes(binaries, "sm_90x") == instruction_mixes(binaries, "sm_90")


def test_a_mix_is_remembered_in_the_process_and_beside_the_cache(
    meta: Meta, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = compiled(meta)
    first = with_instructions(op.launches, op.binaries)
    assert all(mixes_of(first).values())
    files = sorted(folder.iterdir())
    assert len(files) == 2 and all(file.suffix == ".json" for file in files)
    without_tool(monkeypatch)
    assert with_instructions(op.launches, op.binaries) == first
    monkeypatch.setattr(instructions, "_known", {})
    assert with_instructions(op.launches, {}) == first, "another process reads the files"


def test_without_the_tool_mixes_are_empty_and_nothing_fails(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_tool(monkeypatch)
    op = compiled(meta)
    assert with_instructions(op.launches, op.binaries) == op.launches


def test_a_damaged_file_is_read_anew(meta: Meta, folder: Path) -> None:
    op = compiled(meta)
    first = with_instructions(op.launches, op.binaries)
    for text in ("", "[1]", '{"total": "many"}', "\x00"):
        for file in folder.iterdir():
            file.write_text(text)
        instructions._known.clear()
        assert not any(mixes_of(with_instructions(op.launches, {})).values())
    assert with_instructions(op.launches, op.binaries) == first
    assert all(json.loads(file.read_text())["total"] for file in folder.iterdir())


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(meta: Meta, folder: Path) -> None:
    op = compiled(meta)
    folder.write_text("a file in the way")
    assert all(mixes_of(with_instructions(op.launches, op.binaries)).values())


def test_amd_kernels_have_no_mix(meta: Meta) -> None:
    op = compiled(meta, "gfx942")
    assert with_instructions(op.launches, op.binaries) == op.launches
