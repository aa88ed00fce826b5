"""Lines of JSON between the conductor and a trial, over a socket pair that the trial inherits.

Never pickle: the other end runs a pull request's code.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

Message = dict[str, Any]
LONGEST_LINE = 16 << 20


class LinkClosed(Exception):
    """The other end is gone."""


class LinkTimeout(Exception):
    """The other end did not answer in time."""


class Link:
    """One end. Not thread-safe: each end has one owner."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()

    def send(self, **message: Any) -> None:
        """Raises: LinkClosed."""
        try:
            self._socket.settimeout(None)
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise LinkClosed(str(error)) from error

    def receive(self, timeout_s: float | None = None) -> Message:
        """Raises: LinkClosed, LinkTimeout, and ValueError for a line that is not a JSON object."""
        # For the whole line: a byte now and then would prolong it for ever.
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise LinkClosed(f"a line above {LONGEST_LINE} bytes")
            try:
                self._socket.settimeout(deadline and max(0.001, deadline - time.monotonic()))
                chunk = self._socket.recv(1 << 16)
            except TimeoutError as error:
                raise LinkTimeout(f"no answer in {timeout_s:g} s") from error
            except OSError as error:
                raise LinkClosed(str(error)) from error
            if not chunk:
                raise LinkClosed("end of file")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except RecursionError as error:
            raise ValueError("a line that is nested too deep") from error
        if not isinstance(message, dict):
            raise ValueError(f"not a message: {line[:80]!r}")
        return message

    def close(self) -> None:
        self._socket.close()
