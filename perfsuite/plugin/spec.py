"""What a benchmark hands to `gpu_benchmark`, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Inputs = Callable[[int], Any]
GATE_SEED = 10_007
"""Not a seed that timing uses: the gate sees fresh inputs."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One benchmark: the op, a factory of its arguments, and the truth.

    Args:
        function: the op. Called with one set of `inputs`, returns a tensor or a tuple of tensors.
        inputs: seed → one set of arguments (tuple or mapping), made on torch's default device.
        reference: plain torch, same arguments, the same outputs in fp32.
        tolerance: largest RMS relative error that passes, a fraction.
        small: like `inputs`, at a size for Triton's interpreter on a CPU. Default: `inputs`.
        bytes: bytes that one call moves at least.
        operations: arithmetic operations of one call (2 for a multiply-add).
        precision: what the operations are done in, for the roofline: "int8", "bf16", "fp8" or "fp32".
        rotate: number of buffer sets; default by size and speed.
        hash_output: keep a hash of the output's bits.
    """

    function: Callable[..., Any]
    inputs: Inputs
    reference: Callable[..., Any]
    tolerance: float
    small: Inputs | None = None
    bytes: int | None = None
    operations: int | None = None
    precision: str = "bf16"
    rotate: int | None = None
    hash_output: bool = False

    def __post_init__(self) -> None:
        for name in ("function", "inputs", "reference"):
            if not callable(getattr(self, name)):
                raise TypeError(f"gpu_benchmark: {name} is {getattr(self, name)!r}; it must be callable")
        if self.small is not None and not callable(self.small):
            raise TypeError(f"gpu_benchmark: small is {self.small!r}; it must be callable: seed → arguments")
        if not 0 <= float(self.tolerance) < 1:
            raise ValueError(f"gpu_benchmark: tolerance is {self.tolerance!r}; a fraction below 1, as 0.02")
        if self.rotate is not None and self.rotate < 1:
            raise ValueError(f"gpu_benchmark: rotate is {self.rotate!r}; at least 1 buffer set")

    def make(self, seed: int, device: str, *, small: bool = False) -> Any:
        """One set of arguments on `device`."""
        import torch

        factory = self.small if small and self.small is not None else self.inputs
        devices = [torch.cuda.current_device()] if device == "cuda" else []
        # Seeded here too: a factory that forgets it would give the op and its reference different inputs.
        with torch.random.fork_rng(devices=devices), torch.device(device):
            torch.manual_seed(seed)
            return factory(seed)

    def call(self, arguments: Any) -> Any:
        return apply(self.function, arguments)

    def truth(self, arguments: Any) -> Any:
        return apply(self.reference, arguments)


def apply(function: Callable[..., Any], arguments: Any) -> Any:
    """`function(*arguments)`, or by name where `arguments` is a mapping."""
    if isinstance(arguments, Mapping):
        return function(**arguments)
    if isinstance(arguments, tuple | list):
        return function(*arguments)
    return function(arguments)
