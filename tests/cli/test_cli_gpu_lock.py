"""The lock of a GPU: real files, real processes; and processes of others on it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_fakes import CASES, MACHINE, Cli

from perfsuite.cli import gpu_lock
from perfsuite.cli.gpu_lock import holding_gpu
from perfsuite.errors import MachineError
from perfsuite.measure.nvml import GpuProcess
from perfsuite.measure.settings import Silent
from perfsuite.store import open_store

UUID = "GPU-aaaa-0000"
GPU_MACHINE = replace(MACHINE, gpu="a GPU", gpu_uuid=UUID)
TRAINING = GpuProcess(7, "python train.py", 3 << 30)
HOLDER = """
import sys, time
from pathlib import Path
from perfsuite.cli import gpu_lock
from perfsuite.measure.settings import Silent
gpu_lock.FOLDER = Path(sys.argv[1])
with gpu_lock.holding_gpu(sys.argv[2], "perfsuite compare of owner/name", Silent()):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gpu_lock, "FOLDER", tmp_path / "locks")
    return tmp_path / "locks"


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(folder), UUID]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


class Told(Silent):
    """What was told; `act` is called at the first waiting."""

    def __init__(self, act: object = None) -> None:
        self.texts: list[str] = []
        self.act = act

    def waiting(self, text: str) -> None:
        self.texts.append(text)
        if callable(self.act):
            self.act()

    def going_on(self) -> None:
        self.texts.append("going on")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_the_file_says_who_holds_it_only_while_it_is_held(folder: Path) -> None:
    file = folder / f"{UUID}.lock"
    with holding_gpu(UUID, "perfsuite run of x", Silent()):
        text = file.read_text()
        assert f'"pid": {os.getpid()}' in text and "perfsuite run of x" in text and '"since": "20' in text
    assert file.read_text() == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o666, "whatever the umask: other users wait for it too"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    with holding_gpu(UUID, "again", Silent()), holding_gpu("GPU-other", "another", Silent()):
        pass


def test_another_process_is_waited_for_and_named(holder: subprocess.Popen[str]) -> None:
    told = Told(holder.kill)
    with holding_gpu(UUID, "mine", told, wait_s=None, sleep=lambda _: holder.wait() and None):
        assert told.texts[0].startswith(
            f"{UUID} is used by perfsuite compare of owner/name (pid {holder.pid}) since 20"
        )
        assert told.texts[-1] == "going on"


def test_waiting_ends_when_it_was_asked_to(holder: subprocess.Popen[str]) -> None:
    clock, told = Clock(), Told()
    with (
        pytest.raises(MachineError, match=rf"owner/name \(pid {holder.pid}\).*waited for 3 s"),
        holding_gpu(UUID, "mine", told, wait_s=3, sleep=clock.sleep, clock=clock),
    ):
        pytest.fail("it is held by another")
    assert clock.now_s == 3.0 and "going on" not in told.texts


def test_what_a_holder_wrote_is_only_shown(folder: Path, holder: subprocess.Popen[str]) -> None:
    file = folder / f"{UUID}.lock"
    for text in ("", "[]", "nonsense \x00", '{"pid": 1}', "[" * 5000):
        file.write_text(text)
        with pytest.raises(MachineError, match="used by another process"):
            holding_gpu(UUID, "mine", Silent(), wait_s=0).__enter__()
    file.write_text('{"pid": 1, "what": "a\\n\\u001b[2Jb", "since": "now"}')
    with pytest.raises(MachineError, match=r"used by a  \[2Jb \(pid 1\) since now"):
        holding_gpu(UUID, "mine", Silent(), wait_s=0).__enter__()


def test_trials_do_not_inherit_it() -> None:
    with holding_gpu(UUID, "mine", Silent()):
        script = (
            "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') "
            "if os.path.exists(f'/proc/self/fd/{n}')])"
        )
        seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ".lock" not in seen.stdout


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with holding_gpu("GPU-1", "makes the folder", Silent()):
        pass
    (folder / "GPU-2.lock").symlink_to(victim)
    (folder / "GPU-3.lock").symlink_to(tmp_path / "missing")
    (folder / "GPU-4.lock").hardlink_to(victim)
    os.mkfifo(folder / "GPU-5.lock")
    (folder / "GPU-6.lock").mkdir()
    for number in range(2, 7):
        with pytest.raises(MachineError, match="cannot be locked"):
            holding_gpu(f"GPU-{number}", "mine", Silent()).__enter__()
    assert victim.read_text() == "precious" and not (tmp_path / "missing").exists()


