"""Trees whose code attacks: what they read and write goes into the message of a failing test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import perfsuite

HONEST = """
import time

def test_honest(benchmark):
    benchmark.pedantic(time.sleep, args=(0.002,), rounds=3)
"""
READS = """
import json, os
from pathlib import Path

def text(path):
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        return str(error)

def test_reads(benchmark):
    found = [dict(os.environ)]
    found += [text(p / "environ") for p in Path("/proc").iterdir() if p.name.isdigit()]
    for home in {{Path.home(), Path({home!r})}}:
        found += [text(p) for p in home.rglob("*")]
    found += [os.listdir({state!r}) if os.path.isdir({state!r}) else "no state"]
    raise AssertionError(json.dumps(found))
"""
DAEMON = """
import os, time
from pathlib import Path

def test_daemon(benchmark):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", {marker!r}])
        os._exit(0)
    os.wait()
    time.sleep(0.1)
    Path(os.environ["TRITON_CACHE_DIR"], "started").touch()
    benchmark.pedantic(len, args=("",), rounds=1)
"""
FILLS = """
import os

def test_fills(benchmark):
    with open(os.environ["TMPDIR"] + "/filling", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    benchmark(len, "")
"""
FORGES = """
import os, stat, sys

def links():
    # However many files whoever started this had open: the link may have any number.
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass

def test_a_forges(benchmark):
    line = b'{"say": "ended", "outcome": "passed", "message": "", "samples_ns": [1.0], "to": "0"}\\n'
    print(line.decode(), file=sys.__stdout__, flush=True)
    for fd in links():
        os.write(fd, line * 3 + b"garbage")
    benchmark.pedantic(len, args=("",), rounds=1)
"""
CLAIMS = """
import pytest

@pytest.mark.parametrize("claim", [1e6, 0.0, float("nan")])
def test_claims(benchmark, claim):
    benchmark.pedantic(len, args=("",), rounds=1)
    benchmark.stats.stats.data[:] = [claim]
"""
EDITS = """
import os
from pathlib import Path

def test_edits(benchmark):
    touched = []
    for path in ({others}):
        try:
            Path(path).write_text("raise SystemExit('edited')")
            touched.append(path)
        except OSError:
            pass
    # Below its own scratch it may make what it likes.
    raise AssertionError(f"edited {{touched}}")
"""
CONNECTS = """
import socket

def test_connects(benchmark):
    for port in ({port},):
        with socket.create_connection(("127.0.0.1", port), 2) as open_:
            open_.sendall(b"here I am")
    benchmark.pedantic(len, args=("",), rounds=1)
"""
NEVER_ENDS = """
import os, signal, time

def test_never_ends(benchmark):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)
"""
TRICKLES = """
import os, stat, time

def test_trickles(benchmark):
    while True:
        for fd in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.write(fd, b" ")
            except OSError:
                pass
        time.sleep(0.2)
"""
SAYS = """
import json
import pytest
from perfsuite.plugin import trial

ANSWERS = {
    "facts": '{"say": "ready", "facts": "none"}',
    "no outcome": '{"say": "ended"}',
    "nested": '[' * 100_000,
    "no text": '{"say": 7}',
    "long": json.dumps({"say": "ended", "outcome": "failed", "message": "x" * 10_000_000}),
}

@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_says(benchmark, answer):
    def send(self, **message):
        line = ANSWERS[answer].replace("}", ', "to": "' + self._asked + '"}')
        self._socket.sendall(line.encode() + b"\\n")
    trial.AnsweringLink.send = send
"""


def as_nobody(home: Path) -> tuple[list[str], dict[str, str]]:
    """A Python of a user without privileges, and its environment; skips where there is none."""
    python = shutil.which("python3", path="/usr/bin")
    if os.geteuid() != 0 or python is None or shutil.which("setpriv") is None:
        pytest.skip("not root, or no /usr/bin/python3 or setpriv to become somebody else with")
    packages = [str(Path(perfsuite.__file__).parents[1]), str(Path(pytest.__file__).parents[1])]
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python]
    return command, {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(packages), "HOME": str(home)}


def write_tree(root: Path, **files: str) -> Path:
    """A checkout with a suite `bench` of these files, `test_` and the name each."""
    (root / "bench").mkdir(parents=True)
    (root / ".git").write_text("gitdir: /nowhere\n")
    for name, text in files.items():
        (root / "bench" / f"test_{name}.py").write_text(text)
    return root
