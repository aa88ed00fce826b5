"""Events of measurements that are steps of a larger command: what concerns the whole of it is passed on."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator

from perfsuite.cli.events import telling
from perfsuite.measure.settings import Silent


class _Nobody(Silent):
    def started(self, id_: str) -> None:
        pass

    def confinement(self, text: str) -> None:
        pass


@contextlib.contextmanager
def overheard(target: str | None) -> Iterator[str | None]:
    """What to give the steps as their `--events`, where the command's own go to `target`."""
    if target is None:
        yield None
        return
    read, write = os.pipe()
    thread = threading.Thread(target=_pass_on, args=(read, target), name="events", daemon=True)
    thread.start()
    try:
        yield f"fd:{write}"
    finally:
        os.close(write)
        thread.join()


def _pass_on(read: int, target: str) -> None:
    with os.fdopen(read, encoding="ascii") as lines, telling(target, _Nobody()) as told:
        for line in lines:
            event = json.loads(line)
            # Not the counts and cases of a step, which would be taken for the command's own.
            match event["event"]:
                case "waiting":
                    told.waiting(event["text"])
                case "going on":
                    told.going_on()
                case "confinement":
                    told.confinement(event["text"])
                case "started":
                    told.started(event["id"])
