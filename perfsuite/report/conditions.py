"""Under which circumstances it was measured: what a reader has to know beside the environment's name."""

from __future__ import annotations

from perfsuite.model import Environment
from perfsuite.report.words import plain

OTHER_PROCESSES = "other_processes"
CONFINEMENT = "confinement"
UNTRUSTED = "untrusted"
"""Details of an environment, as `perfsuite.cli.ready` writes them."""
_UNTRUSTED_TEXT = "head is code from outside: nothing it measured is used elsewhere"


def is_untrusted(environment: Environment) -> bool:
    """Whether a stranger's code ran there, which can invent times and launches of its own and disturb those
    of the other side: what was measured says something of that code, and of nothing else."""
    return bool(environment.details.get(UNTRUSTED))


def conditions(environment: Environment) -> tuple[str, ...]:
    """Sentences of one line, without control characters: who else used the GPU, how trials were confined,
    whether the code is a stranger's.

    What they name comes from others: it has still to be escaped for the format that it is put into.
    """
    others = environment.details.get(OTHER_PROCESSES)
    confinement = environment.details.get(CONFINEMENT)
    found = [f"! other processes used the GPU: {plain(str(others))}"] if others else []
    found += [plain(str(confinement))] if confinement else []
    return (*found, *([_UNTRUSTED_TEXT] if is_untrusted(environment) else []))
