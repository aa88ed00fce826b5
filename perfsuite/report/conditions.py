"""Under which circumstances it was measured: what a reader has to know beside the environment's name."""

from __future__ import annotations

from perfsuite.model import Environment
from perfsuite.report.words import plain

OTHER_PROCESSES = "other_processes"
CONFINEMENT = "confinement"
"""Details of an environment, as `perfsuite.cli.ready` writes them."""


def conditions(environment: Environment) -> tuple[str, ...]:
    """Sentences of one line, without control characters: who else used the GPU, how trials were confined.

    What they name comes from others: it has still to be escaped for the format that it is put into.
    """
    others = environment.details.get(OTHER_PROCESSES)
    confinement = environment.details.get(CONFINEMENT)
    found = [f"! other processes used the GPU: {plain(str(others))}"] if others else []
    return (*found, *([plain(str(confinement))] if confinement else []))
