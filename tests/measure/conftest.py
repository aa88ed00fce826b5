"""Settings and sinks for sessions on real processes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from perfsuite.measure import comparing, side
from perfsuite.measure.schedule import Effort
from perfsuite.measure.settings import Budget, Settings
from perfsuite.model import Environment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No GPU, one second is a long time for a case to hang."""
    environment = Environment("here", cpu="any")
    return Settings(environment, tmp_path / "state", os.environ, case_timeout_s=20.0, cores=2)


@pytest.fixture
def as_with_gpu(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Everything that a GPU machine does, with the interpreter's player at the far end."""
    monkeypatch.setattr(side, "mode_of", lambda _: "interpret")
    monkeypatch.setattr(comparing, "BUDGETS", {"pr": Budget(Effort(4, 3, 4), 600.0)})
    monkeypatch.setattr(comparing, "CANARY_PAIRS", 0)
    return replace(settings, environment=Environment("here", gpu="a GPU", compute_capability="9.0"), pairs=2)
