"""Replacing a method or function for a while, restored whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perfsuite.errors import MachineError


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Sets `owner.name` to `make(original)` inside the block.

    Raises:
        MachineError: the class or module has no such name of its own (a Triton that works differently).
    """
    if name not in vars(owner):
        raise MachineError(
            f"the installed Triton has no {owner.__name__}.{name}",
            "install one that perfsuite supports: 3.6 or 3.7",
        )
    original = vars(owner)[name]
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
