"""What an earlier comparison timed of the same machine code, here and not long ago, is not timed again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from perfsuite.model import REUSED, Comparison, Verdict

if TYPE_CHECKING:
    from perfsuite.measure.settings import Timed
    from perfsuite.model import Launches
    from perfsuite.store import Reader

NEWEST = timedelta(days=30)
"""Machines age and are serviced: what was measured before that does not count."""
ID_DIGITS = 12
_DECIDED = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.LESS_ACCURATE, Verdict.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Known:
    """Finds what was timed before; see `perfsuite.measure.settings.Known`."""

    reader: Reader
    comparison: Comparison
    """The one that is being measured."""
    _sources: dict[str, dict[str, Timed]] = field(default_factory=dict)
    """Comparison → what it decided, by case."""

    def __call__(self, case: str, version: str, base: Launches, head: Launches) -> Timed | None:
        from perfsuite.store.reuse import SameCode

        if not (base.comparable and head.comparable):
            return None
        run = self.comparison.head
        wanted = SameCode(
            *(case, version, base, head, run.repository, run.environment.fingerprint, run.profile),
            since=self.comparison.started_at - NEWEST,
        )
        found = (self._decided(id_).get(case) for id_ in self.reader.timed_before(wanted))
        return next((timed for timed in found if timed is not None), None)

    def _decided(self, comparison_id: str) -> dict[str, Timed]:
        if comparison_id not in self._sources:
            self._sources[comparison_id] = _decided(self.reader, self.reader.comparison(comparison_id))
        return self._sources[comparison_id]


def _decided(reader: Reader, comparison: Comparison) -> dict[str, Timed]:
    """What a comparison itself timed and decided, by case; nothing where the machine moved meanwhile, and
    nothing of a stranger's code, which may have invented both its times and its launches."""
    from perfsuite.cli.lockstep import judged_with_results
    from perfsuite.errors import PerfsuiteError
    from perfsuite.measure.settings import Timed
    from perfsuite.report.conditions import is_untrusted

    if is_untrusted(comparison.head.environment):
        return {}
    try:
        report, base, head = judged_with_results(reader, comparison)
    except PerfsuiteError:
        # One that is damaged, or cannot be judged, is no reason not to measure.
        return {}
    if report.machine:
        return {}
    bases, heads = ({result.case: result for result in results} for results in (base, head))
    return {
        compared.case: Timed(comparison.id[:ID_DIGITS], bases[compared.case], heads[compared.case])
        for compared in report.comparisons
        if compared.verdict in _DECIDED and REUSED not in heads[compared.case].extra
    }
