"""Settings and sinks for sessions on real processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perfsuite.measure.settings import Settings
from perfsuite.model import Environment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No GPU, one second is a long time for a case to hang."""
    environment = Environment("here", cpu="any")
    return Settings(environment, tmp_path / "state", os.environ, case_timeout_s=20.0, cores=2)
