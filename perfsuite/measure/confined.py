"""How far trials are shut in, and what a trial that has files of its own is given to see."""

from __future__ import annotations

import functools
import os
import site
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SCRATCH_BYTES = 2 << 30
"""Of /tmp, home included: ample for a compiler, and memory that the machine can spare."""
SHARED_MEMORY_BYTES = 1 << 30
MASK_BYTES = 1 << 20
"""Room for the folders in which what is hidden has its visible parts."""
HOME = "/tmp/home"
"""Of a trial with files of its own."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt/rocm*", "/opt/amdgpu", "/opt/cuda")
"""Programs and libraries: compiler and linker for Triton's launchers, CUDA, the driver's libraries."""
ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "passwd", "group", "nsswitch.conf"),
    *("hosts", "host.conf", "protocols", "services", "localtime", "timezone", "locale.alias"),
    *("ssl/certs", "ssl/openssl.cnf", "crypto-policies", "python3*", "nvidia", "OpenCL"),
)
"""Files that loaders, compilers and libraries read. None is a secret: no shadow, no keys, no service's
configuration."""
SYS = ("bus", "class", "dev", "devices", "module", "fs/cgroup", "kernel/mm")
"""Of /sys: processors, memory, PCI devices. Not the kernel's debugging, nor the firmware's variables."""
KERNEL = tuple(f"/proc/{name}" for name in ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "asound"))
"""Of /proc: what tells the kernel, not a process, what to do. Root writes there without any capability."""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
GPU = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")
GPU_SOCKETS = ("/run/nvidia-persistenced",)
TOOLKITS = ("CUDA_HOME", "CUDA_PATH", "ROCM_PATH")
HARNESS = ("perfsuite", "pytest", "_pytest", "pytest_benchmark", "pluggy", "numpy", "torch", "triton")
"""Packages of which one may be installed from a checkout: of that only the package is shown."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What was tried on this machine and found to hold for trials.

    Args:
        network: they have none but a loopback of their own.
        files: they see an allow-list, and write to scratch and their Triton cache alone.
        processes: they see their own alone, and none of them outlives its trial.
        user: by a user namespace; without one this takes root.
        reason: what the kernel said to what does not hold.
    """

    network: bool = False
    files: bool = False
    processes: bool = False
    user: bool = False
    reason: str = ""

    @property
    def level(self) -> str:
        """`full`, `partial` or `none`."""
        held = (self.network, self.files, self.processes)
        return "full" if all(held) else "partial" if any(held) else "none"

    @property
    def sentence(self) -> str:
        """For people: what holds, and what does not and why."""
        held = [
            text
            for text, holds in (
                ("no network", self.network),
                ("own files", self.files),
                ("own processes", self.processes),
            )
            if holds
        ]
        if self.level == "full":
            return f"trials confined: {', '.join(held)}"
        if self.level == "none":
            return f"trials not confined: {self.reason}"
        open_ = "the host's processes can be seen" if self.files else "the host's files can be read"
        return f"trials partly confined: {', '.join(held)}; {open_} ({self.reason})"


UNCONFINED = Confinement()


@dataclass(frozen=True, slots=True)
class Mount:
    """One thing in the new root, as the launcher is told it.

    Args:
        kind: `bind`, `tmpfs`, `proc`, `pts`, `link` (a symbolic link to `source`) or `folder`.
        size: of a tmpfs, in bytes.
        device: a bind that may hold device nodes.
    """

    kind: str
    target: str
    source: str = ""
    writable: bool = False
    device: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """What one trial has to see.

    Args:
        tree: the checkout, read-only; of a part of one the whole.
        writable: folders of the host, at their own paths.
        hidden: what is not shown though it lies in something that is.
        gpu: whether it gets the GPU's devices.
    """

    tree: Path
    writable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    gpu: bool
    environ: Mapping[str, str]
    own_processes: bool


def checkout_of(root: Path) -> Path:
    """The top of the checkout that holds `root`: its code may use what lies beside."""
    return next((path for path in (root, *root.parents) if (path / ".git").exists()), root)


def new_root(sight: Sight) -> list[Mount]:
    """Everything in a trial's root, parents before what lies in them."""
    links: dict[str, str] = {}
    shown: list[str] = []
    tree = checkout_of(sight.tree)
    wanted = [*_system(), *_python(), *_toolkits(sight), str(tree)]
    for path in wanted:
        real, passed = resolve(path)
        links.update(passed)
        if not covered(real, shown):
            shown.append(real)
    writable = []
    for folder in sight.writable:
        real, passed = resolve(str(folder))
        links.update(passed)
        writable.append(real)
    mounts = [Mount("bind", path, path) for path in shown]
    mounts += [Mount("bind", path, path, writable=True) for path in writable]
    mounts += [Mount("link", path, target) for path, target in links.items()]
    masks = [path for path in (*sight.hidden, tree / ".git") if not _around(path, sight.tree, tree)]
    mounts += [Mount("tmpfs", path, size=MASK_BYTES) for path in _masked(masks, shown)]
    mounts += _own(sight.own_processes)
    if sight.gpu:
        mounts += [Mount("bind", path, path, device=True) for path in _existing(GPU)]
        mounts += [Mount("bind", path, path) for path in _existing(GPU_SOCKETS)]
    return sorted(mounts, key=lambda mount: (len(Path(mount.target).parts), mount.target))


