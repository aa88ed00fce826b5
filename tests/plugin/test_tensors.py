"""Finding tensors in arguments, and the memory behind them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from perfsuite.plugin.tensors import storage_bytes, tensors_of


@dataclass(frozen=True)
class Packed:
    values: torch.Tensor
    scales: torch.Tensor
    group: int


def test_tensors_come_in_order_from_anywhere() -> None:
    a, b, c, d = (torch.full((1,), float(i)) for i in range(4))
    found = list(tensors_of(({"x": a}, [Packed(b, c, 32), None, "text", 3], d)))
    assert [float(t) for t in found] == [0.0, 1.0, 2.0, 3.0]


def test_shared_storages_count_once() -> None:
    whole = torch.zeros(100)
    assert sum(storage_bytes((whole, whole[:10], whole.view(10, 10))).values()) == 400
    assert sum(storage_bytes((whole, torch.zeros(25))).values()) == 500
