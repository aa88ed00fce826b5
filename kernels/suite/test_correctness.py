"""The configurations of executorch's tests and what its review asked for: toy and real size, each a gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kernels.moe_w4a8 import moe_w4a8
from kernels.shapes import QWEN35_35B, Shape
from kernels.suite.problems import moe_problem

ACT_TILE = 32
"""llama.cpp's block. What passes: `GATES` and `TOY_GATES` of `kernels.suite.problems`."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One layer and a number of tokens."""

    tokens: int
    shape: Shape
    group: int
    small: bool = False
    """Whether the interpreter gets it smaller than it is."""

    @property
    def name(self) -> str:
        return self.shape.name


def toy(
    seed: int, tokens: int, hidden: int, inter: int, experts: int, top_k: int, group: int
) -> Configuration:
    """A configuration of the original tests, called by its seed."""
    shape = Shape(f"seed{seed}", hidden, inter, experts, top_k, (group,))
    return Configuration(tokens, shape, group)


CONFIGURATIONS = (
    toy(42, 8, 64, 32, 4, 2, group=32),
    toy(7, 16, 64, 32, 8, 4, group=32),
    toy(13, 32, 128, 64, 8, 2, group=64),
    toy(55, 64, 64, 32, 4, 2, group=32),
    toy(99, 128, 128, 64, 8, 2, group=32),
    toy(0, 256, 128, 64, 8, 2, group=32),
    toy(77, 512, 2048, 1024, 8, 2, group=128),
    toy(21, 1, 2048, 1024, 8, 2, group=128),
    Configuration(128, QWEN35_35B, 128, small=True),
)


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda config: config.name)
def test_configuration(gpu_benchmark: Any, config: Configuration) -> None:
    problem = moe_problem(config.shape, config.tokens, config.group, act_tile=ACT_TILE, small=config.small)
    gpu_benchmark(moe_w4a8, **problem.arguments())
