"""Budgets: what a repository says its cases may take on a GPU, against what a run measured. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from perfsuite.cases import match_cases, nearest_cases
from perfsuite.errors import Exit, UsageError
from perfsuite.model import Result, Run, Status
from perfsuite.report import run_exit_code
from perfsuite.report.columns import columns
from perfsuite.report.conditions import conditions
from perfsuite.report.escape import code, text
from perfsuite.report.json import SCHEMA, run_json
from perfsuite.report.markdown import MAX_CHARACTERS, Section, cells, fit, steady
from perfsuite.report.words import cases_of, commit_line, plain, roofline_cell, time_summary
from perfsuite.units import format_ns

_HEADINGS = ("case", "required", "aim", "measured", "of required", "roofline", "kept")
_NUMBERS = (1, 2, 3, 4, 5)
"""Columns that stand at the right."""
_HEADER = f"{cells(*_HEADINGS)}\n|---|--:|--:|--:|--:|--:|---|"
_WHOLE_PROFILE = "full"
"""The one that leaves no case out."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The longest time that is acceptable for some cases on some GPUs."""

    gpu: str
    """Glob of the whole GPU model, such as `NVIDIA H200`."""
    match: str
    """Which cases, as `-k`."""
    at_most_ns: float
    aim_ns: float | None = None
    """What is wanted beyond it; falling short of it is no fault."""


class Standing(StrEnum):
    """What became of a budget in a run."""

    KEPT = "kept"
    EXCEEDED = "exceeded"
    UNTIMED = "not measured"
    """The run has no such case, or no time of it: a red gate has none."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One case beside its budget."""

    budget: Budget
    result: Result | None = None
    """None where no case of the run matches."""
    median_ns: float | None = None

    @property
    def case(self) -> str:
        """Its id; the pattern where there is no such case."""
        return self.budget.match if self.result is None else self.result.case

    @property
    def ratio(self) -> float | None:
        """Measured over required; up to 1 the budget is kept."""
        return None if self.median_ns is None else self.median_ns / self.budget.at_most_ns

    @property
    def standing(self) -> Standing:
        if self.ratio is None:
            return Standing.UNTIMED
        return Standing.KEPT if self.ratio <= 1 else Standing.EXCEEDED

    @property
    def reaches_aim(self) -> bool:
        aim_ns = self.budget.aim_ns
        return aim_ns is not None and self.median_ns is not None and self.median_ns <= aim_ns


@dataclass(frozen=True, slots=True)
class Stray:
    """A budget whose pattern names no case of the suite: nothing will ever be held against it."""

    budget: Budget
    nearest: str
    """The case whose id looks most like what was meant."""


def stray_budgets(budgets: Iterable[Budget], run: Run, results: Sequence[Result], suite: str) -> list[Stray]:
    """Those of any GPU, if the run was asked for all cases of the suite: others do not know what there is.

    Args:
        suite: the configured one; a run of another, or of a part of it, says nothing.
    """
    names = [result.case for result in cases_of(results)]
    whole = run.kind == "run" and run.profile == _WHOLE_PROFILE and not run.pattern
    if not (whole and run.finished_at is not None and suite and run.suite == suite and names):
        return []
    strays = [budget for budget in budgets if not match_cases(budget.match, names)]
    return [Stray(budget, nearest_cases(budget.match, names)[0]) for budget in strays]


def measured_budgets(budgets: Sequence[Budget], run: Run, results: Sequence[Result]) -> list[Measured]:
    """A line for each case with a budget on the run's GPU, and for each of these budgets that has no case.

    In the order of the budgets, which is how whoever wrote them grouped them.

    The median counts, as it stands in all reports: a budget is no comparison, which would need an interval.

    Raises:
        UsageError: a case has two budgets.
    """
    gpu = run.environment.gpu or ""
    cases = {result.case: result for result in cases_of(results)}
    owners: dict[str, Budget] = {}
    lines = []
    for budget in (budget for budget in budgets if _is_for(budget, gpu)):
        matching = match_cases(budget.match, cases)
        for case in matching:
            if owners.setdefault(case, budget) is not budget:
                raise _two_budgets(case, owners[case], budget)
        lines += [_measured(budget, cases[case]) for case in matching] or [Measured(budget)]
    return lines


