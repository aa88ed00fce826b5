"""What has to be so before anything is measured: the GPU is ours alone, and trials are confined if asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perfsuite.report.conditions import CONFINEMENT, OTHER_PROCESSES, UNTRUSTED

if TYPE_CHECKING:
    from perfsuite.cli.events import Telling
    from perfsuite.cli.measuring import Plan
    from perfsuite.measure.busy import Neighbours
    from perfsuite.model import Environment


@dataclass(frozen=True, slots=True)
class Ready:
    """The plan, with what was found before measuring."""

    plan: Plan
    neighbours: Neighbours | None = None

    def afterwards(self, environment: Environment) -> Environment:
        """The environment of a run with what was found while measuring; asked when all trials have ended."""
        if self.neighbours is None:
            return environment
        self.neighbours.look()
        found, known = self.neighbours.told, str(environment.details.get(OTHER_PROCESSES) or "")
        if found in known:
            return environment
        # A run that was resumed keeps what was found in its first part.
        whole = found if not known or found.startswith(known) else f"{known}; {found}"
        return replace(environment, details={**environment.details, OTHER_PROCESSES: whole})


@contextlib.contextmanager
def ready(plan: Plan, what: str, progress: Telling) -> Iterator[Ready]:
    """Holds the GPU's lock, and has looked who else uses it.

    Args:
        what: what the GPU is held for, for others who wait.

    Raises:
        MachineError: it was waited for in vain.
    """
    plan = _confined(plan.knowing(**{UNTRUSTED: not plan.manner.trusted}), progress)
    if plan.environment.gpu is None:
        yield Ready(plan)
        return
    from perfsuite.cli.gpu_lock import holding_gpu
    from perfsuite.measure.busy import Neighbours

    uuid = plan.environment.gpu_uuid or f"gpu{plan.environment.details.get('gpu_index', 0)}"
    neighbours = Neighbours(plan.services.processes(plan.services.environ), progress)
    with holding_gpu(uuid, what, progress, wait_s=plan.manner.wait_s):
        neighbours.begin(plan.manner.wait_idle_s)
        plan = plan.knowing(**{OTHER_PROCESSES: neighbours.told})
        yield Ready(replace(plan, look=neighbours.look), neighbours)


def _confined(plan: Plan, progress: Telling) -> Plan:
    """What holds of the confinement that was asked for is found out by trying, told, and kept."""
    if not plan.manner.confine:
        return plan
    from perfsuite.measure.sandbox import hide_environment, probe

    hide_environment()
    found = probe(plan.services.environ)
    progress.confinement(found.sentence)
    return replace(plan.knowing(**{CONFINEMENT: found.sentence}), confinement=found)
