"""Model values ↔ rows. Pure: no connection is needed here."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from perfsuite.codec import decode, dumps, encode
from perfsuite.errors import StoreError
from perfsuite.model import Commit, Comparison, Environment, Kernel, Launches, Noise, Result, Run
from perfsuite.store import samples
from perfsuite.store.tables import ComparisonRow, EnvironmentRow, ListingRow, ResultRow, RunRow
from perfsuite.summary import summarize

Values = dict[str, Any]

_IN_COLUMNS = frozenset({"case", "version", "family", "device", "status", "timer", "blocks", "launches"})
_KERNELS = frozenset({"kernels"})
_LISTING = frozenset({"listing"})


@dataclass(slots=True)
class Batch:
    """Rows of several results, each content once; made before the transaction begins, to keep that short."""

    kernels: dict[str, Values] = field(default_factory=dict)
    listings: dict[tuple[str, str], Values] = field(default_factory=dict)
    launches: dict[str, Values] = field(default_factory=dict)
    launch_kernels: dict[tuple[str, int], Values] = field(default_factory=dict)
    results: list[Values] = field(default_factory=list)

    def add(self, run_id: str, result: Result) -> None:
        """Adds one result.

        Raises:
            StoreError: a field holds what the model does not allow.
        """
        launches_id = self.add_launches(result.launches) if result.launches != Launches() else None
        document = dumps(encode(result, leave_out=_IN_COLUMNS))
        self.results.append(
            {
                "run_id": run_id,
                "case_id": result.case,
                "family": result.family,
                "version": result.version,
                "device": result.device,
                "status": result.status.value,
                "timer": result.timer.value,
                "launches_id": launches_id,
                "error_rms": _finite(result.error_rms),
                "roofline_fraction": _finite(result.roofline_fraction),
                "document": document,
                "samples": samples.pack(result.blocks),
                **_times(result),
            }
        )

    def add_launches(self, launches: Launches) -> str:
        """Adds a list of launches and its kernels; returns its id."""
        ids = [self._add_kernel(kernel) for kernel in launches.kernels]
        plain = encode(launches, leave_out=_KERNELS)
        launches_id = _content_id({"kernels": ids, **plain})
        if launches_id not in self.launches:
            document = zlib.compress(dumps(plain).encode("ascii"))
            self.launches[launches_id] = {"id": launches_id, "document": document}
            for place, kernel_id in enumerate(ids):
                row = {"launches_id": launches_id, "position": place, "kernel_id": kernel_id}
                self.launch_kernels[launches_id, place] = row
        return launches_id

    def add_listing(self, target: str, code: str, listing: str) -> None:
        """Adds the machine code of a kernel: `code` is its hash."""
        # Text of others' tools: what UTF-8 lacks is no reason to lose a result.
        document = zlib.compress(listing.encode("utf-8", "surrogatepass"))
        self.listings[target, code] = {"target": target, "hash": code, "document": document}

    def _add_kernel(self, kernel: Kernel) -> str:
        if kernel.listing:
            self.add_listing(kernel.target, kernel.hash, kernel.listing)
        plain = encode(kernel, leave_out=_LISTING)
        kernel_id = _content_id(plain)
        self.kernels[kernel_id] = {
            "id": kernel_id,
            "name": kernel.name,
            "hash": kernel.hash,
            "target": kernel.target,
            "document": dumps(plain),
        }
        return kernel_id


def make_batch(run_id: str, results: Iterable[Result]) -> Batch:
    """Rows of these results of one run.

    Raises:
        StoreError: a field holds what the model does not allow.
    """
    batch = Batch()
    for result in results:
        try:
            batch.add(run_id, result)
        except (ValueError, OverflowError, TypeError) as error:
            raise StoreError(
                f"the result of {result.case} cannot be stored: {error}",
                "this is a mistake of what measured it; please report it",
            ) from error
    return batch


def without_listings(result: Result) -> Result:
    """As it comes out of the store again: machine code as text is read by itself."""
    kernels = tuple(replace(kernel, listing="") for kernel in result.launches.kernels)
    return replace(result, launches=replace(result.launches, kernels=kernels))


def environment_values(environment: Environment) -> Values:
    plain = encode(environment)
    return {
        "id": _content_id(plain),
        "fingerprint": environment.fingerprint,
        "host": environment.host,
        "gpu": environment.gpu,
        "document": dumps(plain),
    }


def run_values(run: Run, environment_id: str) -> Values:
    commit = run.commit
    return {
        "id": run.id,
        "environment_id": environment_id,
        "repository": run.repository,
        "kind": run.kind,
        "profile": run.profile,
        "pattern": run.pattern,
        "suite": run.suite,
        "version": run.version,
        "sha": commit.sha,
        "dirty": commit.dirty,
        "subject": commit.subject,
        "author": commit.author,
        "branch": commit.branch,
        "committed_at": commit.committed_at,
        "position": commit.position,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def comparison_values(comparison: Comparison) -> Values:
    return {
        "id": comparison.id,
        "base_id": comparison.base.id,
        "head_id": comparison.head.id,
        "threshold": comparison.threshold,
        "case_thresholds": dumps(dict(comparison.case_thresholds)),
        "started_at": comparison.started_at,
        "finished_at": comparison.finished_at,
        "kind": comparison.kind,
        "noise": dumps({case: encode(noise) for case, noise in comparison.noise.items()}),
    }


def to_environment(row: EnvironmentRow) -> Environment:
    with _decoding(f"environment {row.id}"):
        return decode(Environment, json.loads(row.document), "environment")


def to_run(row: RunRow, environment: Environment) -> Run:
    commit = Commit(row.sha, row.subject, row.author, row.committed_at, row.branch, row.dirty, row.position)
    return Run(
        row.id,
        commit,
        row.repository,
        environment,
        row.profile,
        row.started_at,
        row.finished_at,
        row.kind,
        row.pattern,
        row.version,
        row.suite,
    )


def to_comparison(row: ComparisonRow, base: Run, head: Run) -> Comparison:
    return Comparison(
        row.id,
        base,
        head,
        row.threshold,
        row.started_at,
        row.finished_at,
        to_thresholds(row),
        to_noise(row),
        row.kind,
    )


def to_thresholds(row: ComparisonRow) -> dict[str, float]:
    with _decoding(f"comparison {row.id}"):
        return {str(glob): float(threshold) for glob, threshold in json.loads(row.case_thresholds).items()}


def to_noise(row: ComparisonRow) -> dict[str, Noise]:
    with _decoding(f"comparison {row.id}"):
        return {str(case): decode(Noise, plain, case) for case, plain in json.loads(row.noise).items()}


def to_kernel(kernel_id: str, document: str) -> Kernel:
    with _decoding(f"kernel {kernel_id}"):
        return decode(Kernel, json.loads(document), "kernel")


def to_listing(row: ListingRow) -> str:
    with _decoding(f"listing of {row.hash} for {row.target}"):
        return zlib.decompress(row.document).decode("utf-8", "surrogatepass")


def to_launches(launches_id: str, document: bytes, kernels: tuple[Kernel, ...]) -> Launches:
    with _decoding(f"launch list {launches_id}"):
        launches = decode(Launches, json.loads(zlib.decompress(document)), "launches")
        return replace(launches, kernels=kernels)


def to_result(row: ResultRow, launches: Mapping[str, Launches], blob: bytes | None) -> Result:
    """The result of a row; `launches` holds its launch list by id. As all of these:

    Raises:
        StoreError: the row is damaged.
    """
    columns = {name: getattr(row, name) for name in ("version", "family", "device", "status", "timer")}
    with _decoding(f"result of {row.case_id} in run {row.run_id}"):
        result = decode(Result, {"case": row.case_id, **columns, **json.loads(row.document)})
        held = launches[row.launches_id] if row.launches_id else Launches()
        return replace(result, blocks=samples.unpack(blob), launches=held)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """What was stored is always readable; what is not was damaged since."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise StoreError(
            f"the stored {name} is damaged: {error}", "`perfsuite db check` lists all damage"
        ) from error


def _times(result: Result) -> Values:
    """Summary columns: what lists and series show without decoding samples."""
    measured = result.samples_ns
    values: Values = {"rounds": len(measured), "median_ns": None, "low_ns": None, "high_ns": None}
    if measured and all(map(math.isfinite, measured)):
        summary = summarize(measured)
        values |= {name: getattr(summary, name) for name in ("median_ns", "low_ns", "high_ns")}
    return values


def _finite(value: float | None) -> float | None:
    """A point that is no number is not drawn."""
    return value if value is not None and math.isfinite(value) else None


def _content_id(plain: Values) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
