"""What goes wrong on demand."""

from __future__ import annotations

import re
from datetime import timedelta

from fakehub.records import Fault
from fakehub.state import State

_SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
_MESSAGES = {403: _SECONDARY, 429: "Too Many Requests", 502: "Server Error", 503: "Service Unavailable"}
_KINDS = ("answer", "cut", "lost", "slow")


class Faulty(State):
    """State with trouble: `fake.fail(502, times=3)`, `fake.fail("lost", method="POST", path="comments")`."""

    def fail(
        self,
        what: int | str,
        times: int | None = 1,
        *,
        method: str = "",
        path: str = "",
        retry_after_s: float | None = None,
        message: str = "",
        headers: dict[str, str] | None = None,
        seconds: float = 0.0,
    ) -> None:
        """The next requests that match go wrong.

        Args:
            what: a status to answer with (403 is the secondary rate limit unless `message` says otherwise),
                or `cut` (the connection ends, nothing was done), `lost` (done, then the connection ends),
                `slow` (answered after `seconds`).
            times: how many of them; None: until `recover`.
            path: regular expression, searched in the path.
        """
        kind, status = ("answer", what) if isinstance(what, int) else (what, 0)
        assert kind in _KINDS, kind
        more = dict(headers or {})
        if retry_after_s is not None:
            more["Retry-After"] = f"{retry_after_s:g}"
        text = message or _MESSAGES.get(status, "")
        with self.lock:
            self.faults.append(Fault(kind, times, method, path, status, text, more, seconds))

    def use_up_rate_limit(self, reset_in_s: float = 3600.0) -> None:
        """Until the clock passes the reset every request but those for 304 is answered with 403."""
        with self.lock:
            self.remaining = 0
            self.reset_at = self.clock.now() + timedelta(seconds=reset_in_s)

    def recover(self) -> None:
        """Everything works again."""
        with self.lock:
            self.faults.clear()
            self.remaining, self.reset_at = 5000, None

    def fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request; counts it."""
        for fault in self.faults:
            if fault.method in ("", method) and re.search(fault.path, path):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                return fault
        return None
