"""Reading pytest-benchmark's JSON of any project, old and new forms of it. Pure.

What it measured is wall-clock time of the host, in seconds: one run of the kind `import`, one block of rounds
for each benchmark. Where the file holds statistics only, the median is the one sample.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from perfsuite.codec import INT64_LIMIT, Malformed, utc
from perfsuite.model import Block, Commit, Environment, Result, Round, Run, Scalar, Status, Timer
from perfsuite.units import NS_PER_S

KIND = "import"
_STATISTICS = ("min", "q1", "median", "mean", "q3", "max", "stddev")
_LONGEST_CASE = 300
"""pytest puts whole strings into ids; PostgreSQL cannot index more than 2,700 bytes."""
_UNKNOWN_COMMIT = "unknown"
_MACHINE_DETAILS = ("system", "release", "machine", "processor", "python_implementation")


def read_pytest_benchmark(document: Mapping[str, Any], source: str) -> tuple[Run, list[Result]]:
    """The run of one file and its results. The same content gives the same run id.

    Args:
        document: the parsed file.
        source: its name; names the repository where the file does not.

    Raises:
        Malformed: with the position of what is wrong.
    """
    benchmarks = document["benchmarks"]
    if not isinstance(benchmarks, list) or not benchmarks:
        raise Malformed("benchmarks", "holds no benchmarks")
    items = [_object(item, f"benchmarks[{index}]") for index, item in enumerate(benchmarks)]
    names = [_full_name(item, f"benchmarks[{index}]") for index, item in enumerate(items)]
    results = [
        _result(item, name, case, f"benchmarks[{index}]")
        for index, (item, name, case) in enumerate(zip(items, names, _case_ids(names), strict=True))
    ]
    return _run(document, source), results


def _run(document: Mapping[str, Any], source: str) -> Run:
    commit = _partial(document.get("commit_info"))
    # Sorted, so that a file that was only formatted anew is the same run.
    content = json.dumps(document, sort_keys=True).encode("ascii")
    run_id = hashlib.sha256(content).hexdigest()[:32]
    started_at = _moment(document.get("datetime")) or _moment(commit.get("time"))
    if started_at is None:
        raise Malformed("datetime", "is missing or not a time, and commit_info.time as well")
    version = _text(document.get("version")) or ""
    return Run(
        id=run_id,
        commit=_commit(commit, run_id),
        repository=_text(commit.get("project")) or PurePosixPath(source).stem or source,
        environment=_environment(_partial(document.get("machine_info"))),
        profile=KIND,
        started_at=started_at,
        finished_at=started_at,
        kind=KIND,
        version=f"pytest-benchmark {version}".strip(),
    )


def _commit(info: Mapping[str, Any], run_id: str) -> Commit:
    branch = _text(info.get("branch"))
    return Commit(
        sha=_text(info.get("id")) or _UNKNOWN_COMMIT,
        committed_at=_moment(info.get("time")),
        # pytest-benchmark writes "(unknown)" and "(detached head)".
        branch=None if branch is None or branch.startswith("(") else branch,
        # It tells only that something was changed: every such file is a state of its own.
        dirty=run_id[:16] if info.get("dirty") is True else "",
    )


def _environment(info: Mapping[str, Any]) -> Environment:
    cpu = _partial(info.get("cpu"))
    return Environment(
        host=_text(info.get("node")) or "unknown",
        python=_text(info.get("python_version")),
        cpu=_text(cpu.get("brand_raw")) or _text(cpu.get("brand")) or _text(info.get("processor")),
        details={name: value for name in _MACHINE_DETAILS if (value := _text(info.get(name)))},
    )


def _result(item: Mapping[str, Any], full_name: str, case: str, where: str) -> Result:
    extra: dict[str, Scalar] = {"fullname": full_name}
    if group := _text(item.get("group")):
        extra["group"] = group
    block, statistics = _measured(_object(item.get("stats"), f"{where}.stats"), f"{where}.stats")
    extra |= statistics
    for name, value in _partial(item.get("extra_info")).items():
        if _is_scalar(value):
            extra[name if name not in extra else f"extra_info.{name}"] = value
    return Result(
        case=case,
        # The file does not hold the benchmark's source: as far as it tells, the name is the definition.
        version=hashlib.sha256(full_name.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        family=case.partition("[")[0],
        params={name: _as_scalar(value) for name, value in _partial(item.get("params")).items()},
        device="cpu",
        status=Status.OK,
        timer=Timer.IMPORTED,
        blocks=(block,),
        extra=extra,
    )


def _measured(stats: Mapping[str, Any], where: str) -> tuple[Block, dict[str, Scalar]]:
    """The samples, and the statistics that stand in for them where they were not kept."""
    data = stats.get("data")
    extra: dict[str, Scalar] = {}
    if isinstance(data, list) and data:
        samples_ns = [_nanoseconds(value, f"{where}.data[{index}]") for index, value in enumerate(data)]
    elif data is None or data == []:
        for name in _STATISTICS:
            if stats.get(name) is not None:
                extra[f"{name}_ns"] = _nanoseconds(stats[name], f"{where}.{name}")
        best = next((name for name in ("median", "mean", "min") if f"{name}_ns" in extra), None)
        if best is None:
            raise Malformed(where, "holds neither data nor a median")
        samples_ns = [float(str(extra[f"{best}_ns"]))]
        extra["sample_is"] = best
        if _is_count(stats.get("rounds")):
            extra["rounds"] = stats["rounds"]
    else:
        raise Malformed(f"{where}.data", "a list was expected")
    iterations = stats["iterations"] if _is_count(stats.get("iterations")) else 1
    rounds = tuple(Round(sample, index, index) for index, sample in enumerate(samples_ns))
    return Block(pair=0, block=0, sets=1, iterations=iterations, rounds=rounds), extra


def _case_ids(full_names: list[str]) -> list[str]:
    """Unique case ids: `tests/test_foo.py::test_bar[1-2]` → `foo/bar[1-2]`.

    Where two files of the same name would collide, their folders stay in; what collides still is numbered.
    """
    short = [case_id(name) for name in full_names]
    taken = Counter(short)
    ids = [
        case if taken[case] == 1 else case_id(name, folders=True)
        for case, name in zip(short, full_names, strict=True)
    ]
    return list(_numbered(ids))


def case_id(full_name: str, *, folders: bool = False) -> str:
    """The case id of a pytest node id; with `folders`, the file's folders stay in."""
    file, separator, rest = full_name.partition("::")
    if not separator:
        file, rest = "", full_name
    test, bracket, parameters = rest.partition("[")
    path = PurePosixPath(file)
    stem = path.stem.removeprefix("test_").removesuffix("_test") or path.stem
    *classes, function = test.split("::")
    parents = list(path.parts[:-1]) if folders else []
    parts = [*parents, stem, *classes, function.removeprefix("test_") or function]
    return _shortened("/".join(part for part in parts if part) + bracket + parameters)