def budgets_exit_code(results: Sequence[Result], measured: Iterable[Measured], *, gate: bool) -> Exit:
    """Of a run: red as ever, and where budgets are a gate, when one is exceeded."""
    exceeded = any(line.standing is Standing.EXCEEDED for line in measured)
    return Exit.RED if gate and exceeded else run_exit_code(tuple(results))


def budgets_answer(run: Run, measured: Sequence[Measured]) -> str:
    """`Budgets on NVIDIA H200: 45 kept (5 of them reach their aim), 6 exceeded.`"""
    counts = Counter(line.standing for line in measured)
    shown = [f"{counts[standing]} {standing}" for standing in Standing if counts[standing]]
    aims = sum(line.reaches_aim for line in measured)
    if aims:
        noun = "reaches its" if aims == 1 else "reach their"
        shown[0] += f" ({aims} of them {noun} aim)"
    return f"Budgets on {plain(run.environment.gpu or 'no GPU')}: {', '.join(shown) or 'none'}."


def budgets_note(run: Run, measured: Sequence[Measured], strays: Sequence[Stray] = ()) -> list[str]:
    """What is said at the end of a run: the answer, a line for each that was exceeded, worst first, and one
    for each that names no case. Nothing where no case of the run has a budget and all of them name some.
    """
    told = _answer_lines(run, measured) if any(line.result is not None for line in measured) else []
    return [*told, *map(stray_line, strays)]


def _answer_lines(run: Run, measured: Sequence[Measured]) -> list[str]:
    exceeded = [line for line in measured if line.ratio is not None and line.ratio > 1]
    worst_first = sorted(exceeded, key=lambda line: -(line.ratio or 0))
    return [
        f"{budgets_answer(run, measured)} The table: perfsuite report --budgets",
        *(
            f"  {plain(line.case)}: {format_ns(line.median_ns or 0)}, "
            f"{_ratio_cell(line)} of the {format_ns(line.budget.at_most_ns)} required"
            for line in worst_first
        ),
    ]


def stray_line(stray: Stray) -> str:
    """`! the budget 'decode[m=2]' of 'NVIDIA H200' names no case of this run, which measured all; …`"""
    budget = stray.budget
    return (
        f"! the budget {plain(budget.match)!r} of {plain(budget.gpu)!r} names no case of this run, "
        f"which measured all; the nearest is {plain(stray.nearest)}"
    )


def budgets_text(run: Run, measured: Sequence[Measured], strays: Sequence[Stray] = ()) -> str:
    """The answer, where it was measured, budgets that name no case, and the table."""
    lines = [
        budgets_answer(run, measured),
        f"commit {commit_line(run.commit)}",
        f"environment {plain(run.environment.label)}",
        *conditions(run.environment),
        *map(stray_line, strays),
        f"profile {plain(run.profile)} · run {run.id[:12]}",
        "",
    ]
    rows = [(plain(line.case), *_figures(line), _kept_cell(line)) for line in measured]
    return "\n".join([*lines, *columns(_HEADINGS, rows, _NUMBERS)]) + "\n"


def budgets_markdown(
    run: Run, measured: Sequence[Measured], strays: Sequence[Stray] = (), *, limit: int = MAX_CHARACTERS
) -> str:
    """The same as Markdown; what was exceeded is bold."""
    unknown = Section(tuple(f"- {_stray_item(stray)}" for stray in strays), folded=False, noun="budgets")
    rows = tuple(cells(code(line.case), *map(steady, _figures(line)), _emphasized(line)) for line in measured)
    where = f"{text(run.environment.label)} · profile {text(run.profile)} · commit {code(run.commit.label)}"
    table = Section(rows, "", _HEADER, folded=False, noun="budgets")
    answer = f"**{text(budgets_answer(run, measured))}**"
    return fit([answer, *([unknown] if strays else []), table, where], limit)


