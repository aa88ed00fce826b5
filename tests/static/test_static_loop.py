"""The main loop is found, and its text says the same wherever in the kernel it lies."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import static_ops
import torch

from kernels.moe_w4a8 import moe_w4a8
from kernels.shapes import QWEN35_35B
from kernels.suite.problems import moe_problem
from perfsuite.static.loop import LISTING_BYTES, LISTING_LINES, is_listing, listing
from perfsuite.static.offline import compile_launches, compile_op
from perfsuite.static.sass import disassemble, parse

LINE = re.compile(r"[0-9a-f]{4,}  (@!?U?P\w+ )?[A-Z][A-Z0-9_]*(\.\w+)*( .+)?")

Meta = Callable[..., torch.Tensor]


def labelled(*lines: str, start: int = 0) -> str:
    """As `nvdisasm -c` writes a section: `L1:` stands for a label."""
    text, address = [], start
    for line in lines:
        if line.endswith(":"):
            text.append(f".{line}")
        else:
            shown = re.sub(r"\b(L\d)$", r"`(.\1)", line)
            text.append(f"        /*{address:04x}*/              {shown} ;")
            address += 16
    return "\n".join(text)


def raw(*lines: str, start: int = 0) -> str:
    """As nvdisasm writes a raw image."""
    places, address = {}, start
    for line in lines:
        if line.endswith(":"):
            places[line[:-1]] = address
        else:
            address += 16
    plain = [
        re.sub(r"\b(L\d)$", lambda m: f"0x{places[m[1]]:x}", line) for line in lines if not line.endswith(":")
    ]
    return labelled(*plain, start=start)


def listed(*lines: str) -> str:
    """Of both forms, which say the same."""
    text = listing(parse(labelled(*lines)))
    assert listing(parse(raw(*lines))) == text
    return text


END = ("EXIT", "L9:", "BRA L9", "NOP", "NOP")


def test_a_loop_is_shown_from_its_own_start() -> None:
    text = listed(
        *("LDC R1, c[0x0][0x28]", "@!P0 EXIT", "L1:", "LDG.E.128 R4, desc[UR4][R2.64]", "@P1 BRA L2"),
        *("IADD3 R2, R2, 0x10, RZ", "L2:", "@P2 BRA L3", "@!P0 BRA L1", "L3:", "STG.E [R2.64], R4", *END),
    )
    assert text.splitlines() == [
        "0000  LDG.E.128 R4, desc[UR4][R2.64]",
        "0010  @P1 BRA .L_0030",
        "0020  IADD3 R2, R2, 0x10, RZ",
        "0030  @P2 BRA .out",
        "0040  @!P0 BRA .L_0000",
    ]
    assert is_listing(text)


def test_where_the_loop_lies_makes_no_difference() -> None:
    loop = ("L1:", "BSSY B0, L2", "IMMA.16832.S8.S8 R4, R2.ROW, R3.COL, R4", "L2:", "BSYNC B0", "@P0 BRA L1")
    here = listed(*loop, *END)
    assert listed(*["MOV R1, R2"] * 99, "@P0 BRA L3", *loop, "L3:", *["MOV R1, R2"] * 9, *END) == here
    assert "BSSY B0, .L_0020" in here


def test_a_kernel_without_a_loop_is_shown_whole_without_its_padding() -> None:
    text = listed("LDC R1, c[0x0][0x28]", "@P0 BRA L1", "NOP", "FADD R2, R2, R3", "L1:", *END)
    assert text.splitlines() == [
        "0000  LDC R1, c[0x0][0x28]",
        "0010  @P0 BRA .L_0040",
        "0020  NOP",
        "0030  FADD R2, R2, R3",
        "0040  EXIT",
    ]


def test_the_innermost_loop_with_the_most_matrix_instructions_is_the_main_one() -> None:
    text = listed(
        *("L1:", "HMMA.16816.F32 R4, R8, R2, R4", "L2:", *["FADD R1, R1, R2"] * 9, "@P0 BRA L2"),
        *("L3:", "HGMMA.64x64x16.F32 R24, gdesc[UR8], R24", "HGMMA.64x64x16.F32 R24, gdesc[UR8], R24"),
        *("@P0 BRA L3", "@P1 BRA L1", *END),
    )
    assert text.count("HGMMA") == 2 and text.count("\n") == 2


def test_of_an_unrolled_part_and_its_inner_loop_the_loop_is_the_main_one() -> None:
    dot, wait = "UTCHMMA gdesc[UR8], tmem[UR4]", "SYNCS.PHASECHK.TRANS64.TRYWAIT P1, [UR4], R2"
    text = listed(
        *("L1:", dot, "MOV R1, R2", "L2:", dot, "L3:", wait, "@!P1 BRA L3", "BRA.U UP0, L2", "@P0 BRA L1"),
        *END,
    )
    assert text.count("UTCHMMA") == 1 and text.endswith("0030  BRA.U UP0, .L_0000")


def test_a_kernel_that_only_waits_in_loops_is_shown_whole() -> None:
    text = listed(
        "L1:", "NOP", "USETMAXREG.TRY_ALLOC.CTAPOOL UP1, 0x100", "BRA.U !UP1, L1", "FADD R1, R1", *END
    )
    assert text.splitlines()[2:] == ["0020  BRA.U !UP1, .L_0000", "0030  FADD R1, R1", "0040  EXIT"]


def test_without_matrix_instructions_it_is_the_longest_innermost_loop() -> None:
    text = listed(
        *("L1:", "MOV R1, R2", "L2:", "FADD R1, R1, R2", "@P0 BRA L2"),
        *("L3:", "FMUL R1, R1, R2", "FMUL R2, R2, R1", "@P0 BRA L3", "@P1 BRA L1", *END),
    )
    assert text.splitlines()[1:] == ["0010  FMUL R2, R2, R1", "0020  @P0 BRA .L_0000"]


def test_a_wait_inside_the_loop_belongs_to_it() -> None:
    wait = "SYNCS.PHASECHK.TRANS64.TRYWAIT P1, [UR4], R2"
    text = listed("L1:", "L2:", wait, "@!P1 BRA L2", "UTCHMMA gdesc[UR8], tmem[UR4]", "@P0 BRA L1", *END)
    assert "UTCHMMA" in text and "0010  @!P1 BRA .L_0000" in text


def test_a_wait_behind_the_kernels_end_belongs_to_the_loop_and_the_end_does_not() -> None:
    wait = "SYNCS.PHASECHK.TRANS64.TRYWAIT P1, [UR4], R2"
    text = listed(
        *("L1:", wait, "@!P1 BRA L3", "L2:", "HGMMA.64x64x16.F32 R24, gdesc[UR8], R24", "@P0 BRA L1"),
        *("STG.E [R2.64], R4", "EXIT", "L3:", wait, "@!P1 BRA L3", "BRA L2", *END),
    )
    assert text.splitlines() == [
        f"0000  {wait}",
        "0010  @!P1 BRA .L_0040",
        "0020  HGMMA.64x64x16.F32 R24, gdesc[UR8], R24",
        "0030  @P0 BRA .L_0000",
        f"0040  {wait}",
        "0050  @!P1 BRA .L_0040",
        "0060  BRA .L_0020",
    ]


def test_a_loop_that_is_entered_at_its_condition_is_whole() -> None:
    text = listed("BRA L2", "L1:", "HMMA.16816.F32 R4, R8, R2, R4", "L2:", "ISETP P0, R1", "@P0 BRA L1", *END)
    assert text.splitlines()[0] == "0000  HMMA.16816.F32 R4, R8, R2, R4" and text.count("\n") == 2


def test_loops_behind_a_table_of_targets_are_found() -> None:
    loop = ("L1:", "HGMMA.64x64x16.F32 R24, gdesc[UR8], R24", "BRA.U UP0, L1")
    text = listed("BRX R4 -0x70", *["FADD R1, R1, R2"] * 3, "EXIT", *loop, *END)
    assert text.splitlines()[1:] == ["0010  BRA.U UP0, .L_0000"]


def test_sections_of_a_binary_are_laid_end_to_end() -> None:
    first = labelled("MOV R1, R2", "CALL.REL.NOINC L3", *END)
    second = labelled("L3:", "FADD R1, R1, R2", "L4:", "IMMA.16832.S8.S8 R4, R2, R3, R4", "@P0 BRA L4", "RET")
    assert listing(parse(f"{first}\n{second}")).splitlines() == [
        "0000  IMMA.16832.S8.S8 R4, R2, R3, R4",
        "0010  @P0 BRA .L_0000",
    ]


def test_a_target_that_is_nowhere_ends_nothing() -> None:
    text = listing(parse(raw("FADD R1, R1, R2") + "\n" + labelled("@P0 BRA 0x7000", "EXIT", start=16)))
    assert text.splitlines()[1] == "0010  @P0 BRA .out"
    assert listing(parse("")) == listing(parse("nvdisasm fatal : no")) == ""


def test_a_long_listing_ends_with_how_much_is_left() -> None:
    text = listed("L1:", *["FADD R1, R1, R2"] * (LISTING_LINES + 6), "@P0 BRA L1", *END)
    assert text.count("\n") == LISTING_LINES and text.endswith("\n(7 more instructions)")


@pytest.mark.parametrize("text", ["x" * (LISTING_BYTES + 1), "\x00", "\x1b[31m", "\ud800", "FADD\r\n"])
def test_what_code_under_test_may_write_is_no_listing(text: str) -> None:
    assert not is_listing(text) and is_listing("")


@pytest.mark.parametrize(
    ("target", "name", "matrix", "ahead"),
    [
        ("sm_80", "_gemm", "IMMA.", "LDGSTS"),
        # Specialized warps: four groups multiply alike, and wait for what one warp copies.
        ("sm_90", "_grouped", "IGMMA.", "SYNCS"),
        ("sm_100", "_gemm", "IMMA.", "LDGSTS"),
    ],
)
@pytest.mark.filterwarnings("ignore:no tiles are tuned")
def test_the_k_loop_of_the_watched_kernel_is_found(target: str, name: str, matrix: str, ahead: str) -> None:
    with torch.device("meta"):
        arguments = moe_problem(QWEN35_35B, 1696, 128, act_tile=128).inputs(0)
    kernels = compile_launches(moe_w4a8, arguments, target).kernels
    gemm = next(kernel for kernel in kernels if kernel.name == name)
    loop = gemm.listing.splitlines()
    assert all(LINE.fullmatch(line) for line in loop)
    assert sum(matrix in line for line in loop) >= 4, "the dots"
    assert any(ahead in line for line in loop), "the loads of later tiles, or the wait for this one's"
    assert any(re.search(r"BRA(\.U)?( UP\d,)? \.L_0000$", line) for line in loop), "the way back"
    assert 0 < len(loop) < gemm.instructions["total"]
    assert all(is_listing(kernel.listing) and kernel.listing for kernel in kernels)


def test_a_comment_changes_no_listing_and_an_addition_in_the_loop_does(meta: Meta, tmp_path: Path) -> None:
    source = Path(static_ops.__file__).read_text()
    dot = "        total = tl.dot(a, b, total)\n"
    edits = {
        "plain": source,
        "comment": source.replace(dot, f"        # Sums up.\n\n{dot}"),
        "addition": source.replace(dot, dot + "        total += 1.5\n"),
    }
    x = meta(64, 256, dtype=torch.bfloat16)
    texts = {}
    for name, text in edits.items():
        file = tmp_path / f"{name}_ops.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        op = compile_op(module.matmul, (x, x), "sm_90")
        (code,) = disassemble(list(op.binaries.values()), "sm_90")
        texts[name] = listing(code)
    assert texts["plain"] == texts["comment"] != texts["addition"]
    assert "HGMMA" in texts["plain"] and "FADD" in texts["addition"]
