"""Refusing wrong arguments by name."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from typing import Protocol

import torch


class Packed(Protocol):
    """Packed weights of experts."""

    @property
    def packed(self) -> torch.Tensor: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...


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


def require_type(name: str, found: object, wanted: type, hint: str = "") -> None:
    """Raises TypeError where `found` is no `wanted`; `hint`: how to come by one."""
    if not isinstance(found, wanted):
        is_a, must_be = (_with_article(kind.__name__) for kind in (type(found), wanted))
        raise TypeError(f"{name} is {is_a}; it must be {must_be}{hint}")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIO' else 'a'} {noun}"


def require_sizes(name: str, shape: Iterable[int]) -> None:
    """Raises ValueError where a size is 0: no expert, or nothing to multiply."""
    shape = tuple(shape)
    if 0 in shape:
        raise ValueError(f"{name} has shape {shape}; every size must be at least 1")


def require_layer(x: torch.Tensor, w1: Packed, w2: Packed, weights: torch.Tensor, ids: torch.Tensor) -> None:
    """What the layers of packed weights have in common: one device, shapes that fit, something to do.

    Args:
        x: bf16 [tokens, hidden].
        w1, w2: packed [experts, 2 · inter, hidden] and [experts, hidden, inter].
        weights, ids: fp32 and int64 [tokens, top_k].

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("x", x, torch.bfloat16, 2)
    for name, weight in (("w1", w1), ("w2", w2)):
        if weight.packed.device != x.device:
            raise ValueError(f"{name} is on {weight.packed.device}, x on {x.device}")
        require_sizes(f"{name}.shape", weight.shape)
    # The layer by itself first: x alone may be of another.
    (experts, _, hidden), inter = w1.shape, w2.shape[2]
    require_shape("w1.shape", w1.shape, (experts, 2 * inter, hidden))
    require_shape("w2.shape", w2.shape, (experts, hidden, inter))
    require_shape("x", x.shape, (x.shape[0], hidden))
    require_choices(weights, ids, x.shape[0], x.device)


def require_choices(weights: torch.Tensor, ids: torch.Tensor, tokens: int, device: torch.device) -> None:
    """Each of the tokens has choices, and each of these a weight.

    More choices than experts are legal: a token may visit an expert twice, or name one that does not exist.
    """
    require_tensor("topk_ids", ids, torch.int64, 2, device)
    require_tensor("topk_weights", weights, torch.float32, 2, device)
    require_shape("topk_ids", ids.shape, (tokens, ids.shape[1]))
    require_shape("topk_weights", weights.shape, ids.shape)
    if not ids.shape[1]:
        raise ValueError("topk_ids has no columns: every token needs an expert")


def require_ids(ids: torch.Tensor, experts: int) -> None:
    """Raises ValueError where an id is outside [0, experts). Asks the host: not for a CUDA graph."""
    wrong = ((ids < 0) | (ids >= experts)).nonzero()
    if wrong.numel():
        token, choice = wrong[0].tolist()
        raise ValueError(
            f"topk_ids[{token}, {choice}] is {int(ids[token, choice])}; experts are 0 to {experts - 1} "
            f"({wrong.shape[0]} ids are out of range)"
        )


def require_count(name: str, found: object, least: int = 1) -> None:
    """Raises ValueError where `found` is no whole number from `least` on."""
    if type(found) is not int or found < least:
        raise ValueError(f"{name} is {found!r}; it must be a whole number from {least} on")


def require_weight_shape(shape: object) -> None:
    """Raises ValueError where `shape` is no (experts, N, K)."""
    if not isinstance(shape, tuple) or len(shape) != 3 or any(type(size) is not int for size in shape):
        raise ValueError(f"shape is {shape!r}; it must be (experts, N, K)")


def require_power_of_two(name: str, found: object) -> None:
    """Raises ValueError where `found` is none."""
    if type(found) is not int or found < 1 or found & (found - 1):
        raise ValueError(f"{name} is {found!r}; it must be a power of two")


def require_choice(name: str, found: object, choices: Iterable[object]) -> None:
    """Raises ValueError where `found` is none of `choices`; 32.0 and True are no integers."""
    choices = tuple(choices)
    if not any(type(found) is type(choice) and found == choice for choice in choices):
        raise ValueError(f"{name} is {found!r}; it must be one of {', '.join(map(repr, choices))}")


def count(text: str) -> int:
    """An option of a command: a whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """An option of a command: a time above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return found
