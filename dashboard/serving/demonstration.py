"""`perfsuite dashboard --demo`: the measurements that come with perfsuite, in a store that ends with it."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perfsuite.codec import decode
from perfsuite.errors import MachineError
from perfsuite.model import Alert, Comparison, Job, JobKind, JobState
from perfsuite.stats.judge import judge
from perfsuite.stats.noise import noise_by_case
from perfsuite.store import import_document, open_store

FOLDER = Path(__file__).parents[1] / "demo"
"""What `perfsuite export` wrote, compressed; `alerts.json`: what was said about it; `pulls.json`: which
comparison is of which pull request. `tests/planted/demo.py` makes them."""
_MOST = 50
"""Comparisons; far more than there are."""
_ALERTS, _PULLS = "alerts.json", "pulls.json"


@contextmanager
def demonstration(folder: Path = FOLDER) -> Iterator[str]:
    """The path of a store with all of it, for as long as the context lasts.

    Raises:
        MachineError: this installation came without the measurements.
    """
    documents = sorted(folder.glob("*.json.gz"))
    if not documents:
        raise MachineError(f"there are no measurements in {folder}", "install perfsuite anew")
    with TemporaryDirectory(prefix="perfsuite-demo-") as made:
        path = str(Path(made, "perfsuite.db"))
        with open_store(path) as store:
            for document in documents:
                import_document(store, gzip.decompress(document.read_bytes()), document.name)
            for comparison in store.reader.comparisons(limit=_MOST):
                sides = [store.reader.results(run.id) for run in (comparison.base, comparison.head)]
                report = judge(comparison, *sides)
                store.save_noise(comparison.id, noise_by_case(report, *sides))
            store.save_alerts(decode(Alert, plain) for plain in _read(folder / _ALERTS, []))
            for name, number in _read(folder / _PULLS, {}).items():
                store.jobs.add(_job(store.reader.comparison(name), number))
        yield path


def _job(comparison: Comparison, pull: int) -> Job:
    """As the robot leaves it."""
    head = comparison.head.commit.sha
    key = f"pull/{pull}/{head}"
    return Job(
        hashlib.sha256(key.encode()).hexdigest()[:32],
        comparison.head.repository,
        JobKind.COMPARE,
        key,
        head,
        comparison.started_at,
        comparison.base.commit.sha,
        pull,
        state=JobState.SUCCEEDED,
        started_at=comparison.started_at,
        finished_at=comparison.finished_at,
        comparison=comparison.id,
    )


def _read(file: Path, missing: Any) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else missing
