"""`python -P -m ci.leash PID COMMAND…`: a command that does not outlive the process that asked for it.

Between fork and exec nothing can be done safely in a process with threads; this is a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        # SIGKILL: whoever takes over must not meet a predecessor that is still tidying up.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that asked for this is gone")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
