"""Finding tensors in whatever a benchmark passes around."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, lists, mappings, dataclasses and plain objects' attributes."""
    import torch

    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, torch.Tensor):
            yield item
            continue
        if id(item) in seen or item is None or isinstance(item, str | bytes | int | float | type):
            continue
        seen.add(id(item))
        pending.extend(reversed(_children(item)))


def _children(item: Any) -> list[Any]:
    if isinstance(item, Mapping):
        return list(item.values())
    if isinstance(item, list | tuple | set | frozenset):
        return list(item)
    if dataclasses.is_dataclass(item):
        return [getattr(item, field.name) for field in dataclasses.fields(item)]
    return list(vars(item).values()) if hasattr(item, "__dict__") and not callable(item) else []


def storage_bytes(value: Any) -> dict[int, int]:
    """Distinct storages behind `value`: address → bytes."""
    storages = {}
    for tensor in tensors_of(value):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return storages
