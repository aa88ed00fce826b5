"""The buffer sets of a case: made once a process, and copied into newly allocated memory for each block.

Making inputs (random numbers, quantized weights) costs seconds, copying them on the GPU milliseconds; only
the place in memory is to be sampled, not the values. The copies are what is timed: an op that writes into its
inputs starts every block from what the factory made.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from perfsuite.plugin.spec import Spec
from perfsuite.plugin.tensors import storage_bytes

SETS, SETS_OF_SHORT = 16, 64
SHORT_NS = 20_000
L2_MULTIPLE = 2
MEMORY_SHARE = 0.35
"""Of the free memory: base and head live side by side, each with intermediates."""
KEPT_SHARE = 0.12
"""Of a GPU's memory that the inputs may take and yet be kept beside their copies, on both sides: four times
this much is in use. Of the whole memory, not of what is free, so that both sides decide alike."""
COPY_MARGIN = 1.2
"""Free memory over what copies take, at least: intermediates need some."""
MOST_SETS = 256
"""Of ops so small that no number of sets leaves the L2: enough placements, and quickly made."""
LONGEST_WALK_NS = 2_000_000
"""Of a graph whose sets stay in the L2 whatever their number: more sets would only cost time."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A GPU's memory at this moment, in bytes."""

    free: int
    total: int
    l2: int


@dataclass(slots=True)
class Buffers:
    """The sets that a factory made, and how a block gets its own."""

    spec: Spec
    device: str = "cuda"
    copying: bool = True
    """Whether blocks get copies. Else each block makes its inputs anew: memory is short, or copying fails."""
    _made: list[Any] = field(default_factory=list, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._made)

    def sample(self) -> Any:
        """One set to try the op on: a copy where copying works, so that the first stays as it was made."""
        self.extend(1)
        copied = copies(self._made[:1])
        self.copying = self.copying and copied is not None
        return self._made[0] if copied is None else copied[0]

    def extend(self, count: int) -> None:
        """Make sets until there are `count`."""
        self._made.extend(self.spec.make(seed, self.device) for seed in range(len(self._made), count))

    def extend_for(self, once_ns: float, memory: Memory) -> None:
        """Make the sets of a graph: at least 16 (64 of short ops), then more until they exceed twice the L2.

        Sets may share big tensors, so distinct storages are counted. The end of the memory's share ends the
        list.

        Args:
            once_ns: about the time of one call.
            memory: as it was before the first set was made.
        """
        self.extend(1)
        least = self.spec.rotate or (SETS_OF_SHORT if once_ns < SHORT_NS else SETS)
        most = self.spec.rotate or MOST_SETS
        wanted = L2_MULTIPLE * memory.l2
        storages = storage_bytes(self._made)
        while len(self._made) < most:
            total = sum(storages.values())
            if len(self._made) >= least and total > wanted:
                break
            if total * (len(self._made) + 1) / len(self._made) > memory.free * MEMORY_SHARE:
                break
            self.extend(len(self._made) + 1)
            storages.update(storage_bytes(self._made[-1]))
            added = sum(storages.values()) - total
            if total + added * (most - len(self._made)) <= wanted:
                # No number of sets leaves the L2.
                most = min(most, max(least, int(LONGEST_WALK_NS / max(once_ns, 1.0))))

    def fit_twice(self, memory: Memory) -> bool:
        """Whether copies fit beside what was made. `memory`: as it is now, with the sets in it."""
        total = sum(storage_bytes(self._made).values())
        return total <= KEPT_SHARE * memory.total and total * COPY_MARGIN <= memory.free

    def take(self) -> list[Any]:
        """A block's sets: copies in new memory, or what was made, which is then no longer held here."""
        if self.copying:
            copied = copies(self._made)
            if copied is not None:
                return copied
            self.copying = False
        taken, self._made = self._made, []
        return taken

    def drop(self) -> None:
        """Free what was made. Whether copying works stays known."""
        self._made = []


def copies(sets: Sequence[Any]) -> list[Any] | None:
    """The sets in newly allocated memory, sharing storages as they do; None where they cannot be copied.

    torch copies a storage once for all tensors that share it, and keeps strides and offsets.
    """
    try:
        copied = copy.deepcopy(list(sets))
    except Exception:
        # No leaf of autograd, a generator, a handle of a library, or no memory: the factory knows how.
        return None
    theirs, ours = _sized(sets), _sized(copied)
    # An object with a __deepcopy__ of its own may keep or split what it shares.
    if theirs.keys() & ours.keys() or sorted(theirs.values()) != sorted(ours.values()):
        return None
    return copied


def _sized(sets: Sequence[Any]) -> dict[int, int]:
    return {address: size for address, size in storage_bytes(list(sets)).items() if size}
