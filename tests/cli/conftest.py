"""The fixture `cli`: `perfsuite …` in a repository of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_fakes import PYPROJECT, Cli, FakeSession

from perfsuite.cli import gpu_lock


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    folder = tmp_path / "watched"
    (folder / "suite").mkdir(parents=True)
    (folder / "suite" / "test_moe.py").write_text("")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(gpu_lock, "FOLDER", tmp_path / "locks")
    cli = Cli(folder, FakeSession(), capsys)
    cli.git("init", "--quiet", "--initial-branch=main")
    cli.commit("one\n", "first")
    return cli
