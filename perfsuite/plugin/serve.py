"""The trial's end of the wire: does what the conductor says, one case at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from perfsuite.codec import decode, encode
from perfsuite.errors import PerfsuiteError
from perfsuite.measure.link import Link, Message
from perfsuite.measure.player import BlockPlan, LocalPlayer, PlayerError
from perfsuite.plugin.spec import Spec

LOST_EXIT = 86
"""Exit status of a trial whose GPU context is gone."""


class CaseStopped(Exception):
    """The conductor has heard why; the test ends here."""


def serve(link: Link, player: LocalPlayer, spec: Spec) -> None:
    """Answer commands until the conductor says `finish`.

    Raises:
        CaseStopped: a step failed; the conductor has been told.
    """
    link.send(say="ready", facts=_facts(spec))
    actions: dict[str, Callable[[Message], Any]] = {
        "compile": lambda _: player.compile(),
        "gate": lambda _: player.gate(),
        "block": lambda message: player.block(decode(BlockPlan, message["plan"])),
        "round": lambda message: player.round(message["index"], message["order"]),
        "release": lambda _: player.release(),
    }
    while (message := link.receive())["do"] != "finish":
        try:
            value = actions[message["do"]](message)
        except (Exception, SystemExit) as error:
            _report(link, error)
            player.close()
            raise CaseStopped(str(error)) from error
        link.send(say="value", value=None if value is None else encode(value))
    player.close()


def _facts(spec: Spec) -> Message:
    return {
        "tolerance": spec.tolerance,
        "bytes": spec.bytes,
        "operations": spec.operations,
        "precision": spec.precision,
    }


def _report(link: Link, error: BaseException) -> None:
    lost = isinstance(error, PlayerError) and error.lost
    if isinstance(error, PlayerError):
        text = error.message
    elif isinstance(error, PerfsuiteError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    link.send(say="error", message=text, lost=lost)
    if lost:
        # Nothing on this GPU context works any more, tearing down included.
        os._exit(LOST_EXIT)
