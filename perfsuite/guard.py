"""Keeps what this process knows from other processes of the same user."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_environment() -> None:
    """Linux: environment and memory of this process are no longer readable under /proc for its own user: a
    token that came by environment variable stays with us. Root reads everything; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
