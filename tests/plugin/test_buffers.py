"""Buffer sets: made once, copied for each block with what they share, made anew where copying fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from perfsuite.plugin.buffers import KEPT_SHARE, SETS, SETS_OF_SHORT, Buffers, Memory, copies
from perfsuite.plugin.spec import Spec
from perfsuite.plugin.tensors import storage_bytes, tensors_of

PLENTY = Memory(free=1 << 40, total=1 << 40, l2=0)


@dataclass(frozen=True)
class Weight:
    values: torch.Tensor
    scales: torch.Tensor
    group: int


@dataclass(frozen=True, slots=True)
class Slotted:
    x: torch.Tensor


class Handle:
    """Refuses to be copied, as what belongs to a library does."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def __deepcopy__(self, memo: object) -> Handle:
        raise TypeError("cannot be copied")


class Shared(Handle):
    def __deepcopy__(self, memo: object) -> Handle:
        return self


def buffers(inputs: Callable[[int], Any], **more: Any) -> tuple[Buffers, list[int]]:
    made: list[int] = []

    def counted(seed: int) -> Any:
        made.append(seed)
        return inputs(seed)

    return Buffers(Spec(torch.neg, counted, torch.neg, 0.0, **more), "cpu"), made


def addresses(value: Any) -> list[int]:
    return [tensor.untyped_storage().data_ptr() for tensor in tensors_of(value)]


def test_copies_share_what_the_originals_share() -> None:
    weight = Weight(torch.randn(8, 8), torch.randn(8), 32)
    whole = torch.arange(100.0)
    sets = [
        {"w": weight, "x": whole[10:20], "y": whole.view(10, 10).t(), "how": "hoisted", "n": 3},
        {"w": weight, "x": torch.randn(4), "y": [weight.values], "how": None, "n": 3},
    ]
    copied = copies(sets)
    assert copied is not None
    assert not set(addresses(sets)) & set(addresses(copied))
    assert len(storage_bytes(copied)) == len(storage_bytes(sets))
    first, second = copied
    assert first["w"] is second["w"]
    assert isinstance(first["w"], Weight)
    assert second["y"][0] is first["w"].values
    assert first["x"].storage_offset() == 10
    assert first["y"].stride() == (1, 10)
    first["x"].zero_()
    assert float(first["y"].t().reshape(-1)[10:20].abs().sum()) == 0.0, "views of one storage stay views"
    assert float(whole[10:20].sum()) == 145.0, "the original is untouched"
    assert (first["how"], first["n"], second["how"]) == ("hoisted", 3, None)


def test_leaves_keep_their_gradients_flag_and_slots_are_copied() -> None:
    leaf = torch.randn(3, requires_grad=True)
    copied = copies([(leaf, Slotted(leaf), torch.nn.Parameter(torch.randn(2)))])
    assert copied is not None
    tensor, slotted, parameter = copied[0]
    assert tensor.requires_grad
    assert tensor is slotted.x
    assert isinstance(parameter, torch.nn.Parameter)
    assert torch.equal(tensor, leaf)


def test_tensors_of_all_kinds_may_share_a_storage() -> None:
    whole = torch.randn(10, dtype=torch.complex64)
    leaf = whole.detach()[2:]
    leaf.requires_grad_()
    copied = copies([(whole, leaf, whole[::2])])
    assert copied is not None
    first, second, third = copied[0]
    assert first.data_ptr() != whole.data_ptr()
    assert len({t.untyped_storage().data_ptr() for t in (first, second, third)}) == 1
    assert second.requires_grad
    assert torch.equal(second.detach(), leaf.detach())
    assert torch.equal(third, whole[::2])
    assert copies([(whole, whole.conj())]) is None, "torch would give it memory of its own"


@pytest.mark.parametrize(
    "broken",
    [
        lambda: torch.randn(2, requires_grad=True) * 2,
        lambda: Handle(torch.randn(2)),
        lambda: Shared(torch.randn(2)),
    ],
    ids=["no leaf", "refuses", "copies to itself"],
)
def test_what_cannot_be_copied_is_made_anew(broken: Callable[[], Any]) -> None:
    held, made = buffers(lambda seed: (broken(),))
    assert copies([(broken(),)]) is None
    held.extend(3)
    first = held.take()
    assert len(first) == 3
    assert not held.copying
    assert len(held) == 0
    held.extend(3)
    held.take()
    assert made == [0, 1, 2] * 2


def test_blocks_start_from_what_the_factory_made() -> None:
    held, made = buffers(lambda seed: (torch.full((4,), float(seed)),))
    for _ in range(3):
        held.extend(5)
        taken = held.take()
        assert [float(x[0]) for (x,) in taken] == [0.0, 1.0, 2.0, 3.0, 4.0]
        for (x,) in taken:
            x.fill_(-1.0)
    sample = held.sample()
    assert float(sample[0][0]) == 0.0
    assert made == [0, 1, 2, 3, 4], "made once"
    held.drop()
    assert len(held) == 0


def test_sets_exceed_twice_the_l2_and_the_least_number() -> None:
    inputs = lambda seed: (torch.empty(1024),)  # noqa: E731
    for once_ns, least in ((5_000.0, SETS_OF_SHORT), (50_000.0, SETS)):
        held, _ = buffers(inputs)
        held.extend_for(once_ns, PLENTY)
        assert len(held) == least
    held, _ = buffers(inputs)
    held.extend_for(50_000.0, Memory(1 << 40, 1 << 40, l2=40 * 4096))
    assert len(held) == 81
    held, _ = buffers(inputs, rotate=3)
    held.extend_for(5_000.0, PLENTY)
    assert len(held) == 3


def test_memory_ends_the_list_and_decides_whether_copies_fit() -> None:
    held, _ = buffers(lambda seed: (torch.empty(1024),))
    held.extend_for(50_000.0, Memory(free=10 * 4096, total=1 << 40, l2=0))
    assert len(held) == 3, "0.35 of the free memory"
    used = 3 * 4096
    assert held.fit_twice(Memory(2 * used, int(used / KEPT_SHARE) + 1, 0))
    assert not held.fit_twice(Memory(used, int(used / KEPT_SHARE) + 1, 0))
    assert not held.fit_twice(Memory(2 * used, int(used / KEPT_SHARE) - 8, 0))


def test_shared_weights_count_once() -> None:
    weight = torch.empty(1 << 16)
    held, _ = buffers(lambda seed: (weight, torch.empty(16)))
    held.extend_for(50_000.0, Memory(free=2 << 20, total=1 << 40, l2=0))
    assert len(held) == SETS