def _stray_item(stray: Stray) -> str:
    budget = stray.budget
    return (
        f"The budget {code(budget.match)} of {text(budget.gpu)} **names no case** of this run, "
        f"which measured all; the nearest is {code(stray.nearest)}"
    )


def budgets_json(
    run: Run,
    results: Sequence[Result],
    measured: Sequence[Measured],
    strays: Sequence[Stray] = (),
    *,
    gate: bool,
) -> dict[str, Any]:
    """Times in ns; `ratio` is measured over required; `naming_no_case`: patterns that are likely mistyped."""
    return {
        "schema": SCHEMA,
        "run": run_json(run, [])["run"],
        "exit_code": int(budgets_exit_code(results, measured, gate=gate)),
        "gate": gate,
        "budgets": [_json(line) for line in measured],
        "naming_no_case": [
            {"match": stray.budget.match, "gpu": stray.budget.gpu, "nearest": stray.nearest}
            for stray in strays
        ],
    }


def _is_for(budget: Budget, gpu: str) -> bool:
    # Brackets stand for themselves, as in patterns of cases.
    return fnmatchcase(gpu, budget.gpu.replace("[", "[[]"))


def _two_budgets(case: str, first: Budget, second: Budget) -> UsageError:
    named = " and ".join(f"{budget.match!r} of {budget.gpu!r}" for budget in (first, second))
    return UsageError(f"{case} has two budgets: {named}", "make one of the patterns narrower")


def _measured(budget: Budget, result: Result) -> Measured:
    times = time_summary(result)
    return Measured(budget, result, times.median_ns if times else None)


def _figures(line: Measured) -> tuple[str, str, str, str, str]:
    """Required, aim, measured, the ratio of both and the share of the roofline, as cells."""
    aim_ns, result = line.budget.aim_ns, line.result
    return (
        format_ns(line.budget.at_most_ns),
        "–" if aim_ns is None else format_ns(aim_ns),
        "–" if line.median_ns is None else format_ns(line.median_ns),
        _ratio_cell(line),
        "–" if result is None else roofline_cell(result),
    )


def _ratio_cell(line: Measured) -> str:
    """`0.87×`; three digits where two would hide on which side of 1 it is."""
    if line.ratio is None:
        return "–"
    hidden = line.ratio != 1 and f"{line.ratio:.2f}" == "1.00"
    return f"{line.ratio:.3f}×" if hidden else f"{line.ratio:.2f}×"


def _kept_cell(line: Measured) -> str:
    """`yes`, `yes, aim too`, `no`, or why there is no time."""
    status = Status.OK if line.result is None else line.result.status
    if status is not Status.OK:
        return str(status)
    if line.standing is Standing.UNTIMED:
        return str(line.standing)
    if line.standing is Standing.EXCEEDED:
        return "no"
    return "yes, aim too" if line.reaches_aim else "yes"


def _emphasized(line: Measured) -> str:
    cell = text(_kept_cell(line))
    return cell if line.standing is Standing.KEPT else f"**{cell}**"


def _json(line: Measured) -> dict[str, Any]:
    result = line.result
    return {
        "case": None if result is None else result.case,
        "match": line.budget.match,
        "gpu": line.budget.gpu,
        "at_most_ns": line.budget.at_most_ns,
        "aim_ns": line.budget.aim_ns,
        "median_ns": line.median_ns,
        "ratio": line.ratio,
        "roofline_fraction": None if result is None else result.roofline_fraction,
        "standing": line.standing.value,
        "status": None if result is None else result.status.value,
        "reaches_aim": line.reaches_aim,
    }
