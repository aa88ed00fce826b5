"""Files in and out: our own lossless export, and reading what other tools wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfsuite.codec import Malformed, decode, encode
from perfsuite.errors import UsageError
from perfsuite.model import Comparison, Kernel, Result, Run
from perfsuite.store.pytest_benchmark_json import read_pytest_benchmark
from perfsuite.store.reader import Reader
from perfsuite.store.rows import without_listings
from perfsuite.store.writer import Store

SCHEMA = 1
_SIDES = frozenset({"base", "head"})
_COMPARISON_KINDS = ("compare", "noise")
_FORMS = "an export of `perfsuite export` or a file of `pytest --benchmark-json` is read"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import brought in; importing the same again counts the same."""

    kind: str
    """`perfsuite` or `pytest-benchmark`."""
    runs: int
    results: int
    comparisons: int
    run_ids: tuple[str, ...]
    comparison_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Content:
    kind: str
    runs: list[Run]
    results: dict[str, list[Result]]
    comparisons: list[Comparison]
    listings: Mapping[tuple[str, str], str] = field(default_factory=dict)


def export_document(
    reader: Reader, runs: Sequence[Run], comparisons: Sequence[Comparison] = ()
) -> dict[str, Any]:
    """These runs and comparisons, with the runs of the comparisons, raw samples included, as JSON values.

    Fields are named as in `perfsuite.model`; a field that is not there has the model's default.
    """
    sides = [run for comparison in comparisons for run in (comparison.base, comparison.head)]
    wanted = {run.id: run for run in (*runs, *sides)}
    results = {run_id: reader.results(run_id) for run_id in wanted}
    kernels = {
        (kernel.target, kernel.hash)
        for found in results.values()
        for result in found
        for kernel in result.launches.kernels
    }
    return {
        "schema": SCHEMA,
        "program": "perfsuite",
        "runs": [
            {**encode(run), "results": [encode(result) for result in results[run.id]]}
            for run in wanted.values()
        ],
        "comparisons": [
            {**encode(item, leave_out=_SIDES), "base": item.base.id, "head": item.head.id}
            for item in comparisons
        ],
        "listings": [
            {"target": target, "hash": code, "listing": listing}
            for (target, code), listing in reader.trends.listings(kernels).items()
        ],
    }


def import_document(store: Store, text: str | bytes, source: str) -> ImportSummary:
    """Stores what a file holds: all of it, or nothing.

    Args:
        store: where to.
        text: the file's content: our export, or pytest-benchmark's JSON of any project.
        source: its name, for messages.

    Raises:
        UsageError: it cannot be read; says where and why.
    """
    try:
        content = _read(_parse(text), source)
    except Malformed as error:
        raise UsageError(f"{source}: {error}", f"{_FORMS}; write the file anew, or mend it there") from None
    _refuse_other_results(store, content, source)
    store.save_all(content.runs, content.results, content.comparisons, content.listings)
    return ImportSummary(
        content.kind,
        len(content.runs),
        sum(map(len, content.results.values())),
        len(content.comparisons),
        tuple(run.id for run in content.runs),
        tuple(comparison.id for comparison in content.comparisons),
    )


def _refuse_other_results(store: Store, content: _Content, source: str) -> None:
    """Raises: UsageError, a run is stored already with other results: raw samples are not overwritten."""
    for run in content.runs:
        stored = {result.case: result for result in store.reader.results(run.id)}
        for result in content.results.get(run.id, ()):
            if result.case in stored and encode(stored[result.case]) != encode(without_listings(result)):
                raise UsageError(
                    f"{source}: run {run.id[:12]} is in {store.label} with another result of {result.case}",
                    "import it into another database (--db FILE) to look at both",
                )


