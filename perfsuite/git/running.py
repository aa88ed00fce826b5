"""The only module that starts git.

Every call runs with `GIT_*` scrubbed, `LC_ALL=C`, without a terminal and with a time limit; a failure carries
the command and its output.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from perfsuite.config import process_environ
from perfsuite.errors import MachineError, UsageError

TIMEOUT_S = 120.0
CHECKOUT_TIMEOUT_S = 900.0
NETWORK_TIMEOUT_S = 1800.0
"""The first clone of a large repository over a slow line takes many minutes."""
_STALL_S = 60
"""A transfer that stands still for so long is given up by git itself."""
_END_S = 5.0
"""What git needs to remove its lock files when it is told to end."""
# Like pre-commit: a hook or an alias that starts us must not redirect git to another repository, but what
# git needs to start at all, to trust the folder and to reach a remote stays.
_KEPT = (
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_NO_VERIFY",
    "GIT_CEILING_DIRECTORIES",
)
_KEPT_PREFIX = "GIT_CONFIG_"
_PASSWORDS = re.compile(r"(?<=://)[^/@\s]+@")
_REFUSED = re.compile(
    r"Authentication failed|could not read (Username|Password)|Permission denied|Repository not found"
    r"|repository '[^']*' not found|returned error: 40[134]|does not appear to be a git repository",
    re.IGNORECASE,
)


class GitError(UsageError):
    """git refused: the command and what it said."""

    def __init__(self, command: tuple[str, ...], code: int, output: str) -> None:
        self.command, self.code, self.output = command, code, output.strip()
        lines = self.output.replace("\n", "\n    ") or "(no output)"
        super().__init__(
            f"git {' '.join(command)} failed with exit code {code}:\n    {lines}",
            "mend what git complains about",
        )


def run_git(
    folder: Path,
    *command: str,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    strip: bool = True,
    keep: Sequence[int] = (),
) -> str:
    """Runs git in a folder; bytes that are no UTF-8 come as surrogates (`os.fsencode` gives them back).

    Args:
        environ: variables for this call.
        keep: descriptors that git inherits, such as a lock that must live as long as it does.

    Raises:
        GitError: it failed.
        MachineError: there is no git, it hangs, or the folder cannot be entered.
    """
    try:
        # A session of its own: ssh and credential helpers find no terminal to ask on, and all of git ends.
        process = subprocess.Popen(
            ("git", *command),
            cwd=folder,
            env={**_environ(process_environ()), **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=keep,
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}", "correct the path") from error
        raise MachineError("git is not installed", "install git (apt-get install git)") from error
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise MachineError(
                f"git {' '.join(command)} did not answer within {timeout_s:.0f} s",
                f"run it in {folder} to see what it waits for",
            ) from error
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        raise GitError(command, process.returncode, os.fsdecode(err or out))
    text = os.fsdecode(out)
    return text.strip() if strip else text


def run_network(
    folder: Path,
    *command: str,
    header: tuple[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    protocols: str = "http:https:ssh:git:file",
    keep: Sequence[int] = (),
) -> str:
    """Runs a git command that talks to a remote. Nobody is asked for a password.

    Args:
        header: an address and the HTTP header that opens it; it goes by the environment, so that neither the
            list of processes nor a file shows it.
        protocols: those that may be spoken, separated by colons.

    Raises:
        MachineError: the remote does not answer.
        UsageError: it refuses us.
    """
    settings = [("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", str(_STALL_S)), ("gc.auto", "0")]
    if header is not None:
        address, value = header
        settings += [(f"http.{address}.extraHeader", value), ("credential.helper", "")]
    variables = {**_configured(settings), "GIT_ASKPASS": "", "GIT_ALLOW_PROTOCOL": protocols}
    try:
        return run_git(
            folder,
            *("-c", "core.hooksPath=/dev/null", *command),
            environ={**variables, **(environ or {})},
            timeout_s=NETWORK_TIMEOUT_S,
            keep=keep,
        )
    except GitError as error:
        raise _told(error) from error


def _told(error: GitError) -> UsageError | MachineError:
    """Whose fault it is: a remote that refuses is a wrong configuration, one that is away is not."""
    output = _PASSWORDS.sub("", error.output)
    if "couldn't find remote ref" in output or ".lock': File exists" in output:
        return error
    what = f"git {error.command[2]} failed:\n    " + output.replace("\n", "\n    ")
    if _REFUSED.search(output):
        return UsageError(what, "check the address, and that the token may read this repository")
    if "No space left on device" in output:
        return MachineError(what, "free some space")
    return MachineError(what, "repeat the command when the remote answers again")


def _configured(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Settings of git by its environment, after those that are there."""
    count = process_environ().get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdigit() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings, first):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends git and its helpers, which hold the pipes open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_PREFIX)
    }
    # No prompt ever: there may be nobody to answer it.
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
