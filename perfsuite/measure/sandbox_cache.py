"""Triton's cache for the code of strangers: it begins with what base has, and nobody else reads it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from perfsuite.folders import claimed_folder
from perfsuite.measure.sandbox_launch import remove

FOLDER = "strangers"
SEED = "base"
GROUPS = "__grp__*"
"""Triton's lists of the files that belong together, with absolute paths (`triton/runtime/cache.py`)."""


@contextlib.contextmanager
def cache_of_strangers(caches: Path) -> Iterator[Path]:
    """A fresh folder below `caches`, filled with copies of base's files there, removed at the end.

    Copies, no links: what is written into one must not be read by others.
    """
    with claimed_folder(caches / FOLDER, "head", lambda folder: remove(str(folder))) as own:
        own.mkdir(mode=0o700)
        _copy(caches / SEED, own)
        yield own


def _copy(seed: Path, own: Path) -> None:
    if not seed.is_dir():
        return
    # Another comparison may be writing there: what vanishes meanwhile is compiled anew.
    with contextlib.suppress(shutil.Error, OSError):
        shutil.copytree(seed, own, symlinks=True, dirs_exist_ok=True)
    for group in own.rglob(GROUPS):
        with contextlib.suppress(ValueError, OSError):
            listed = json.loads(group.read_text())
            group.write_text(json.dumps(_moved(listed, seed, own)))


def _moved(value: object, seed: Path, own: Path) -> object:
    """Every path below `seed`, as the one below `own`."""
    if isinstance(value, dict):
        return {name: _moved(inner, seed, own) for name, inner in value.items()}
    if isinstance(value, str) and Path(value).is_relative_to(seed):
        return str(own / Path(value).relative_to(seed))
    return value
