"""Fills an empty database with 5,000,000 results: what the dashboard's speed is measured on.

`python tests/benchmarks/big_history.py URL`: 2,000 commits × 50 cases × 10 machines × 5 runs of each commit,
with change points, wrong results, a change of driver, pull requests with comparisons in lockstep, noise and
alerts. Seeded: the same arguments make the same rows. Each result is one that an H200 returned
(`tests/data/h200/noise.json.gz`: samples, telemetry, launches, errors), its times multiplied by the level of
its case there and then; so the noise is real, within a run and between runs. Small tables are written by the
store itself, results in bulk.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from big.around import put_around
from big.bulk import SERIES_COLUMNS, load
from big.history import History, Size

from perfsuite.store import Store, open_store

RUNS_AT_A_TIME = 5000


def fill(url: str, size: Size, seed: int = 1) -> int:
    """Fills the database; how many results it then has in bulk."""
    history = History(size, seed)
    with open_store(url) as store:
        for start in range(0, len(history.slots), RUNS_AT_A_TIME):
            runs = [slot.run for slot in history.slots[start : start + RUNS_AT_A_TIME]]
            store.save_all(runs, {}, ())
        first = 1
        # The ids of series are given here; those of the comparisons by the store, afterwards.
        count = load(url, history.rows(first), lambda: _series(history))
        _put_contents(store, history)
        put_around(store, history)
    return count


def _series(history: History) -> list[list[object]]:
    names = ("case_id", "repository", "kind", "version", "family", "device", "timer", "fingerprint")
    rows = []
    for key, number in history.series.items():
        values = {"id": number, **dict(zip(names, key, strict=True))}
        rows.append([values[name] for name in SERIES_COLUMNS])
    return rows


def _put_contents(store: Store, history: History) -> None:
    from perfsuite.store.writer import _put_batch

    store._write(lambda connection: _put_batch(connection, history.contents))


def main(arguments: Sequence[str] | None = None) -> None:
    usual = Size()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--commits", type=int, default=usual.commits)
    parser.add_argument("--cases", type=int, default=usual.cases)
    parser.add_argument("--machines", type=int, default=usual.machines)
    parser.add_argument("--repeats", type=int, default=usual.repeats)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    began = time.monotonic()
    size = Size(given.commits, given.cases, given.machines, given.repeats)
    count = fill(given.url, size, given.seed)
    print(f"{count} results in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
