"""Processes of others on the GPU: who counts, waiting for them, newcomers."""

from __future__ import annotations

import pytest

from perfsuite.errors import MachineError
from perfsuite.measure.busy import Neighbours, disturbing, named
from perfsuite.measure.nvml import GpuProcess
from perfsuite.measure.settings import Silent

TRAINING = GpuProcess(7, "python train.py", 3 << 30)
SERVING = GpuProcess(9, "vllm", 60 << 30)
DESKTOP = GpuProcess(3, "Xorg", 200 << 20, graphics=True)
GAME = GpuProcess(4, "game", 6 << 30, graphics=True)


class Scene:
    """Who is on the GPU at each second, and what was told of it."""

    def __init__(self, *moments: list[GpuProcess]) -> None:
        self.moments = moments
        self.now_s = 0.0
        self.notes: list[str] = []
        self.waits: list[str] = []
        scene = self

        class Told(Silent):
            def note(self, text: str) -> None:
                scene.notes.append(text)

            def waiting(self, text: str) -> None:
                scene.waits.append(text)

            def going_on(self) -> None:
                scene.waits.append("going on")

        self.neighbours = Neighbours(self.ask, Told(), sleep=self.sleep, clock=lambda: self.now_s)

    def ask(self) -> list[GpuProcess]:
        return self.moments[min(int(self.now_s), len(self.moments) - 1)]

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_desktop_is_no_reason_to_wait() -> None:
    assert disturbing([TRAINING, DESKTOP, GAME]) == [TRAINING, GAME]
    scene = Scene([DESKTOP])
    scene.neighbours.begin(10.0)
    assert (scene.now_s, scene.notes, scene.waits, scene.neighbours.told) == (0.0, [], [], "")


def test_without_waiting_they_are_noted() -> None:
    scene = Scene([TRAINING, SERVING])
    scene.neighbours.begin(None)
    text = "python train.py (pid 7, 3.0 GiB), vllm (pid 9, 60.0 GiB)"
    assert scene.notes == [f"other processes use the GPU: {text}"]
    assert scene.neighbours.told == text


def test_a_process_that_is_just_ending_is_nobody() -> None:
    scene = Scene([TRAINING], [])
    scene.now_s = 0.9
    scene.neighbours.begin(None)
    assert (scene.notes, scene.neighbours.told) == ([], "")


def test_they_are_waited_for() -> None:
    scene = Scene([TRAINING], [TRAINING], [SERVING], [])
    scene.neighbours.begin(10.0)
    assert scene.now_s == pytest.approx(3.0)
    assert [text for text in scene.waits if "train.py" in text] and "vllm" in scene.waits[-2]
    assert scene.waits[-1] == "going on"
    assert (scene.notes, scene.neighbours.told) == ([], ""), "they went before anything was measured"


def test_waiting_ends_with_their_names() -> None:
    scene = Scene([TRAINING])
    with pytest.raises(MachineError, match=r"python train\.py \(pid 7, 3\.0 GiB\); it was waited for 5 s"):
        scene.neighbours.begin(5.0)
    assert scene.now_s == pytest.approx(6.0)


def test_newcomers_are_noted_once() -> None:
    scene = Scene([TRAINING], [TRAINING], [TRAINING, SERVING, DESKTOP])
    scene.neighbours.begin(None)
    scene.neighbours.look()
    assert len(scene.notes) == 1
    scene.now_s = 3.0
    for _ in range(3):
        scene.neighbours.look()
    assert scene.notes[1:] == ["other processes began to use the GPU: vllm (pid 9, 60.0 GiB)"]
    assert scene.neighbours.told == (
        "python train.py (pid 7, 3.0 GiB); while measuring came vllm (pid 9, 60.0 GiB)"
    )


def test_names_are_one_short_line_and_few() -> None:
    wild = GpuProcess(1, "a\n\x1b[2J" + "b" * 500, 0)
    shown = named([wild])
    assert shown.startswith("a [2Jbbb") and shown.endswith("b… (pid 1, 0.0 GiB)") and len(shown) < 90
    many = named([TRAINING._replace(pid=n) for n in range(10)])
    assert many.endswith(" and 6 more") and many.count("pid") == 4
