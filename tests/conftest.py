"""What all tests share."""

from __future__ import annotations

import os

import hypothesis
import pytest

# What this run was asked for is not for the pytest processes that tests start.
for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(name, None)

# The same examples every time: a test that fails fails for everybody.
hypothesis.settings.register_profile("project", derandomize=True, deadline=None)
hypothesis.settings.load_profile("project")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `gpu` run where a GPU is, and are not collected elsewhere."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    without = [item for item in items if item.get_closest_marker("gpu")]
    items[:] = [item for item in items if item not in without]
    config.hook.pytest_deselected(items=without)
