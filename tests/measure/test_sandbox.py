"""Shutting processes in: what the kernel is asked for, what is said where it refuses, what is seen inside."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hostile_suite import as_nobody

import perfsuite
from perfsuite.errors import UsageError
from perfsuite.measure import sandbox
from perfsuite.measure.confined import UNCONFINED, Confinement, Sight, covered, new_root, resolve
from perfsuite.measure.sandbox import Launch, probe, refuse_links_out, scratch_folder, start

FULL = Confinement(network=True, files=True, processes=True, user=True)
NO_PIDS = Confinement(network=True, files=True, user=True)
ONLY_NETWORK = Confinement(network=True, user=True)
BY_ROOT = replace(FULL, user=False)
LEVELS = {"full": FULL, "by root": BY_ROOT, "no pids": NO_PIDS, "only network": ONLY_NETWORK}

LOOK = """
import json, os, socket
def seen(path):
    try:
        return bool(open(path, "rb").read())
    except OSError:
        return False
status = open("/proc/self/status").read().splitlines()
caps = [line for line in status if line.startswith(("CapEff", "CapBnd", "NoNew"))]
home = os.environ["HOME"]
interfaces = [name for _, name in socket.if_nameindex()]
open("/dev/null", "w").write("taken")
if {files}:
    try:
        os.chmod("/dev/null", 0o666)
        raise SystemExit("that is the host's")
    except OSError:
        pass
print(json.dumps([seen({secret!r}), seen({environ!r}), caps, home, os.listdir(home), interfaces]))
"""


def possible(wanted: Confinement) -> Confinement:
    """Skips where the kernel refuses it."""
    if not wanted.user and os.geteuid() != 0:
        pytest.skip("without a user namespace it takes root")
    held = sandbox._try(wanted, os.environ)
    if held.level == "none":
        pytest.skip(held.reason)
    return held


def sight_of(tree: Path, *writable: Path, own_processes: bool = True) -> Sight:
    return Sight(tree, writable, (), False, os.environ, own_processes)


def inside(tree: Path, confinement: Confinement, code: str) -> str:
    """What Python code prints there."""
    with scratch_folder(confinement) as scratch:
        sight = sight_of(tree, own_processes=confinement.processes)
        launch = Launch([sys.executable, "-P", "-c", code], tree, confinement, sight, scratch)
        process = start(launch, os.environ, subprocess.PIPE)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


def test_what_holds_is_told_and_what_does_not_too() -> None:
    assert FULL.sentence == "trials confined: no network, own files, own processes"
    refused = Confinement(reason="user namespaces are not permitted here (unshare: Operation not permitted)")
    assert refused.sentence == (
        "trials not confined: user namespaces are not permitted here (unshare: Operation not permitted)"
    )
    half = replace(NO_PIDS, reason="mount proc: Operation not permitted")
    assert half.sentence == (
        "trials partly confined: no network, own files; the host's processes can be seen "
        "(mount proc: Operation not permitted)"
    )
    least = replace(ONLY_NETWORK, reason="mount: Permission denied")
    assert "the host's files can be read" in least.sentence
    assert [one.level for one in (FULL, half, least, refused)] == ["full", "partial", "partial", "none"]


@pytest.mark.parametrize("wanted", LEVELS.values(), ids=LEVELS)
def test_each_level_holds_as_far_as_it_says(
    wanted: Confinement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    possible(wanted)
    monkeypatch.setattr(sandbox, "TRIED", (wanted,))
    held = probe(os.environ)
    assert held == replace(held, network=True, files=wanted.files, processes=wanted.processes)
    secret = tmp_path / "secret"
    secret.write_text("s")
    (tmp_path / "tree").mkdir()
    code = LOOK.format(secret=str(secret), environ=f"/proc/{os.getpid()}/environ", files=held.files)
    visible, environ, caps, home, in_home, interfaces = json.loads(inside(tmp_path / "tree", held, code))
    assert visible is not wanted.files
    # Of a process outside its user namespace not even the same user's environment can be read.
    assert environ is False
    assert [line.split()[1].strip("0") for line in caps] == ["", "", "1"]
    assert home != os.environ.get("HOME")
    assert in_home == []
    assert interfaces == ["lo"]


def test_where_the_kernel_refuses_it_is_said(tmp_path: Path) -> None:
    """Inside a confined process no namespace can be made: a machine that permits none."""
    possible(FULL)
    code = (
        "import os; from perfsuite.measure.sandbox import probe\nheld = probe(os.environ)\n"
        "print(held.level, held.sentence)"
    )
    said = inside(tmp_path, FULL, code)
    assert said.startswith("none trials not confined: user namespaces are not permitted here (unshare: ")


def test_without_privileges_it_works_as_well(tmp_path: Path) -> None:
    command, environ = as_nobody(tmp_path)
    done = subprocess.run(
        [*command, "-m", "perfsuite.measure.sandbox", "--probe"],
        env=environ,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode and ("Permission denied" in done.stderr or "No module" in done.stderr):
        pytest.skip(f"that user cannot read the harness: {done.stderr.splitlines()[-1]}")
    assert done.stdout.startswith("trials "), done.stderr
    assert done.stdout.splitlines()[-1] == FULL.sentence or "(" in done.stdout


def test_a_root_holds_what_is_needed_and_nothing_beside(tmp_path: Path) -> None:
    """A checkout at work: its state, its history and its neighbours are not seen, its cache is."""
    (tmp_path / ".git").mkdir()
    for name in ("state/worktrees/other", "state/triton/head", "bench"):
        (tmp_path / name).mkdir(parents=True)
    cache, state = tmp_path / "state" / "triton" / "head", tmp_path / "state"
    sight = Sight(tmp_path / "bench", (cache,), (state, tmp_path), True, {}, own_processes=True)
    mounts = {mount.target: mount for mount in new_root(sight)}
    assert mounts[str(tmp_path)].kind == "bind" and not mounts[str(tmp_path)].writable
    assert mounts[str(tmp_path / ".git")].kind == mounts[str(state)].kind == "tmpfs"
    assert mounts[str(cache)].writable
    assert [m.target for m in mounts.values() if m.kind == "bind" and m.writable] == [str(cache)]
    assert mounts["/tmp"].kind == "tmpfs" and mounts["/proc"].kind == "proc"
    shown = [m.target for m in mounts.values() if m.kind == "bind"]
    assert not covered("/etc/shadow", shown) and not covered("/run", shown) and not covered("/var", shown)
    # Of the harness's own checkout only the package.
    assert covered(str(Path(perfsuite.__file__).parent), shown)
    assert not covered(str(Path(perfsuite.__file__).parents[1] / ".git"), shown)
    order = list(mounts)
    assert order.index(str(tmp_path)) < order.index(str(state)) < order.index(str(cache))


OLD_KERNEL = """
import sys
from perfsuite.measure import sandbox_kernel as kernel
kernel.MOUNT_SETATTR = 99_999
kernel.enter(dict(user=True, files=True, network=True, processes=False))
tree = sys.argv[1]
one = dict(kind="bind", source=tree, target=tree, writable=False, device=False, size=0)
kernel.build_root([dict(one, source="/sys", target="/sys"), one])
for path in (tree, "", "/sys/fs/cgroup"):
    try:
        open(path + "/x", "w")
    except OSError as error:
        print(error.strerror)