def _parse(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Malformed(f"byte {error.start}", "not UTF-8 text") from None
    text = text.removeprefix("\ufeff")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        cut = " (the file ends too early)" if at_end else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise Malformed(place, f"not JSON: {error.msg}{cut}") from None
    except RecursionError:
        raise Malformed("", "nested too deeply") from None
    except ValueError:
        # Python refuses to read whole numbers of thousands of digits, and does not tell where.
        raise Malformed("", "holds a number of more than 4000 digits") from None


def _read(document: Any, source: str) -> _Content:
    if isinstance(document, dict):
        if "schema" in document:
            return _read_export(document)
        if "benchmarks" in document:
            run, results = read_pytest_benchmark(document, source)
            return _Content("pytest-benchmark", [run], {run.id: results}, [])
    raise Malformed("", "neither a perfsuite export nor pytest-benchmark JSON")


def _read_export(document: dict[str, Any]) -> _Content:
    schema = document["schema"]
    if schema != SCHEMA or isinstance(schema, bool):
        raise Malformed(
            "schema", f"version {schema!r} was written by another perfsuite; this one reads {SCHEMA}"
        )
    if "runs" not in document:
        raise Malformed("runs", "is missing: this is a report, not an export")
    runs: dict[str, Run] = {}
    results = {}
    for index, plain in enumerate(_list(document["runs"], "runs")):
        where = f"runs[{index}]"
        run = decode(Run, plain, where)
        if not run.id or run.id in runs:
            raise Malformed(f"{where}.id", f"{run.id!r} is empty or appears twice")
        runs[run.id] = run
        results[run.id] = _read_results(plain.get("results", []), f"{where}.results")
    comparisons = _read_comparisons(_list(document.get("comparisons", []), "comparisons"), runs)
    listings = _read_listings(_list(document.get("listings", []), "listings"))
    return _Content("perfsuite", list(runs.values()), results, comparisons, listings)


def _read_listings(plain: list[Any]) -> dict[tuple[str, str], str]:
    listings = {}
    for index, item in enumerate(plain):
        kernel = decode(
            Kernel, {**item, "name": ""} if isinstance(item, dict) else item, f"listings[{index}]"
        )
        listings[kernel.target, kernel.hash] = kernel.listing
    return listings


def _read_results(plain: Any, where: str) -> list[Result]:
    results: dict[str, Result] = {}
    for index, item in enumerate(_list(plain, where)):
        result = decode(Result, item, f"{where}[{index}]")
        if result.case in results:
            raise Malformed(f"{where}[{index}].case", f"{result.case!r} appears twice in the run")
        results[result.case] = result
    return list(results.values())


def _read_comparisons(plain: list[Any], runs: dict[str, Run]) -> list[Comparison]:
    comparisons = []
    for index, item in enumerate(plain):
        where = f"comparisons[{index}]"
        if not isinstance(item, dict):
            raise Malformed(where, "an object was expected")
        sides = {}
        for side in sorted(_SIDES):
            run_id = item.get(side)
            if not isinstance(run_id, str) or run_id not in runs:
                raise Malformed(f"{where}.{side}", "names no run of this file")
            sides[side] = encode(runs[run_id])
        comparison = decode(Comparison, {**item, **sides}, where)
        _check_comparison(comparison, where)
        comparisons.append(comparison)
    return comparisons


def _check_comparison(comparison: Comparison, where: str) -> None:
    """What the types allow and no judge can use."""
    if comparison.base.id == comparison.head.id:
        raise Malformed(f"{where}.head", "is the same run as base")
    if comparison.kind not in _COMPARISON_KINDS:
        raise Malformed(f"{where}.kind", f"{comparison.kind!r} is none of {', '.join(_COMPARISON_KINDS)}")
    for name, share in (("threshold", comparison.threshold), *comparison.case_thresholds.items()):
        if not 0 <= share < 1:
            raise Malformed(f"{where}.{name}", f"{share!r} is not a share from 0 to below 1")
    for key, noise in comparison.noise.items():
        sums = (noise.between, noise.within, noise.pairs, noise.freedom, noise.comparisons)
        if not all(math.isfinite(value) and value >= 0 for value in sums):
            raise Malformed(f"{where}.noise.{key}", "a sum is negative or no number")


def _list(plain: Any, where: str) -> list[Any]:
    if not isinstance(plain, list):
        raise Malformed(where, "a list was expected")
    return plain
