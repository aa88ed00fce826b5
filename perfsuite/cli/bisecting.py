"""The search of `perfsuite bisect`: one comparison after the other, all of them stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from perfsuite.stats.bisecting import (
    Aim,
    Bisected,
    Kind,
    Step,
    aim_of,
    compared_case,
    nearer_level,
    nothing_because,
    parent_remark,
    state_of,
    was_imported,
)
from perfsuite.stats.search import State, bracket, next_commit

if TYPE_CHECKING:
    from perfsuite.cli.events import Telling
    from perfsuite.cli.measuring import Plan
    from perfsuite.git import Repository
    from perfsuite.model import CaseComparison, Commit, ComparisonReport, Status
    from perfsuite.store import Store

_THOROUGH = "full"
_CHEAP = "quick"
"""Profile of a search that asks whether a case is right: times do not matter."""
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched.

    Args:
        plan: its pattern is the case, or several of which the worst is taken; its events are those of single
            comparisons.
        commits: the good end, then every commit up to the bad end.
        threshold: relevant change between the ends; None: what is configured for each case.
        resume: what the store has of these comparisons is not measured again.
    """

    plan: Plan
    store: Store
    repository: Repository
    commits: Sequence[Commit]
    threshold: float | None = None
    resume: bool = False
    case_timeout_s: float | None = None

    @property
    def count(self) -> int:
        """Commits after the good end."""
        return len(self.commits) - 1


def search(what: Search, told: Telling) -> Bisected:
    """Finds the first commit that moved the case.

    At most log2(commits) + 2 comparisons, as long as every commit can be measured and decided: the ends, a
    halving each, and the found commit against its parent. A commit that cannot be measured is passed over.

    Raises:
        NoCases: the pattern chooses nothing at the ends.
        UsageError: an end cannot be measured.
        MachineError: this machine cannot measure; what is done is stored.
    """
    return _Searching(what, told).run()


