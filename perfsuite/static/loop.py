"""The main loop of a kernel, as text that can be laid beside another commit's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from perfsuite.static.mix import is_matrix
from perfsuite.static.sass import INSTRUCTION_BYTES, TARGET, Instruction

LISTING_LINES = 2_000
"""The longest K-loop of the kernel suite has 728 instructions; at some 36 bytes a line this is 72 kB."""
LISTING_BYTES = 400_000
"""More than so many lines can have: nvdisasm's longest seen has 80 bytes."""

_BRANCHES = ("BRA", "JMP")
"""What closes loops. BRX picks from a table (a `switch`), which a raw image does not show."""
_ENDS = ("EXIT", "RET", "BRX")

_WAITS = frozenset({*_BRANCHES, "NANOSLEEP", "NOP", "SYNCS", "USETMAXREG"})
"""All that is in a loop which waits for a barrier, or for registers."""

Edges = dict[int, list[int]]
"""Of the flow of control, by number of the block."""


def listing(instructions: Sequence[Instruction]) -> str:
    """The instructions of the main loop, or of a kernel without a loop all, one a line.

    `0010  @!P0 LDG.E.128 R4, [R2.64]`: the address counts from the loop's start, a target in the loop is
    `.L_0040`, any other `.out`, so that the text does not tell where in the kernel the loop lies. Where a
    loop's code is in several pieces (a wait that is moved behind the kernel's end) they follow each other.
    What pads the kernel's end is left out. Longer ones end after `LISTING_LINES`.
    """
    code = _without_padding(instructions)
    shown = main_loop(code) or code
    labels = {each.address: f"{index * INSTRUCTION_BYTES:04x}" for index, each in enumerate(shown)}
    lines = [f"{labels[each.address]}  {_text(each, labels)}" for each in shown[:LISTING_LINES]]
    if len(shown) > LISTING_LINES:
        lines.append(f"({len(shown) - LISTING_LINES} more instructions)")
    return "\n".join(lines)


def is_listing(text: str) -> bool:
    """Whether it can be what `listing` returns: code under test writes where listings are passed on."""
    return len(text) <= LISTING_BYTES and text.isascii() and text.replace("\n", "").isprintable()


def main_loop(code: Sequence[Instruction]) -> list[Instruction]:
    """The loop with the most matrix instructions outside of loops within it; among equals an innermost one,
    then the longest, then the first. Loops that only wait do not count. Empty where there is no loop."""
    blocks = _blocks(code)
    bodies = [body for body in _loops(_edges(blocks)) if not _waits(blocks[number] for number in body)]
    matrix: Counter[frozenset[int]] = Counter()
    for number, block in enumerate(blocks):
        around = [body for body in bodies if number in body]
        if around:
            matrix[min(around, key=len)] += sum(is_matrix(each.opcode) for each in block)

    def rank(body: frozenset[int]) -> tuple[int, bool, int]:
        # Its equals alone: a K-loop that has, say, an atomic's loop in it is innermost all the same.
        innermost = not any(other < body and matrix[other] == matrix[body] for other in bodies)
        return matrix[body], innermost, sum(len(blocks[number]) for number in body)

    main = max(bodies, key=rank, default=frozenset())
    return [each for number in sorted(main) for each in blocks[number]]


def _waits(blocks: Iterable[Sequence[Instruction]]) -> bool:
    return all(each.opcode in _WAITS for block in blocks for each in block)


def _without_padding(instructions: Sequence[Instruction]) -> Sequence[Instruction]:
    end = len(instructions)
    while end and (instructions[end - 1].opcode == "NOP" or _halts(instructions[end - 1])):
        end -= 1
    return instructions[:end]


def _halts(each: Instruction) -> bool:
    """A branch to itself, as behind the last instruction of a kernel: nothing that is reached."""
    return each.opcode in _BRANCHES and each.target == each.address


def _text(each: Instruction, labels: Mapping[int, str]) -> str:
    operands = each.operands
    if each.target is not None:
        place = f".L_{labels[each.target]}" if each.target in labels else ".out"
        operands = TARGET.sub(place, operands)
    return " ".join(f"{each.guard} {each.opcode}{each.suffix} {operands}".split())


def _blocks(code: Sequence[Instruction]) -> list[Sequence[Instruction]]:
    """Cut where something branches to, and behind what branches or ends."""
    targets = {each.target for each in code if each.opcode in _BRANCHES}
    starts = [0]
    for index in range(1, len(code)):
        if code[index].address in targets or code[index - 1].opcode in (*_BRANCHES, *_ENDS):
            starts.append(index)
    return [code[start:end] for start, end in pairwise([*starts, len(code)])] if code else []


def _edges(blocks: Sequence[Sequence[Instruction]]) -> Edges:
    numbers = {block[0].address: number for number, block in enumerate(blocks)}
    edges: Edges = {}
    for number, block in enumerate(blocks):
        last = block[-1]
        edges[number] = []
        if last.opcode in _BRANCHES and last.target in numbers and not _halts(last):
            edges[number].append(numbers[last.target])
        if number + 1 < len(blocks) and not _leaves(last):
            edges[number].append(number + 1)
    return edges


def _leaves(last: Instruction) -> bool:
    """Whether what follows is not reached from here. `BRA.U UP0, …` has its condition as an operand."""
    always = not last.guard and "," not in last.operands
    return always and last.opcode in (*_BRANCHES, *_ENDS)


def _loops(edges: Edges) -> list[frozenset[int]]:
    """The blocks of each loop: of those with one entrance, all through which control returns to it."""
    roots: list[int] = []
    reached: set[int] = set()
    # Whatever nothing is seen to lead to (a table's targets, functions) is entered from somewhere unseen.
    for number in edges:
        if number not in reached:
            roots.append(number)
            reached |= _flood(edges, [number], without=reached)
    before: Edges = {number: [] for number in edges}
    for number, following in edges.items():
        for after in following:
            before[after].append(number)
    found = []
    for head in _between_back_branches(edges):
        elsewhere = _flood(edges, [root for root in roots if root != head], without={head})
        closing = [number for number in before[head] if number not in elsewhere]
        if closing:
            found.append(frozenset({head} | _flood(before, closing, without={head})))
    return found


def _between_back_branches(edges: Edges) -> list[int]:
    """The blocks that can be in a loop: from where a branch leads back to, to where it comes from."""
    return sorted(
        {
            number
            for source, following in edges.items()
            for target in following
            if target <= source
            for number in range(target, source + 1)
        }
    )


def _flood(edges: Edges, sources: Sequence[int], *, without: set[int]) -> set[int]:
    found: set[int] = set()
    waiting = [number for number in sources if number not in without]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += [after for after in edges[number] if after not in without]
    return found
