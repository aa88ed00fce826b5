"""Two listings side by side: what is aligned with what, and what counts as a difference."""

from __future__ import annotations

import pytest

from dashboard.derive.sass import Diff, Kind, compare, differing, is_register, operations, parse, worded

LOOP = """\
0000  HGMMA.64x128x16.F32 R24, gdesc[UR8], R24
0010  @!P0 LDG.E.128 R4, [R2.64]
0020  IADD3 R2, R2, 0x10, RZ
0030  ISETP.NE.AND P0, PT, R2, R5, PT
0040  @P0 BRA .L_0000
"""


def diff(base: str, head: str) -> Diff:
    return compare(parse(base), parse(head))


def kinds(made: Diff) -> str:
    return "".join(row.kind.value for row in made.rows)


def test_addresses_are_read_and_may_be_missing() -> None:
    first, second = parse("0010  @!P0 LDG.E.128 R4, [R2.64]\nL0: BRA L0\n\n")
    assert (first.address, first.text, first.operation) == ("0010", "@!P0 LDG.E.128 R4, [R2.64]", "LDG")
    assert (second.address, second.text, second.operation) == ("", "L0: BRA L0", "BRA")


def test_equal_loops_are_equal_wherever_they_lie() -> None:
    made = diff(LOOP, LOOP.replace("00", "01", 1))
    assert made.equal
    assert not made.only_registers


def test_registers_that_are_renamed_throughout_are_no_change() -> None:
    made = diff(LOOP, LOOP.replace("R24", "R88").replace("R4,", "R12,").replace("UR8", "UR4"))
    assert made.only_registers
    assert made.renamed
    assert kinds(made) == "~~==="


def test_registers_that_are_allocated_otherwise_are_told_from_renamed_ones() -> None:
    made = diff("MOV R1, R2\nMOV R3, R2", "MOV R1, R2\nMOV R3, R4")
    assert made.only_registers
    assert not made.renamed


def test_two_registers_that_become_one_are_not_a_renaming() -> None:
    assert not diff("FADD R1, R2, R3", "FADD R1, R2, R2").renamed


def test_the_hint_for_the_register_cache_is_no_change_of_shape() -> None:
    assert diff("FFMA R1, R2.reuse, R3, R1", "FFMA R1, R2, R3, R1").only_registers


def test_another_branch_target_or_number_is_a_change() -> None:
    made = diff("IADD3 R2, R2, 0x10, RZ\nBRA .L_0000", "IADD3 R2, R2, 0x20, RZ\nBRA .out")
    assert kinds(made) == "≠≠"


def test_what_is_inserted_and_removed_leaves_the_rest_beside_each_other() -> None:
    lines = LOOP.splitlines()
    made = diff(LOOP, "\n".join([lines[0], "0010  BAR.SYNC 0x0", *lines[2:]]))
    assert kinds(made) in ("=−+===", "=+−===")
    removed = next(row for row in made.rows if row.kind is Kind.REMOVED)
    assert removed.base is not None
    assert removed.base.operation == "LDG"
    assert removed.head is None


def test_an_equal_line_is_never_given_up_for_a_similar_one() -> None:
    made = diff("LDS R1, [R2]", "LDS R9, [R8]\nLDS R1, [R2]")
    assert kinds(made) == "+="


@pytest.mark.parametrize(("base", "head", "shown"), [("", "NOP", "+"), ("NOP", "", "−"), ("", "", "")])
def test_empty_sides(base: str, head: str, shown: str) -> None:
    assert kinds(diff(base, head)) == shown


def test_a_long_loop_of_few_different_lines_is_aligned_whole() -> None:
    base = ["FADD R1, R1, R2", "LDS R2, [R3]"] * 1000
    head = [*base[:700], "BAR.SYNC 0x0", *base[700:]]
    made = diff("\n".join(base), "\n".join(head))
    assert made.counts == {Kind.EQUAL: 2000, Kind.ADDED: 1}


def test_operations_are_counted_without_guards_and_modifiers() -> None:
    assert operations(parse(LOOP)) == {"BRA": 1, "HGMMA": 1, "IADD3": 1, "ISETP": 1, "LDG": 1}


def test_an_instruction_is_read_as_words_that_differ_or_not() -> None:
    lead, base = worded("@!P0 LDG.E.128 R4, [R2.64]")
    assert (lead, base[0]) == ("@!P0 ", "LDG.E.128")
    _, head = worded("LDG.E.128 R6, [R2.64+0x10]")
    assert [head[place] for place in sorted(differing(head, base))] == ["R6", "+", "0x10"]
    assert differing(base, base) == frozenset()
    assert worded("L0: BRA L0") == ("L0: ", ["BRA", " ", "L0"])
    assert worded("") == ("", [])
    assert [is_register(word) for word in ("R4", "UR8", "LDG.E.128")] == [True, True, False]


def test_an_instruction_is_split_into_guard_operation_and_operands() -> None:
    lead, words = worded("@!P0 LDG.E.128 R4, [R2.64+0x10]")
    assert lead == "@!P0 "
    assert [word for word in words if not word.isspace()] == [
        *("LDG.E.128", "R4", ",", "[", "R2.64", "+", "0x10", "]"),
    ]
    assert worded("L0: HGMMA R24")[0] == "L0: "
    assert "".join(worded("BAR.SYNC 0x0")[1]) == "BAR.SYNC 0x0"


def test_the_words_that_differ_are_told_with_registers_apart() -> None:
    ours, theirs = (worded(text)[1] for text in ("LDG.E.64 R4, [R2]", "LDG.E.128 R8, [R2]"))
    marked = [theirs[at] for at in sorted(differing(theirs, ours))]
    assert marked == ["LDG.E.128", "R8"]
    assert [is_register(word) for word in ("R8", "UR4.64", "RZ", "0x10", "LDG")] == [
        *(True, True, False, False, False),
    ]
    assert differing(ours, ours) == frozenset()
