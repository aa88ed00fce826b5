"""The commands that measure a case again, and where it was measured. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from perfsuite.model import Comparison, Environment, Run
from perfsuite.report.conditions import conditions
from perfsuite.report.words import plain
from perfsuite.stats.stored import STORED
from perfsuite.units import format_bytes

_SHORT = 10
_UNKNOWN = "–"


def pattern_of(case: str) -> str:
    """What `-k` takes to choose this case: its id, in which ` or ` must not part it."""
    # With a wildcard it is a glob of the whole id, in which `?` is any letter, the blank too.
    return plain(case).replace(" or ", "?or?")


def commands(
    case: str, base: Run | None, head: Run, comparison: Comparison | None = None
) -> list[tuple[str, str]]:
    """(what it does, command), each quoted for a shell."""
    return list(_commands(case, base, head, comparison))


def _commands(
    case: str, base: Run | None, head: Run, comparison: Comparison | None
) -> Iterator[tuple[str, str]]:
    chosen = ["-k", pattern_of(case)]
    stored = comparison is None or comparison.kind == STORED
    if head.kind == "import":
        yield "Show what was imported", _line("report", head.id[:12])
        return
    yield "Measure the case in your working tree", _line("run", *chosen)
    if not head.commit.dirty:
        sha = head.commit.sha[:_SHORT]
        yield "Measure it at this commit, in a clean checkout", _line("run", "--revision", sha, *chosen)
    if base is not None and not base.commit.dirty:
        sides = [run.commit.sha[:_SHORT] for run in (base, head) if not run.commit.dirty]
        limit = [] if comparison is None else ["--threshold", f"{comparison.threshold:.6g}"]
        what = "Measure both commits again in lockstep"
        if head.commit.dirty:
            what = "Measure your working tree against base (head had uncommitted changes)"
        if base.commit.sha != head.commit.sha:
            yield what, _line("compare", *sides, *chosen, *limit)
        if len(set(sides)) == 2:
            yield "Find the commit that moved it", _line("bisect", plain(case), *sides)
    if base is not None and stored:
        yield (
            "Judge the two stored runs again",
            _line("compare", "--stored", base.id[:12], head.id[:12], *chosen),
        )
    reference = head.id if comparison is None or stored else comparison.id
    yield "Show the stored report", _line("report", reference[:12])


def _line(*words: str) -> str:
    return shlex.join(["perfsuite", *words])


def environment_rows(environment: Environment) -> dict[str, str]:
    """What is known of where it was measured, by name, in words."""
    known = {
        "GPU": environment.gpu,
        "memory": _bytes(environment.gpu_memory_bytes),
        "multiprocessors": environment.gpu_sm_count,
        "L2 cache": _bytes(environment.gpu_l2_bytes),
        "compute capability": environment.compute_capability,
        "clocks": environment.clocks,
        "driver": environment.driver,
        "CUDA": environment.cuda,
        "torch": environment.torch,
        "Triton": environment.triton,
        "Python": environment.python,
        "CPU": environment.cpu,
        "host": environment.host,
        **{str(name).replace("_", " "): value for name, value in environment.details.items()},
        "conditions": "; ".join(conditions(environment)),
        "fingerprint": environment.fingerprint,
    }
    return {plain(name): plain(str(value)) for name, value in known.items() if value not in (None, "")}


def environment_table(base: Environment | None, head: Environment) -> list[tuple[str, str, str]]:
    """(fact, base, head); of one side, or where both are alike, base is empty."""
    before = environment_rows(base) if base else {}
    after = environment_rows(head)
    return [
        (name, _before(before, after, name) if base else "", after.get(name, _UNKNOWN))
        for name in dict.fromkeys((*after, *before))
    ]


def _before(before: dict[str, str], after: dict[str, str], name: str) -> str:
    value = before.get(name, _UNKNOWN)
    return "" if value == after.get(name, _UNKNOWN) else value


def _bytes(count: int | None) -> str | None:
    return None if count is None else format_bytes(count)