@dataclass(slots=True)
class _Searching:
    what: Search
    told: Telling
    steps: list[Step] = field(default_factory=list)
    states: dict[int, State] = field(default_factory=dict)
    case: str = ""

    def run(self) -> Bisected:
        count = self.what.count
        self.told.total(2 + math.ceil(math.log2(count)))
        compared, aim = self._ends()
        if aim is None:
            self._require_times(compared)
            return self._outcome(None, (), compared, nothing_because(compared))
        while (number := next_commit(count, self.states)) is not None:
            self._judge(number, aim)
        known = bracket(count, self.states)
        suspects = tuple(self.what.commits[number] for number in known.suspects)
        if len(suspects) > 1:
            remark = f"the {len(suspects) - 1} commits before the last of them cannot be measured"
            return self._outcome(aim, suspects, compared, remark)
        return self._first_bad(known.bad, aim, compared)

    def _ends(self) -> tuple[CaseComparison, Aim | None]:
        """The case between the ends, and what there is to search for."""
        pattern, profile = self.what.plan.pattern, self.what.plan.profile
        report = self._compare(0, self.what.count, pattern, profile, None)
        compared = self._choose(report, pattern)
        self.case = compared.case
        aim = self._end_step(report, compared)
        if aim is None and compared.change is not None and self._may_try_harder(compared):
            report = self._compare(0, self.what.count, self.case, _THOROUGH, None)
            compared = compared_case(report, self.case) or compared
            aim = self._end_step(report, compared)
        return compared, aim

    def _require_times(self, compared: CaseComparison) -> None:
        from perfsuite.errors import MachineError
        from perfsuite.model import Verdict

        undecided = compared.verdict is Verdict.INCONCLUSIVE and compared.change is None
        if undecided and self.what.plan.environment.gpu is None:
            raise MachineError(
                f"{self.case} has no times to search by: {'; '.join(compared.why[:1])}",
                "run the same command on a machine with a GPU",
            )

    def _choose(self, report: ComparisonReport, pattern: str) -> CaseComparison:
        """The case that is named, else of those that the pattern chooses the worst that can be searched."""
        from perfsuite.cases import match_cases

        named = compared_case(report, pattern)
        if named is not None:
            return named
        matching = [one for one in report.comparisons if match_cases(pattern, [one.case])]
        # A file of the suite that cannot be imported stands for cases that nobody can name.
        matching = matching or list(report.comparisons)
        statuses = self._statuses_at_base(report)
        worst = next((one for one in matching if aim_of(one, statuses.get(one.case))), matching[0])
        if len(matching) > 1:
            self.told.note(f"{len(matching)} cases match {pattern!r}: searching what moved {worst.case}")
        return worst

    def _may_try_harder(self, compared: CaseComparison) -> bool:
        from perfsuite.model import Verdict

        return compared.verdict is Verdict.INCONCLUSIVE and self.what.plan.profile != _THOROUGH

    def _end_step(self, report: ComparisonReport, compared: CaseComparison) -> Aim | None:
        aim = aim_of(compared, self._statuses_at_base(report).get(self.case))
        self._add(self.what.count, 0, State.BAD if aim else None, report, compared)
        return aim

    def _statuses_at_base(self, report: ComparisonReport) -> dict[str, Status]:
        results = self.what.store.reader.results(report.comparison.base.id, samples=False)
        return {result.case: result.status for result in results}

    def _judge(self, number: int, aim: Aim) -> None:
        """Which side a commit is on; where it cannot be told, the nearer."""
        commit, good = self.what.commits[number], self.what.commits[0]
        profile = self.what.plan.profile if aim.kind is Kind.TIME else _CHEAP
        found = self._tried(number, profile, aim)
        if isinstance(found, str):
            self.steps.append(Step(commit, good, State.SKIPPED, NOT_MEASURED, remark=found))
            self._tell(self.steps[-1])
            self.states[number] = State.SKIPPED
            return
        report, compared = found, compared_case(found, self.case)
        state = self._state(report, compared, aim)
        if state is None and profile != _THOROUGH:
            self._add(number, 0, None, report, compared, "not decided: measured again, more thoroughly")
            report = self._compare(0, number, self.case, _THOROUGH, aim.threshold)
            compared = compared_case(report, self.case)
            state = self._state(report, compared, aim)
        remark = "passed over: the case cannot be compared there" if state is State.SKIPPED else ""
        if state is None:
            state = nearer_level(compared, aim)
            remark = "its interval holds both levels: decided by the nearer"
        self._add(number, 0, state, report, compared, remark)
        self.states[number] = state

    def _state(self, report: ComparisonReport, compared: CaseComparison | None, aim: Aim) -> State | None:
        imported = was_imported(self._statuses_at_base(report).get(self.case))
        return state_of(compared, aim, machine=bool(report.machine), imported=imported)

    def _tried(self, number: int, profile: str, aim: Aim) -> ComparisonReport | str:
        """A comparison with the good end, or why that commit cannot be measured."""
        from perfsuite.errors import UsageError
        from perfsuite.git import GitError

        try:
            return self._compare(0, number, self.case, profile, aim.threshold, reuse=True)
        except GitError:
            # Whatever git refuses here is no fault of the commit's code.
            raise
        except UsageError as error:
            return f"passed over: {error.what.strip().splitlines()[0]}"

    def _first_bad(self, number: int, aim: Aim, ends: CaseComparison) -> Bisected:
        """The commit that was found, against its parent."""
        commits = self.what.commits
        if aim.kind is not Kind.TIME or number == 1:
            return self._outcome(aim, (commits[number],), self._latest(number) or ends, "")
        report = self._compare(number - 1, number, self.case, self.what.plan.profile, aim.threshold)
        compared = compared_case(report, self.case)
        remark = parent_remark(compared, aim)
        self._add(number, number - 1, state_of(compared, aim), report, compared, remark)
        return self._outcome(aim, (commits[number],), compared or ends, remark)

    def _latest(self, number: int) -> CaseComparison | None:
        """The newest comparison of a commit with the good end."""
        from perfsuite.cli.lockstep import judged

        commit = self.what.commits[number]
        ids = [step.comparison for step in self.steps if step.commit.sha == commit.sha and step.comparison]
        return compared_case(judged(self.what.store.reader, ids[-1]), self.case) if ids else None

    def _compare(
        self,
        base: int,
        head: int,
        pattern: str,
        profile: str,
        threshold: float | None,
        *,
        reuse: bool = False,
    ) -> ComparisonReport:
        """Args: threshold: None: that of the ends."""
        from perfsuite.cli.lockstep import Request, Sides, measure

        what = self.what
        config = what.plan.config
        share = threshold if threshold is not None else what.threshold
        if share is not None:
            # What is configured for single cases would win over it.
            config = replace(config, case_thresholds={})
        plan = replace(what.plan, config=config, pattern=pattern, profile=profile)
        request = Request(
            Sides(what.commits[base], what.commits[head]),
            config.threshold if share is None else share,
            resume=what.resume,
            once=what.resume,
            reuse=reuse,
            # The good end has been merged; a commit before the one that was found may be a stranger's.
            merged_base=base == 0,
            case_timeout_s=what.case_timeout_s,
        )
        self.told.case(what.commits[head].label, f"against {what.commits[base].label}")
        return measure(plan, what.store, what.repository, request)

    def _add(
        self,
        number: int,
        base: int,
        state: State | None,
        report: ComparisonReport,
        compared: CaseComparison | None,
        remark: str = "",
    ) -> None:
        step = Step(
            self.what.commits[number],
            self.what.commits[base],
            state,
            compared.verdict.value if compared else NOT_MEASURED,
            report.comparison.id,
            remark=remark,
        )
        if compared:
            step = replace(
                step, change=compared.change, low=compared.low, high=compared.high, why=compared.why
            )
        self.steps.append(step)
        self._tell(step)

    def _tell(self, step: Step) -> None:
        from perfsuite.units import format_share

        said = [step.state.value if step.state else "not decided", step.verdict]
        said += [format_share(step.change)] if step.change is not None else []
        self.told.done(f"{step.commit.label} {step.commit.subject}", ", ".join(said))

    def _outcome(
        self, aim: Aim | None, suspects: Sequence[Commit], compared: CaseComparison, remark: str
    ) -> Bisected:
        return Bisected(
            self.case,
            good=self.what.commits[0],
            bad=self.what.commits[-1],
            commits=self.what.count,
            kind=aim.kind if aim else None,
            first_bad=suspects[0] if len(suspects) == 1 else None,
            suspects=tuple(suspects),
            change=compared.change,
            low=compared.low,
            high=compared.high,
            why=compared.why,
            steps=tuple(self.steps),
            remark=remark,
        )