def _shortened(case: str) -> str:
    if len(case) <= _LONGEST_CASE:
        return case
    end = hashlib.sha256(case.encode("utf-8", "surrogatepass")).hexdigest()[:12] + "]" * case.endswith("]")
    return f"{case[: _LONGEST_CASE - len(end) - 1]}…{end}"


def _numbered(ids: Iterable[str]) -> Iterable[str]:
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    for case in ids:
        family, bracket, parameters = case.partition("[")
        name = case
        while name in taken:
            seen[case] += 1
            name = f"{family}#{seen[case] + 1}{bracket}{parameters}"
        taken.add(name)
        yield name


def _full_name(item: Mapping[str, Any], where: str) -> str:
    name = _text(item.get("fullname")) or _text(item.get("name"))
    if name is None:
        raise Malformed(f"{where}.fullname", "is missing")
    return name


def _nanoseconds(value: Any, where: str) -> float:
    """Seconds → ns; refuses what cannot be a duration."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(where, "a number of seconds was expected")
    try:
        time_ns = float(value) * NS_PER_S
    except OverflowError:
        time_ns = math.inf
    if not math.isfinite(time_ns) or time_ns < 0:
        shown = str(value) if isinstance(value, float) else "a whole number of too many digits"
        raise Malformed(where, f"{shown} is not a duration in seconds")
    return time_ns


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < INT64_LIMIT


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _as_scalar(value: Any) -> Scalar:
    # Also pytest-benchmark's own "UNSERIALIZABLE[...]" text stays as it is.
    return value if _is_scalar(value) else json.dumps(value, sort_keys=True)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(where, "an object was expected")
    return value


def _partial(value: Any) -> Mapping[str, Any]:
    """Descriptive parts may be missing, null or of a strange form: then nothing is known."""
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment and utc(moment)
    except (ValueError, OverflowError):
        return None
