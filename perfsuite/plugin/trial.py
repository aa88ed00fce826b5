"""A trial: one fresh process, one tree, one mode, driven over a socket by the conductor.

`python -P -m perfsuite.plugin` imports the installed harness first and puts the tree under test in front of
`sys.path` only then: both sides run the same harness, only the tree's code differs.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from perfsuite.codec import encode
from perfsuite.measure.link import Link, LinkClosed, Message
from perfsuite.plugin.canaries import canaries
from perfsuite.plugin.cases import Case, case_of, file_stem

PR_SET_PDEATHSIG = 1


class AnsweringLink(Link):
    """Marks what is sent with the question that it answers. The conductor makes up a new mark each time: a
    line that code under test writes ahead answers no question.
    """

    _asked = ""

    def receive(self, timeout_s: float | None = None) -> Message:
        message = super().receive(timeout_s)
        self._asked = message.pop("ask", "")
        return message

    def send(self, **message: Any) -> None:
        super().send(**message, to=self._asked)


class TrialPlugin:
    """Replaces pytest's loop: cases run when the conductor asks, as often as it asks."""

    def __init__(self, link: Link, mode: str, target: str, root: Path, suite: Path) -> None:
        self.link, self.mode, self.target = link, mode, target
        self._root, self._suite = root, suite
        self._items: dict[str, tuple[pytest.Item, Case]] = {}
        self._canaries: list[Case] = []
        self._settled = False
        self._of_tree = True
        """Whether what is collected is the tree's."""
        self._errors: list[dict[str, str]] = []
        self._outcome: dict[str, Any] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self._of_tree:
            path = self._root / report.nodeid.split("::")[0]
            text = str(report.longrepr).strip()
            self._errors.append({"file": file_stem(path, self._suite), "message": text})

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in session.items:
            case = case_of(item, self._suite)
            if case is None:
                continue
            if case.id in self._items:
                other = self._items[case.id][1].node
                text = f"two tests have the case id {case.id}: {other} and {case.node}; rename one"
                self._errors.append({"file": case.file, "message": text})
            else:
                self._items[case.id] = (item, case)
        self._add_canaries(session)
        self._send_collected()
        gc.freeze()
        with contextlib.suppress(LinkClosed):
            while (message := self.link.receive())["do"] == "case":
                self._run(message["case"], message.get("then"))
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        result = yield
        benchmark = getattr(item, "funcargs", {}).get("benchmark")
        stats = getattr(benchmark, "stats", None)
        if stats is not None:
            self._outcome["samples_ns"] = [float(value) * 1e9 for value in stats.stats.data]
            self._outcome["iterations"] = int(stats.iterations)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or (report.failed and self._outcome.get("outcome") != "failed"):
            self._outcome["outcome"] = report.outcome
            self._outcome["message"] = _first_lines(report)

    def _add_canaries(self, session: pytest.Session) -> None:
        """Beside what is timed on a GPU. A suite of plain benchmarks may do without torch: so do we."""
        if all(case.plain for _, case in self._items.values()):
            return
        self._of_tree = False
        for item, case in canaries(session):
            if case.id not in self._items:
                self._items[case.id] = (item, case)
                self._canaries.append(case)

    def _send_collected(self) -> None:
        self.link.send(
            say="collected",
            cases=[encode(case) for _, case in self._items.values() if case not in self._canaries],
            canaries=[encode(case) for case in self._canaries],
            errors=self._errors,
            strangers=strangers(self._root),
        )

    def _run(self, case: str, then: str | None) -> None:
        item = self._items[case][0]
        following = self._items[then][0] if then in self._items else None
        self._outcome = {"outcome": "passed", "message": ""}
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        self.link.send(say="ended", **self._outcome)
        if not self._settled:
            # What has been imported by now stays: the collections between blocks need not walk over it.
            gc.collect()
            gc.freeze()
            self._settled = True


def strangers(root: Path) -> list[str]:
    """Modules that a tree has but that were imported from elsewhere: the wrong code would be measured."""
    found = []
    for name, module in list(sys.modules.items()):
        if "." in name or name == "perfsuite" or not (origin := getattr(module, "__file__", None)):
            continue
        own = [base for base in (root, root / "src") if (base / name / "__init__.py").is_file()]
        if own and not Path(origin).resolve().is_relative_to(root.resolve()):
            found.append(f"{name} from {origin}")
    return found


def _first_lines(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return f"{crash.message}\n{Path(crash.path).name}:{crash.lineno}"
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr)


def die_with_parent(parent: int) -> None:
    """Linux: be killed when the conductor dies, however it dies. Elsewhere its closed socket ends us."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--mode", choices=("gpu", "interpret", "compile"), required=True)
    parser.add_argument("--target", default="sm_90")
    given = parser.parse_args(arguments)
    die_with_parent(given.parent)
    # Ctrl-C is the conductor's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(given.fd, False)
    link = AnsweringLink(socket.socket(fileno=given.fd))
    try:
        return _run_pytest(link, given.mode, given.target, given.root, given.suite)
    except BaseException:
        with contextlib.suppress(LinkClosed):
            link.send(say="broken", message=traceback.format_exc())
        raise


def _run_pytest(link: Link, mode: str, target: str, root: Path, suite: str) -> int:
    os.chdir(root)
    for path in (root / "src", root):
        if path.is_dir():
            sys.path.insert(0, str(path))
    plugin = TrialPlugin(link, mode, target, root, (root / suite).resolve())
    # The repository's own addopts (coverage, xdist, a selection of tests) would change what is measured.
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:timeout"]
    options += ["-p", "no:hypothesispytest", "-o", "addopts=", f"--rootdir={root}"]
    return int(pytest.main([*options, str(root / suite)], plugins=[plugin]))
