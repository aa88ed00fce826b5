"""What a launcher asks of the Linux kernel: namespaces, a root of its own, no capabilities.

The standard library alone. Every function raises OSError where the kernel refuses; its `filename` says what
was asked.

Facts: namespaces(7), user_namespaces(7), mount_setattr(2), pivot_root(2), capabilities(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path
from typing import Any

INODES = 1 << 18
"""Of a tmpfs: empty files take memory too."""
CLONE = {"user": 0x10000000, "processes": 0x20000000, "network": 0x40000000}
CLONE_FILES, CLONE_IPC, CLONE_UTS, CLONE_CGROUP = 0x00020000, 0x08000000, 0x04000000, 0x02000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PTS_OPTIONS = "newinstance,ptmxmode=0666,mode=620"
MNT_DETACH = 2
MOUNT_SETATTR = 442
"""Number of the system call, the same on all architectures; Linux 5.12 and later."""
MS_REMOUNT = 32
FLAGS = {
    **{"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8},
    **{"noatime": 1 << 10, "nodiratime": 1 << 11, "relatime": 1 << 21},
}
"""Options in /proc/self/mountinfo, as flags of mount(2). The first three are mount_setattr's as well."""
ESCAPED = {r"\040": " ", r"\011": "\t", r"\012": "\n", r"\134": "\\"}
"""In the paths there, in this order: the backslash last."""
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
AT_RECURSIVE = 0x8000
PDEATHSIG, DUMPABLE, CAPBSET_DROP, SECUREBITS, SUBREAPER, NO_NEW_PRIVS, AMBIENT = 1, 4, 24, 28, 36, 38, 47
AMBIENT_CLEAR_ALL = 4
NO_CAPABILITIES_BY_ROOT = 0xEF
"""SECBIT_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked, and KEEP_CAPS locked away."""
CAPABILITY_VERSION = 0x20080522
KEYCTL = {"x86_64": 250, "aarch64": 219}
KEYCTL_JOIN_SESSION_KEYRING = 1

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any, what: str = "") -> int:
    """A function of the C library. Raises: OSError."""
    result = int(getattr(libc, name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name} {what}".strip())
    return result


def prctl(option: int, *arguments: int) -> int:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return call("prctl", option, *(ctypes.c_ulong(one) for one in padded), what=str(option))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    encoded = [None if one is None else os.fsencode(one) for one in (source, target, kind)]
    call("mount", *encoded, ctypes.c_ulong(flags), os.fsencode(data) or None, what=f"{kind or ''} {target}")


def set_attributes(path: str, added: int, *, recursive: bool = False) -> None:
    """Of one mount, or of those below it too."""
    values = (ctypes.c_uint64 * 4)(added, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    arguments = (ctypes.c_int(-100), os.fsencode(path), ctypes.c_uint(flags), ctypes.byref(values))
    number, size = ctypes.c_long(MOUNT_SETATTR), ctypes.c_size_t(32)
    try:
        call("syscall", number, *arguments, size, what=f"mount_setattr {path}")
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        remount(path, added, recursive=recursive)


def remount(path: str, added: int, *, recursive: bool) -> None:
    """The same for older kernels: each mount anew, with the flags that it has, which must not be lost."""
    for line in Path("/old/proc/self/mountinfo").read_text().splitlines():
        point, options = line.split()[4:6]
        for escaped, character in ESCAPED.items():
            point = point.replace(escaped, character)
        if point == path or (recursive and point.startswith(f"{path}/")):
            kept = sum(FLAGS.get(option, 0) for option in options.split(","))
            mount("none", point, None, MS_BIND | MS_REMOUNT | kept | added)


def write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")


def enter(spaces: dict[str, bool]) -> None:
    """New namespaces, but for that of mounts. Raises: OSError, where the kernel does not let us."""
    uid, gid = os.geteuid(), os.getegid()
    flags = sum(flag for name, flag in CLONE.items() if spaces[name])
    call("unshare", flags | (CLONE_IPC | CLONE_UTS if spaces["files"] else 0))
    if spaces["user"]:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{uid} {uid} 1")
        write("/proc/self/gid_map", f"{gid} {gid} 1")
        # User namespaces in this one would give their makers capabilities again, over nothing of ours.
        with contextlib.suppress(OSError):
            write("/proc/sys/user/max_user_namespaces", "0")
    if spaces["files"]:
        libc.unshare(CLONE_CGROUP)
        call("sethostname", b"trial", 5)
        # Keys of the session (tickets, passwords of file systems) are inherited otherwise.
        if number := KEYCTL.get(os.uname().machine):
            libc.syscall(ctypes.c_long(number), ctypes.c_long(KEYCTL_JOIN_SESSION_KEYRING), None)
    if spaces["network"]:
        raise_loopback()


def raise_loopback() -> None:
    """Libraries talk to themselves over 127.0.0.1."""
    import fcntl
    import socket
    import struct

    set_flags, up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up))


def build_root(mounts: list[dict[str, Any]]) -> None:
    """A root of what is listed and nothing else; the old one is gone. Raises: OSError."""
    call("unshare", CLONE_FILES, what="mounts")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    base = next(path for path in ("/tmp", "/mnt", "/run", "/var") if Path(path).is_dir())
    mount("perfsuite", base, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    os.chdir(base)
    Path("old").mkdir()
    Path("new").mkdir()
    call("pivot_root", b".", b"old")
    os.chdir("/")
    mount("perfsuite", "/new", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755")
    for one in mounts:
        place(one, Path("/new" + one["target"]))
    for one in mounts:
        if one["kind"] in ("tmpfs", "proc"):
            protect("/new" + one["target"], writable=one["writable"])
    protect("/new", writable=False)
    os.chdir("/new")
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def place(one: dict[str, Any], target: Path) -> None:
    kind = one["kind"]
    if kind == "link":
        if not (target.is_symlink() or target.exists()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(one["source"])
    elif kind == "bind":
        bind(one, target)
    else:
        target.mkdir(parents=True, exist_ok=True)
    if kind == "tmpfs":
        size = f"size={one['size']},nr_inodes={INODES},mode=755"
        mount("perfsuite", str(target), "tmpfs", MS_NOSUID | MS_NODEV, size)
    elif kind == "proc":
        mount("proc", str(target), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    elif kind == "pts":
        # Some kernels refuse: hardly anything in a trial wants a terminal.
        with contextlib.suppress(OSError):
            mount(
                "devpts", str(target), "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"
            )


def bind(one: dict[str, Any], target: Path) -> None:
    source = Path("/old" + one["source"])
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(source), str(target), None, MS_BIND | MS_REC)
    # At once: whatever is made below it later must not be made on the host. Devices take what is written to
    # them all the same; their modes are the host's.
    wanted = ATTR_NOSUID | (0 if one["device"] else ATTR_NODEV) | (0 if one["writable"] else ATTR_RDONLY)
    set_attributes(str(target), wanted, recursive=True)


def protect(path: str, *, writable: bool) -> None:
    """Read-only but for what may be written; binds are so already."""
    if not writable:
        set_attributes(path, ATTR_RDONLY)


def drop_capabilities() -> None:
    """For good: neither root's user id nor a set-user-id program gives any of them back."""
    for capability in range(64):
        with contextlib.suppress(OSError):
            prctl(CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        prctl(AMBIENT, AMBIENT_CLEAR_ALL)
    prctl(SECUREBITS, NO_CAPABILITIES_BY_ROOT)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
    prctl(NO_NEW_PRIVS, 1)
