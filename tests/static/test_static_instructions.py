"""Mixes and listings come with kernels compiled ahead, cost one start of the tool, and never a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import static_ops
import torch

from perfsuite.errors import MachineError
from perfsuite.model import Launches
from perfsuite.static import instructions, sass
from perfsuite.static.instructions import with_instructions
from perfsuite.static.loop import listing
from perfsuite.static.mix import count_instructions
from perfsuite.static.offline import Compiled, compile_launches, compile_op
from perfsuite.static.sass import disassemble, disassembly, parse

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

    monkeypatch.setattr(sass, "_tool", missing)


def mixes_of(launches: Launches) -> dict[str, dict[str, int]]:
    return {kernel.name: dict(kernel.instructions) for kernel in launches.kernels}


def test_kernels_compiled_ahead_know_their_mix_and_are_the_same_code(meta: Meta) -> None:
    launches = compile_launches(static_ops.matmul, (meta(64, 64), meta(64, 64)), "sm_90")
    (kernel,) = launches.kernels
    assert kernel.instructions["total"] > 50
    assert "HGMMA" in kernel.listing or "HMMA" in kernel.listing
    plain = compile_op(static_ops.matmul, (meta(64, 64), meta(64, 64)), "sm_90").launches
    assert not plain.kernels[0].instructions and not plain.kernels[0].listing
    assert launches.same_code(plain) and plain.same_code(launches)


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_read_together_or_one_by_one_mix_and_listing_are_the_same(meta: Meta, target: str) -> None:
    binaries = list(compiled(meta, target).binaries.values())
    together = disassemble(binaries, target)
    alone = [parse(disassembly(binary)) for binary in binaries]
    assert len(together) == 2 and together[0] != together[1]
    assert list(map(count_instructions, together)) == list(map(count_instructions, alone))
    assert list(map(listing, together)) == list(map(listing, alone))


def test_an_architecture_that_raw_images_do_not_have_is_read_binary_by_binary(meta: Meta) -> None:
    binaries = list(compiled(meta).binaries.values())
    read = [listing(code) for code in disassemble(binaries, "sm_90x")]
    assert all(read) and read == [listing(code) for code in disassemble(binaries, "sm_90")]


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
    for document in (
        *("", "[1]", "\x00", "[" * 100_000, '{"total": 1}', '{"mix": {"total": "many"}, "listing": ""}'),
        *('{"mix": {"total": -1}, "listing": ""}', '{"mix": {"total": 1}, "listing": 1}'),
        json.dumps({"mix": {"total": 1 << 63}, "listing": ""}),
        json.dumps({"mix": {"total": 1}, "listing": "\ud800"}),
        json.dumps({"mix": {"total": 1}, "listing": "x" * instructions.LARGEST_FILE}),
    ):
        for file in folder.iterdir():
            file.write_text(document)
        instructions._known.clear()
        assert with_instructions(op.launches, {}) == op.launches, document[:60]
    assert with_instructions(op.launches, op.binaries) == first
    assert all(json.loads(file.read_text())["mix"]["total"] for file in folder.iterdir())


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(meta: Meta, folder: Path) -> None:
    op = compiled(meta)
    folder.write_text("a file in the way")
    assert all(mixes_of(with_instructions(op.launches, op.binaries)).values())


def test_listings_of_a_case_end_where_they_would_be_too_much_to_send(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    def op() -> None:
        for size in (1000, 2000, 3000):
            static_ops.scale(meta(size))

    case = compile_op(op, (), "sm_90")
    whole = with_instructions(case.launches, case.binaries)
    first, *_ = texts = [kernel.listing for kernel in whole.kernels]
    assert first and texts == [first] * 3
    monkeypatch.setattr(instructions, "LISTINGS_BYTES", 2 * len(first))
    cut = with_instructions(case.launches, case.binaries)
    assert [kernel.listing for kernel in cut.kernels] == [first, first, ""]
    assert [kernel.instructions for kernel in cut.kernels] == [k.instructions for k in whole.kernels]


def test_amd_kernels_have_neither(meta: Meta) -> None:
    op = compiled(meta, "gfx942")
    assert with_instructions(op.launches, op.binaries) == op.launches