def test_a_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineError, match="cannot be locked"):
        holding_gpu(UUID, "mine", Silent()).__enter__()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_name_cannot_leave_the_folder(folder: Path) -> None:
    with holding_gpu("../../x/GPU", "mine", Silent()):
        assert [file.name for file in folder.iterdir()] == ["______x_GPU.lock"]


def test_commands_hold_it_while_they_measure(cli: Cli, folder: Path) -> None:
    cli.machine = GPU_MACHINE
    cli.commit("two\n")
    seen: list[str] = []
    cli.session.before = lambda case: seen.append((folder / f"{UUID}.lock").read_text())
    for command in (("run",), ("compare", "HEAD~1"), ("noise",)):
        seen.clear()
        assert cli(*command).code == 0
        assert all(f"perfsuite {command[0]} of watched" in text for text in seen) and len(seen) == len(CASES)
    assert (folder / f"{UUID}.lock").read_text() == ""


def test_without_a_gpu_nothing_is_locked(cli: Cli, folder: Path) -> None:
    assert cli("run").code == 0
    assert not folder.exists()


def test_a_gpu_in_use_is_exit_code_3_when_the_time_is_over(cli: Cli, holder: subprocess.Popen[str]) -> None:
    cli.machine = GPU_MACHINE
    answer = cli("run", "--wait", "0")
    assert answer.code == 3
    assert f"pid {holder.pid}" in answer.err and "next:" in answer.err
    assert cli.session.seen == []


def test_foreign_processes_are_noted_kept_and_reported(cli: Cli) -> None:
    cli.machine = GPU_MACHINE
    cli.processes = lambda: [TRAINING]
    cli.commit("two\n")
    answer = cli("compare", "HEAD~1", "--json=out.json")
    assert "other processes use the GPU: python train.py (pid 7, 3.0 GiB)" in answer.err
    assert "! other processes used the GPU: python train.py (pid 7, 3.0 GiB)" in answer.out
    with open_store(cli.database, create=False) as store:
        comparison = store.reader.comparison("latest")
    for run in (comparison.base, comparison.head):
        assert run.environment.details["other_processes"] == "python train.py (pid 7, 3.0 GiB)"
        assert run.environment.fingerprint == GPU_MACHINE.fingerprint
    assert "train.py" in cli("run").out


def test_who_comes_while_measuring_is_kept_too(cli: Cli) -> None:
    cli.machine = GPU_MACHINE
    there: list[GpuProcess] = []
    cli.processes = lambda: there
    cli.session.before = lambda case: None if there else there.append(TRAINING)
    answer = cli("run")
    assert "began to use the GPU: python train.py" in answer.err
    assert "while measuring came python train.py (pid 7, 3.0 GiB)" in answer.out
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
        assert run.finished_at is not None
        assert "train.py" in str(run.environment.details["other_processes"])


def test_what_was_found_before_an_interruption_stays(cli: Cli) -> None:
    cli.machine = GPU_MACHINE
    cli.processes = lambda: [TRAINING]

    def stop(case: str) -> None:
        if case == CASES[1]:
            raise KeyboardInterrupt

    cli.session.before = stop
    cli("run")
    cli.session.before = lambda case: None
    cli.processes = lambda: [GpuProcess(9, "vllm", 1 << 30)]
    cli("run", "--resume")
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
    told = "python train.py (pid 7, 3.0 GiB); vllm (pid 9, 1.0 GiB)"
    assert run.environment.details["other_processes"] == told


def test_a_busy_gpu_is_waited_for_only_so_long(cli: Cli) -> None:
    cli.machine = GPU_MACHINE
    cli.processes = lambda: [TRAINING]
    answer = cli("run", "--wait-idle", "0", "--events", "events.jsonl")
    assert answer.code == 3
    assert "the GPU is busy: python train.py (pid 7, 3.0 GiB)" in answer.err
    assert cli.session.seen == []
