"""Refusing wrong arguments by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def require_tensor(
    name: str, tensor: object, dtype: torch.dtype, dims: int, device: torch.device | None = None
) -> torch.Tensor:
    """`tensor` if it is contiguous, of that dtype, rank and device.

    Raises:
        TypeError: not a tensor, or another dtype.
        ValueError: another rank or device, or not contiguous.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}; it must be a tensor")
    if tensor.dtype != dtype:
        raise TypeError(f"{name} is {tensor.dtype}; it must be {dtype}")
    if tensor.dim() != dims:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; it must have {dims} dimensions")
    if device is not None and tensor.device != device:
        raise ValueError(f"{name} is on {tensor.device}, the other arguments on {device}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} is not contiguous: call .contiguous() on it")
    return tensor


def require_shape(name: str, found: Iterable[int], wanted: Iterable[int]) -> None:
    """Raises ValueError where the shapes differ."""
    found, wanted = tuple(found), tuple(wanted)
    if found != wanted:
        raise ValueError(f"{name} has shape {found}; it must be {wanted}")


def require_power_of_two(name: str, found: int) -> None:
    """Raises ValueError where `found` is none."""
    if found < 1 or found & (found - 1):
        raise ValueError(f"{name} is {found}; it must be a power of two")


def require_choice(name: str, found: object, choices: Iterable[object]) -> None:
    """Raises ValueError where `found` is none of `choices`."""
    choices = tuple(choices)
    if found not in choices:
        raise ValueError(f"{name} is {found!r}; it must be one of {', '.join(map(repr, choices))}")