"""


def test_older_kernels_are_asked_mount_by_mount(tmp_path: Path) -> None:
    """/sys has mounts below it: they must not stay writable."""
    possible(FULL)
    tree = tmp_path / "a tree"
    tree.mkdir()
    command = [sys.executable, "-c", OLD_KERNEL, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["Read-only file system"] * 3
    assert not list(tree.iterdir())


def test_a_folder_that_an_operator_names_is_not_shown_where_it_holds_a_home(tmp_path: Path) -> None:
    (tmp_path / "home" / "cuda").mkdir(parents=True)
    environ = {"HOME": str(tmp_path / "home"), "CUDA_HOME": str(tmp_path)}
    sight = Sight(Path("/nowhere/tree"), (), (), True, environ, own_processes=True)
    assert str(tmp_path) not in {mount.target for mount in new_root(sight)}
    named = replace(sight, environ={**environ, "CUDA_HOME": str(tmp_path / "home" / "cuda")})
    assert str(tmp_path / "home") not in {mount.target for mount in new_root(named)}


def test_links_on_the_way_to_a_path_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("real")
    (tmp_path / "real" / "absolute").symlink_to(tmp_path / "real" / ".." / "real" / "deep")
    real, links = resolve(str(tmp_path / "relative" / "absolute"))
    assert real == str(tmp_path / "real" / "deep")
    assert links[str(tmp_path / "relative")] == "real"
    assert set(links) == {str(tmp_path / "relative"), str(tmp_path / "real" / "absolute")}


def test_links_out_of_the_checkout_are_refused(tmp_path: Path) -> None:
    tree, secret = tmp_path / "tree", tmp_path / "secret"
    (tree / "bench").mkdir(parents=True)
    (tree / ".git").write_text("gitdir: elsewhere\n")
    secret.write_text("password")
    (tree / "bench" / "inside.py").symlink_to("../ops.py")
    (tree / "data").symlink_to(tmp_path)
    refuse_links_out(tree, "bench", everywhere=False)
    with pytest.raises(UsageError, match="data is a symbolic link out of its checkout"):
        refuse_links_out(tree, "bench", everywhere=True)
    (tree / "data").unlink()
    for name in ("bench/test_x.py", "conftest.py", "pytest.ini"):
        (tree / name).symlink_to(secret)
        with pytest.raises(UsageError, match=f"^{name} is a symbolic link out of its checkout"):
            refuse_links_out(tree, "bench", everywhere=False)
        (tree / name).unlink()
    (tree / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="elsewhere is a symbolic link"):
        refuse_links_out(tree, "elsewhere", everywhere=False)


def test_a_launcher_ends_as_its_process_does(tmp_path: Path) -> None:
    def status(code: str) -> int:
        sight = sight_of(tmp_path)
        with scratch_folder(UNCONFINED) as scratch:
            launch = Launch([sys.executable, "-c", code], tmp_path, UNCONFINED, sight, scratch)
            ended = start(launch, os.environ, subprocess.DEVNULL).wait(60)
            assert scratch is not None and not scratch.exists()
        return ended

    assert status("raise SystemExit(7)") == 7
    assert status("import os; os.kill(os.getpid(), 11)") == -11
    assert status("import os; os.kill(os.getpid(), 9)") == -9


def test_after_hiding_no_core_and_no_proc_for_others() -> None:
    code = (
        "import ctypes; from perfsuite.measure.sandbox import hide_environment\n"
        "hide_environment(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert hasattr(ctypes.CDLL(None), "prctl")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
