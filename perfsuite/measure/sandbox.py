"""Shutting trials in: what this kernel permits, and starting a process that way.

`python -m perfsuite.measure.sandbox --probe` tells what holds here and what the kernel said to the rest;
`python -m perfsuite.measure.sandbox TREE COMMAND…` runs a command as a trial of that tree would run.

What confinement cannot do: the measured process times itself and reports over its link. Code that wants to
can claim any time, any result of its own gate, and machine code that it does not launch; what is plainly
impossible is refused (`perfsuite.measure.process`), the rest is for whoever reviews the change. It never
speaks for the other side, which is another process on another tree. Root of the same container, and whoever
breaks the kernel or the GPU's driver, gets out. Memory and processors are not limited.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from perfsuite.errors import UsageError
from perfsuite.guard import hide_environment
from perfsuite.measure.confined import (
    HOME,
    UNCONFINED,
    Confinement,
    Mount,
    Sight,
    checkout_of,
    has_gpu,
    new_root,
)
from perfsuite.measure.sandbox_environ import without_secrets
from perfsuite.measure.sandbox_launch import CANNOT_CONFINE, remove

__all__ = ["Confinement", "Launch", "hide_environment", "probe", "refuse_links_out", "start"]

FILE_BYTES = 4 << 30
"""Of one file: more than any that a benchmark has to write."""
GROWTH_BYTES = 8 << 30
"""Of all that a trial writes to the host's disk: Triton caches of large suites take a tenth of it."""
LAUNCHER = """
import sys
sys.path.append(sys.argv[1])
from perfsuite.measure.sandbox_launch import main
sys.exit(main())
"""
"""Run without `site`, which takes longer than everything else in it."""
TRIED = (
    Confinement(network=True, files=True, processes=True, user=True),
    Confinement(network=True, files=True, processes=True),
    Confinement(network=True, files=True, user=True),
    Confinement(network=True, user=True),
)
"""The best first. The second is for root in a container whose /proc is partly covered: there the kernel
permits a new one only without a user namespace."""
PROBE_TIMEOUT_S = 60.0
PROBE_NEEDS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
READ_BY_PYTEST = ("conftest.py", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""It reports a mistake in them with the line."""
CHECK = """
import ctypes, json, os, socket, sys
import perfsuite.plugin.cases, pytest
marker, port = sys.argv[1:3]
try:
    socket.create_connection(("127.0.0.1", int(port)), 1).close()
    network = False
except OSError:
    network = True
try:
    cuda = ctypes.CDLL("libcuda.so.1").cuInit(0)
except OSError:
    cuda = None
print(json.dumps([network, not os.path.exists(marker), os.readlink("/proc/self/ns/pid"), cuda]))
"""
"""Run inside: what a trial could reach. It imports the harness as a trial does, and wakes the driver; no GPU
gets anything to do."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command and how it is shut in.

    Args:
        command: in it PARENT becomes the process id of its parent, as the command sees it.
        sight: what it sees, where it has files of its own.
        scratch: folder of its home and its temporary files, where it has not; removed at its end.
        fds: descriptors that it inherits; the launcher closes its own.
    """

    command: Sequence[str]
    cwd: Path
    confinement: Confinement
    sight: Sight
    scratch: Path | None = None
    fds: tuple[int, ...] = ()
    growth_bytes: int = GROWTH_BYTES

    def mounts(self) -> list[Mount]:
        return new_root(self.sight) if self.confinement.files else []


def start(launch: Launch, environ: Mapping[str, str], out: IO[Any] | int) -> subprocess.Popen[bytes]:
    """Start it under a launcher, which is the process returned: SIGTERM ends it and all below it.

    Args:
        out: where it and the launcher write what they say: a file, or as for `subprocess.Popen`.
    """
    scratch = [str(launch.scratch)] if launch.scratch else []
    log = [] if isinstance(out, int) else [out.name]
    held = launch.confinement
    spec = {
        "command": list(launch.command),
        "cwd": str(launch.cwd),
        "parent": os.getpid(),
        "namespaces": {name: getattr(held, name) for name in ("user", "network", "files", "processes")},
        "mounts": [asdict(mount) for mount in launch.mounts()],
        "watch": [*map(str, launch.sight.writable), *scratch, *log],
        "growth_bytes": launch.growth_bytes,
        "file_bytes": FILE_BYTES,
        "close": list(launch.fds),
        "remove": scratch,
    }
    with tempfile.TemporaryFile() as told:
        told.write(json.dumps(spec).encode())
        told.seek(0)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, str(Path(__file__).parents[2])],
            env={**environ, **own_folders(launch.scratch)},
            stdin=told,
            stdout=out,
            stderr=out if isinstance(out, int) and out == subprocess.PIPE else subprocess.STDOUT,
            pass_fds=launch.fds,
            start_new_session=True,
        )


def own_folders(scratch: Path | None) -> dict[str, str]:
    """Variables for a home and temporary files of its own. The folders of `scratch` are made."""
    # What is installed for the user is found below the home, which is another one.
    user = {"PYTHONUSERBASE": site.getuserbase()} if site.ENABLE_USER_SITE else {}
    if scratch is None:
        return {"HOME": HOME, "TMPDIR": "/tmp", **user}
    for name in ("home", "tmp"):
        (scratch / name).mkdir(mode=0o700, exist_ok=True)
    return {"HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp"), **user}


@contextlib.contextmanager
def scratch_folder(confinement: Confinement) -> Iterator[Path | None]:
    """For whoever has no files of its own: a folder, removed at the end."""
    folder = None if confinement.files else Path(tempfile.mkdtemp(prefix="perfsuite-trial-"))
    try:
        yield folder
    finally:
        if folder is not None:
            remove(str(folder))


def probe(environ: Mapping[str, str]) -> Confinement:
    """The best confinement that holds here, found by trying; it says why it is not a better one."""
    tried = list(attempts(environ))
    best = tried[-1] if tried[-1].level != "none" else UNCONFINED
    failed = next((one.reason for one in tried if one.reason), "")
    return replace(best, reason="" if best.level == "full" else failed or "this is not Linux")


def attempts(environ: Mapping[str, str]) -> Iterator[Confinement]:
    """What was tried, in turn, until one held; those that did not hold have a reason and nothing else."""
    if sys.platform != "linux":
        yield Confinement(reason="namespaces are Linux's")
        return
    cuda = _look(UNCONFINED, environ).cuda if has_gpu() else None
    for wanted in TRIED:
        if wanted.user or os.geteuid() == 0:
            held = _try(wanted, environ, cuda)
            yield held
            if held.level != "none":
                return


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process saw, or why there is none.

    Args:
        processes: name of its namespace of processes.
        cuda: what the driver's start returned; None where there is no driver.
    """

    network: bool = False
    files: bool = False
    processes: str = ""
    cuda: int | None = None
    problem: str = ""


def _try(wanted: Confinement, environ: Mapping[str, str], cuda: int | None = None) -> Confinement:
    """What was wanted, if all of it was seen to hold and CUDA works as it does outside."""
    seen = _look(wanted, environ)
    if seen.problem:
        return Confinement(reason=seen.problem)
    processes = seen.processes != str(Path("/proc/self/ns/pid").readlink())
    found = {"network": seen.network, "files": seen.files, "processes": processes}
    missing = [name for name, holds in found.items() if getattr(wanted, name) and not holds]
    if missing:
        return Confinement(reason=f"no effect on: {', '.join(missing)}")
    if cuda == 0 and seen.cuda != 0:
        return Confinement(reason=f"CUDA does not start there: cuInit returned {seen.cuda}")
    return wanted


def _look(wanted: Confinement, environ: Mapping[str, str]) -> Seen:
    with (
        tempfile.TemporaryDirectory(prefix="perfsuite-probe-") as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
        scratch_folder(wanted) as scratch,
    ):
        marker, tree, cache = Path(folder, secrets.token_hex(8)), Path(folder, "tree"), Path(folder, "cache")
        for made in (marker, tree, cache):
            made.mkdir()
        sight = Sight(tree, (cache,), (), True, environ, wanted.processes)
        command = [sys.executable, "-P", "-c", CHECK, str(marker), str(server.getsockname()[1])]
        passed = {name: environ[name] for name in PROBE_NEEDS if name in environ}
        return _seen(Launch(command, tree, wanted, sight, scratch), passed)


def _seen(launch: Launch, environ: Mapping[str, str]) -> Seen:
    process = start(launch, environ, subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate()
        return Seen(problem="a confined process did not answer")
    lines = (err or out).decode(errors="replace").strip().splitlines()
    if process.returncode == CANNOT_CONFINE:
        return Seen(problem=_refused(lines[-1] if lines else "no answer"))
    if process.returncode != 0:
        return Seen(problem=f"the harness does not start there: {lines[-1] if lines else 'no answer'}")
    return Seen(*json.loads(out.splitlines()[-1]))


def _refused(line: str) -> str:
    """What the kernel said, for people."""
    text = line.removeprefix("perfsuite: ")
    if text.startswith("unshare:"):
        return f"user namespaces are not permitted here ({text})"
    return f"the kernel refuses a part of it ({text})"


def refuse_links_out(root: Path, suite: str, *, everywhere: bool) -> None:
    """Files that are symbolic links out of the checkout are not read: what an error says of them would tell
    what they hold.

    Looked at are the suite, what pytest reads in the folders on the way to it, and `everywhere` the whole
    checkout.

    Raises:
        UsageError: names the first.
    """
    top = checkout_of(root)
    real_top = os.path.realpath(top)
    for path in _links(top, root / suite, everywhere=everywhere):
        if not Path(os.path.realpath(path)).is_relative_to(real_top):
            raise UsageError(
                f"{path.relative_to(top)} is a symbolic link out of its checkout, to {path.readlink()}",
                "put the file itself there, or a link to a file of the checkout",
            )


def _links(top: Path, suite: Path, *, everywhere: bool) -> Iterator[Path]:
    way = [suite, *suite.parents]
    way = way[: way.index(top) + 1] if top in way else way[:1]
    yield from (path for path in way[:-1] if path.is_symlink())
    if everywhere:
        yield from _below(top)
        return
    yield from _below(suite)
    yield from (path for folder in way[1:] for name in READ_BY_PYTEST if (path := folder / name).is_symlink())


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", ".perfsuite")]
        yield from (path for name in (*folders, *files) if (path := Path(parent, name)).is_symlink())


def main(arguments: list[str] | None = None) -> int:
    from perfsuite.config import process_environ

    parser = argparse.ArgumentParser(description="How trials are shut in on this machine.")
    parser.add_argument("--probe", action="store_true", help="tell what holds")
    parser.add_argument("--show", action="store_true", help="list the new root")
    parser.add_argument("tree", type=Path, nargs="?", default=Path.cwd())
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    environ = process_environ()
    if given.probe or not (given.command or given.show):
        tried = list(attempts(environ))
        for one in tried:
            print(one.sentence)
        return 0 if tried[-1].level != "none" else 3
    return _run(given, probe(environ), environ)


def _run(given: argparse.Namespace, confinement: Confinement, environ: Mapping[str, str]) -> int:
    print(confinement.sentence, file=sys.stderr)
    tree = given.tree.resolve()
    with (
        tempfile.TemporaryDirectory(prefix="perfsuite-cache-") as cache,
        scratch_folder(confinement) as scratch,
    ):
        sight = Sight(tree, (Path(cache),), (tree / ".perfsuite",), True, environ, confinement.processes)
        launch = Launch(given.command, tree, confinement, sight, scratch)
        for mount in launch.mounts() if given.show else ():
            print(mount)
        if not given.command:
            return 0
        return start(launch, {**without_secrets(environ), "TRITON_CACHE_DIR": cache}, sys.stdout).wait()


if __name__ == "__main__":
    sys.exit(main())
