"""Which environments continue each other, and what lies between them."""

from __future__ import annotations

from dataclasses import replace

from perfsuite.model import Environment
from perfsuite.report.environments import differences, machine_model

GPU = Environment("box", "NVIDIA H200", gpu_memory_bytes=1, driver="580.1", triton="3.6.0")
CPU = Environment("laptop", cpu="Some CPU", python="3.11")


def test_another_driver_continues_the_history_of_a_gpu_model() -> None:
    newer = replace(GPU, host="other", driver="590.2", triton="3.7.1")
    assert machine_model(newer) == machine_model(GPU)
    assert differences(GPU, newer) == ["driver 580.1 → 590.2", "triton 3.6.0 → 3.7.1"]


def test_another_model_does_not() -> None:
    assert machine_model(replace(GPU, gpu="NVIDIA H100")) != machine_model(GPU)
    assert machine_model(replace(GPU, gpu_memory_bytes=2)) != machine_model(GPU)
    assert machine_model(replace(CPU, cpu="Other CPU")) != machine_model(CPU)
    assert machine_model(replace(CPU, cpu=None)) == "laptop"


def test_another_host_of_the_same_environment_is_no_difference() -> None:
    assert differences(GPU, replace(GPU, host="other")) == []
