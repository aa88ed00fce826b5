"""Progress on a terminal and in a log; files written whole."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from perfsuite.cli.output import json_text, write_file
from perfsuite.cli.progress import showing_progress
from perfsuite.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(stream: io.StringIO) -> str:
    with showing_progress(color=False, stream=stream) as progress:
        progress.total(2)
        for case, status in (("moe[m=1]", "ok"), ("moe[m=2]", "incorrect"), ("moe[m=2]", "ok")):
            progress.case(case, "measuring")
            progress.done(case, status)
        progress.note("see [this]")
    return stream.getvalue()


def test_a_log_gets_a_line_a_case_and_a_total_that_is_never_exceeded() -> None:
    lines = ["[1/2] moe[m=1]  ok", "[2/2] moe[m=2]  incorrect", "[3/3] moe[m=2]  ok", "see [this]"]
    assert play(io.StringIO()).splitlines() == lines


def test_a_terminal_keeps_what_is_red_and_shows_brackets_as_they_are() -> None:
    shown = play(Terminal())
    assert "moe[m=2]  incorrect" in shown and "see [this]" in shown
    assert "moe[m=1]  ok\n" not in shown


def test_a_file_is_replaced_whole_and_a_device_is_written_to(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write_file(file, "first, and longer")
    write_file(file, "second")
    assert file.read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    write_file(Path("/dev/null"), "gone")
    with pytest.raises(UsageError, match="it is a folder"):
        write_file(tmp_path, "x")


def test_json_has_no_nan() -> None:
    assert json.loads(json_text({"µs": 1.5})) == {"µs": 1.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text({"x": float("nan")})
