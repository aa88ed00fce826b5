"""Runs `interpreted/` and the suite itself in Triton's interpreter, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGE = "not seed77 and not seed21 and not seed0 and not seed99"
SUITE = ("kernels/suite", "-p", "stand_in", "-m", "not full", "-k", LARGE)
"""Without the largest configurations, which take longer than the rest together."""


# A minute of one processor's time, which others share.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("selection", [("tests/kernels/interpreted",), SUITE], ids=["ops", "suite"])
def test_in_the_interpreter(selection: tuple[str, ...]) -> None:
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        # numpy's threads wait for each other where processors are shared.
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "kernels")]),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:perfsuite",
        "-p",
        "no:cacheprovider",
        *selection,
    ]
    # Lanes that are not stored compute on poison.
    command += ["-W", "ignore::RuntimeWarning"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
