"""Saying what an alert is: the only thing that the dashboard writes, and who may.

Nobody, unless the server was started with a shared secret, with a proxy that names its visitors, or as a demo
(`dashboard.serving.access`).
"""

from __future__ import annotations

import hmac
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import streamlit as st

from dashboard.data import Database
from dashboard.serving.access import Access
from dashboard.words import utc
from perfsuite.errors import StoreError, UsageError
from perfsuite.model import Alert, AlertState
from perfsuite.report.words import plain
from perfsuite.store import open_store

FREE_FAILURES = 5
"""So many wrong secrets cost nothing: people mistype."""
LONGEST_WAIT_S = 60.0
"""Each further one doubles the wait up to this: 1,440 guesses a day find no secret worth the name, and who
is locked out by somebody else's guesses is so for a minute."""
WAIT_S = 5.0
"""How long a writer's lock is waited for: somebody sits in front of the form, which keeps what they typed."""
LONGEST_NAME = 100
LONGEST_REASON = 2000
_VISITOR = "triage visitor"
"""In the session, never in the address: the name of who gave the secret. The secret itself is not kept."""


@dataclass
class Attempts:
    """Wrong secrets given to this process, by whomever. Thread-safe."""

    clock: Callable[[], float] = time.monotonic
    _failures: int = 0
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def right(self, given: str, secret: str) -> bool:
        """Whether it is the secret.

        Raises:
            UsageError: there were too many wrong ones just now: this one was not looked at.
        """
        with self._lock:
            wait_s = self._free_at - self.clock()
            if wait_s > 0:
                raise UsageError("too many wrong secrets", f"try again in {math.ceil(wait_s)} s")
            # As bytes: text that is not ASCII cannot be compared in constant time.
            if hmac.compare_digest(given.encode(), secret.encode()):
                self._failures = 0
                return True
            self._failures += 1
            if self._failures >= FREE_FAILURES:
                wait_s = min(2.0 ** (self._failures - FREE_FAILURES), LONGEST_WAIT_S)
                self._free_at = self.clock() + wait_s
            return False


@cache
def attempts() -> Attempts:
    """Those of this process."""
    return Attempts()


def visitor(access: Access) -> str | None:
    """The name under which the visitor may write; None where they may not (yet)."""
    if access.user_header:
        named = _name(st.context.headers.get(access.user_header) or "")
        if named:
            return named
    kept = st.session_state.get(_VISITOR)
    return str(kept) if kept else None


def can_sign_in(access: Access) -> bool:
    """Whether a name, and where one is set the secret, are all that is missing."""
    return access.secret is not None or access.demo


def sign_in(access: Access, name: str, secret: str) -> None:
    """Remembers for this session who the visitor is.

    Raises:
        UsageError: no name, a wrong secret, or too many of them.
    """
    name = _name(name)
    if not name:
        raise UsageError("there is no name", "say who you are: it stands beside what you say")
    if access.secret is not None:
        if not attempts().right(secret, access.secret):
            raise UsageError("this is not the secret", "whoever started the dashboard knows it")
    elif not access.demo:
        raise UsageError(
            "this dashboard is read-only", "start it with a secret, see `perfsuite dashboard --help`"
        )
    st.session_state[_VISITOR] = name


def change(database: Database, seen: Sequence[Alert], state: AlertState, reason: str, by: str) -> None:
    """Sets the state of alerts, all of them or none.

    Args:
        seen: as they were shown to whoever decides.
        reason: needed but for an acknowledgement.

    Raises:
        UsageError: nothing is chosen, or no reason is given.
        StoreError: the database cannot be written to, or somebody else changed one of them meanwhile.
    """
    reason = reason.strip()[:LONGEST_REASON]
    if not seen:
        raise UsageError("no alert is chosen", "choose at least one")
    if state is not AlertState.ACKNOWLEDGED and not reason:
        raise UsageError(f"why are they {state.value}?", "say it in a few words, for those who come later")
    with open_store(database.url, create=False, wait_s=WAIT_S) as store:
        overtaken = store.set_alerts(seen, state, reason, by, datetime.now(UTC))
    if overtaken:
        raise _overtaken(overtaken[0])


def _overtaken(now: Alert) -> StoreError:
    when = f" on {utc(now.changed_at)}" if now.changed_at else ""
    why = f" ({plain(now.reason)})" if now.reason else ""
    return StoreError(
        f"{plain(now.changed_by) or 'somebody'} has set {plain(now.case)} to {now.state.value}{when}{why}: "
        "nothing was overwritten",
        "look at it as it is now, and decide again",
    )


def _name(text: str) -> str:
    return plain(text).strip()[:LONGEST_NAME]