def has_gpu() -> bool:
    return any(True for _ in _existing(GPU))


def resolve(path: str) -> tuple[str, dict[str, str]]:
    """The real path, and each symbolic link on the way to it with what it holds."""
    links: dict[str, str] = {}
    current, todo = Path("/"), deque(Path(path).parts[1:])
    while todo:
        part = todo.popleft()
        step = current.parent if part == ".." else current / part
        if not step.is_symlink() or str(step) in links:
            current = step
            continue
        target = step.readlink()
        links[str(step)] = str(target)
        todo.extendleft(reversed([part for part in target.parts if part != "/"]))
        current = Path("/") if target.is_absolute() else current
    return str(current), links


def covered(path: str, by: Iterable[str]) -> bool:
    """Whether a path is one of these or lies in one."""
    return any(Path(path).is_relative_to(one) for one in by)


def _system() -> Iterator[str]:
    yield from _existing(SYSTEM)
    yield from _existing(f"/etc/{name}" for name in ETC)
    yield from _existing(f"/sys/{name}" for name in SYS)


@functools.cache
def _python() -> tuple[str, ...]:
    """The interpreter, folders that packages were installed into; of a checkout only its packages."""
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    found += [path for path in sys.path if any(Path(path or ".").glob("*.dist-info"))]
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    found = list(_existing(found))
    real = [resolve(path)[0] for path in (*found, "/usr")]
    for name in HARNESS:
        spec = find_spec(name)
        if spec is not None:
            places = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
            found += [place for place in places if not covered(resolve(place)[0], real)]
    return tuple(_existing(found))


def _toolkits(sight: Sight) -> Iterator[str]:
    """Folders that the operator names. One that holds what is to be hidden is not taken."""
    named = [sight.environ.get(name, "") for name in TOOLKITS]
    named += sight.environ.get("LD_LIBRARY_PATH", "").split(":")
    hidden = [os.path.realpath(path) for path in (*map(str, sight.hidden), sight.environ.get("HOME", "/"))]
    for path in _existing(path for path in named if path.startswith("/")):
        if not any(covered(one, [resolve(path)[0]]) for one in hidden):
            yield path


def _existing(patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        if "*" in pattern:
            yield from map(str, sorted(Path("/").glob(pattern.lstrip("/"))))
        elif os.access(pattern, os.F_OK):
            yield pattern


def _around(path: Path, root: Path, top: Path) -> bool:
    """Whether it is the part of the checkout that is measured, or holds it."""
    return path.is_relative_to(top) and root.is_relative_to(path)


def _masked(hidden: Iterable[Path], shown: list[str]) -> Iterator[str]:
    """What is to be hidden and would be seen, as folders to be covered."""
    real = {os.path.realpath(path) for path in hidden if path.is_dir()}
    yield from sorted(path for path in real if covered(path, shown) and path not in shown)


def _own(own_processes: bool) -> Iterator[Mount]:
    """Scratch, devices and processes."""
    yield Mount("tmpfs", "/tmp", writable=True, size=SCRATCH_BYTES)
    yield Mount("folder", HOME)
    yield Mount("link", "/var/tmp", "/tmp")
    yield Mount("folder", "/run")
    # To be written to: CUDA names its threads there, and does not start where it cannot.
    yield Mount("proc", "/proc", writable=True) if own_processes else Mount("bind", "/proc", "/proc")
    if own_processes:
        yield from (Mount("bind", path, path) for path in _existing(KERNEL))
    for name in DEVICES:
        if Path("/dev", name).exists():
            yield Mount("bind", f"/dev/{name}", f"/dev/{name}", device=True)
    yield Mount("tmpfs", "/dev/shm", writable=True, size=SHARED_MEMORY_BYTES)
    yield Mount("pts", "/dev/pts")
    yield Mount("link", "/dev/ptmx", "pts/ptmx")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        yield Mount("link", f"/dev/{name}", f"/proc/self/fd/{number}")
    yield Mount("link", "/dev/fd", "/proc/self/fd")
