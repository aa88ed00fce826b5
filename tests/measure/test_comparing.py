"""`compare_suites` on real trees with real processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_suite as toy

from perfsuite.measure import comparing
from perfsuite.measure.matching import Matched
from perfsuite.measure.pairing import Pairing
from perfsuite.measure.process import RemotePlayer
from perfsuite.measure.schedule import Effort
from perfsuite.measure.settings import Budget, Previous, Settings, Silent, Tree
from perfsuite.measure.timings import Timings
from perfsuite.model import Launches, Result, Side, Status

Results = dict[tuple[Side, str], Result]


def compare(
    base: Path, head: Path, settings: Settings, earlier: dict[str, Previous] | None = None
) -> Results:
    results: Results = {}

    def sink(name: Side, result: Result) -> None:
        results[name, result.case] = result

    comparing.compare_suites(Tree(base, "bench"), Tree(head, "bench"), settings, sink, Silent(), earlier)
    return results


def test_a_comment_is_identical_and_not_timed(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("@triton.jit", "# hello\n@triton.jit"))

    def unasked(*_: object) -> None:
        raise AssertionError("equal code is not looked up: it is not timed at all")

    results = compare(base, head, replace(as_with_gpu, known=unasked))
    for n in (1, 2):
        of_base, of_head = results[Side.BASE, f"toy/right[n={n}]"], results[Side.HEAD, f"toy/right[n={n}]"]
        assert of_base.launches.same_code(of_head.launches)
        assert of_base.blocks == of_head.blocks == ()
        assert of_head.error_rms == 0.0


def test_equal_code_is_timed_where_the_device_was_seen_to_run_other_kernels(
    tmp_path: Path, as_with_gpu: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where inputs choose tiles by the GPU's name: what was compiled ahead then says nothing."""
    base, head = toy.write_tree(tmp_path / "base"), toy.write_tree(tmp_path / "head")
    other = Launches(order=("_subtract#0123456789abcdef[2](n=1000)", "aten.add()"))
    gated = RemotePlayer.gate
    monkeypatch.setattr(RemotePlayer, "gate", lambda self: replace(gated(self), launches=other))
    results = compare(base, head, replace(as_with_gpu, pattern="n=1"))
    for name in Side:
        result = results[name, "toy/right[n=1]"]
        assert result.error_rms == 0.0, "base has a gate of its own then"
        assert {b.pair for b in result.blocks} == {0, 1}
        assert result.launches.order == other.order
        assert result.launches.opaque == (
            "the device ran _subtract, compiled ahead were _add: "
            "what is launched depends on more than the architecture",
        )


def test_changed_code_is_timed_in_lockstep_pairs(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    results = compare(base, head, replace(as_with_gpu, pattern="n=1"))
    for name in Side:
        result = results[name, "toy/right[n=1]"]
        assert [(b.pair, b.block, len(b.rounds)) for b in result.blocks] == [
            (pair, block, 4) for pair in (0, 1) for block in (0, 1, 2)
        ]
    orders = [
        (a.order, b.order)
        for a, b in zip(
            results[Side.BASE, "toy/right[n=1]"].blocks[0].rounds,
            results[Side.HEAD, "toy/right[n=1]"].blocks[0].rounds,
            strict=True,
        )
    ]
    assert orders == [(0, 1), (3, 2), (4, 5), (7, 6)]


def test_an_interrupted_comparison_goes_on_with_the_missing_pair(
    tmp_path: Path, as_with_gpu: Settings
) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    settings = replace(as_with_gpu, pattern="n=1")
    case = "toy/right[n=1]"
    whole = compare(base, head, settings)
    half = {
        name: replace(result, blocks=tuple(b for b in result.blocks if b.pair == 0))
        for (name, _), result in whole.items()
    }
    resumed = compare(base, head, settings, {case: Previous(half[Side.BASE], half[Side.HEAD])})
    assert {b.pair for b in resumed[Side.HEAD, case].blocks} == {0, 1}
    assert resumed[Side.HEAD, case].blocks[:3] == half[Side.HEAD].blocks
    assert (
        compare(base, head, settings, {case: Previous(whole[Side.BASE, case], whole[Side.HEAD, case])}) == {}
    )


def test_pairs_are_added_until_the_rule_says_enough(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    asked: list[tuple[str, int, int]] = []

    def needs(of_base: Result, of_head: Result, family: int) -> int:
        done = len({block.pair for block in of_head.blocks})
        asked.append((of_head.case, done, family))
        return 0 if of_head.case == "toy/right[n=1]" else 3 - done

    results = compare(base, head, replace(as_with_gpu, pairs=None, needs=needs))
    pairs = {case: {b.pair for b in result.blocks} for (_, case), result in results.items()}
    assert pairs == {"toy/right[n=1]": {0}, "toy/right[n=2]": {0, 1, 2}}
    assert {family for _, _, family in asked} == {2}


def test_the_budget_ends_what_is_undecided_but_not_before_two_pairs(
    tmp_path: Path, as_with_gpu: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "BUDGETS", {"pr": Budget(Effort(9, 3, 4), 0.5)})
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    results = compare(base, head, replace(as_with_gpu, pairs=None, pattern="n=1"))
    assert {b.pair for b in results[Side.HEAD, "toy/right[n=1]"].blocks} == {0, 1}


def test_without_the_veto_equal_code_is_timed(tmp_path: Path, as_with_gpu: Settings) -> None:
    base, head = toy.write_tree(tmp_path / "base"), toy.write_tree(tmp_path / "head")
    results = compare(base, head, replace(as_with_gpu, veto=False, pattern="n=1"))
    for name in Side:
        assert {b.pair for b in results[name, "toy/right[n=1]"].blocks} == {0, 1}
        assert results[name, "toy/right[n=1]"].launches.kernels


def test_canaries_are_timed_beside_what_is_timed_and_only_then(
    tmp_path: Path, as_with_gpu: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "CANARY_PAIRS", 1)
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    settings = replace(as_with_gpu, pattern="n=1")
    found = {case for _, case in compare(base, head, settings)}
    assert found == {
        "toy/right[n=1]",
        "perfsuite/canary[compute]",
        "perfsuite/canary[memory]",
        "perfsuite/canary[launch]",
    }
    assert {case for _, case in compare(base, base, settings)} == {"toy/right[n=1]"}


def test_a_canary_that_computes_wrong_values_is_told(
    tmp_path: Path, as_with_gpu: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "CANARY_PAIRS", 1)
    checked = Pairing.check

    def check(self: Pairing, matched: Matched, **facts: Any) -> None:
        checked(self, matched, **facts)
        if matched.head is not None and matched.case.id == "perfsuite/canary[memory]":
            matched.head = replace(matched.head, status=Status.INCORRECT, message="wrong")

    monkeypatch.setattr(Pairing, "check", check)
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    results = compare(base, head, replace(as_with_gpu, pattern="n=1"))
    wrong = results[Side.HEAD, "perfsuite/canary[memory]"]
    assert (wrong.status, wrong.blocks) == (Status.INCORRECT, ())
    assert results[Side.HEAD, "perfsuite/canary[launch]"].blocks


def test_timings_say_where_the_time_went(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    settings = replace(as_with_gpu, pattern="n=1", timings=Timings())
    compare(base, head, settings)
    rows = {name: (seconds, count) for name, seconds, count in settings.timings.rows()}
    assert rows["rounds"][1] == 6, "two pairs of three blocks"
    assert {"gate", "processes", "wait for the compiler"} <= set(rows)
    assert all(seconds >= 0 for seconds, _ in rows.values())


def test_wrong_head_has_no_time(tmp_path: Path, as_with_gpu: Settings) -> None:
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("+ tl.load(y", "- tl.load(y"))
    result = compare(base, head, replace(as_with_gpu, pattern="n=1"))[Side.HEAD, "toy/right[n=1]"]
    assert result.status is Status.INCORRECT
    assert result.blocks == ()


def test_a_side_that_dies_while_timed_is_the_one_that_failed(tmp_path: Path, as_with_gpu: Settings) -> None:
    # The reference is what the interpreter's player times: head's dies at its tenth call.
    dying = toy.SUITE.replace(
        "COMMON",
        "calls = []\ndef dying(x, y):\n    calls.append(1)\n    LIMIT\n    return x + y\n\nCOMMON",
        1,
    ).replace("reference=torch.add", "reference=dying")
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    (base / "bench" / "test_toy.py").write_text(dying.replace("LIMIT", "pass"))
    (head / "bench" / "test_toy.py").write_text(
        dying.replace("LIMIT", "os.kill(os.getpid(), 9) if len(calls) > 9 else None")
    )
    results = compare(base, head, as_with_gpu)
    for case in ("toy/right[n=1]", "toy/right[n=2]"):
        assert results[Side.HEAD, case].status is Status.FAILED
        assert "SIGKILL" in results[Side.HEAD, case].message
        assert results[Side.BASE, case].status is Status.OK


def test_a_side_whose_test_no_longer_starts_is_the_one_that_failed(
    tmp_path: Path, as_with_gpu: Settings
) -> None:
    # Base's test ends before it measures when it is run a second time: for the first pair, after its gate.
    base = toy.write_tree(tmp_path / "base")
    head = toy.write_tree(tmp_path / "head", ops=toy.OPS.replace("512", "1024"))
    for root, limit in ((base, 1), (head, 99)):
        suite = toy.SUITE.replace(
            "    gpu_benchmark(add",
            "    calls.append(1)\n    assert len(calls) <= limit\n    gpu_benchmark(add",
        ).replace("COMMON =", "from limit import limit\ncalls = []\nCOMMON =", 1)
        (root / "bench" / "test_toy.py").write_text(suite)
        (root / "limit.py").write_text(f"limit = {limit}\n")
    results = compare(base, head, replace(as_with_gpu, pattern="n=1"))
    assert results[Side.BASE, "toy/right[n=1]"].status is Status.FAILED
    assert results[Side.HEAD, "toy/right[n=1]"].status is Status.OK


def test_new_removed_changed_and_unreadable(tmp_path: Path, settings: Settings) -> None:
    base = toy.write_tree(tmp_path / "base", toy.WRONG)
    head = toy.write_tree(tmp_path / "head", toy.EMPTY)
    changed = (
        (head / "bench" / "test_toy.py").read_text().replace("(add, **COMMON)", "(add, **COMMON, rotate=8)")
    )
    (head / "bench" / "test_toy.py").write_text(changed)
    (base / "bench" / "test_more.py").write_text(toy.SUITE + toy.PLAIN)
    (base / "bench" / "test_mended.py").write_text("import nothing_at_base\n" + toy.PLAIN)
    (head / "bench" / "test_mended.py").write_text(toy.PLAIN)
    (head / "bench" / "test_more.py").write_text("import nothing_of_that_name\n" + toy.SUITE)
    results = compare(base, head, settings)
    assert results[Side.BASE, "toy/wrong"].status is Status.SKIPPED
    assert (Side.HEAD, "toy/wrong") not in results
    assert results[Side.HEAD, "toy/empty"].status is Status.FAILED
    assert (Side.BASE, "toy/empty") not in results
    old, now = results[Side.BASE, "toy/right[n=1]"], results[Side.HEAD, "toy/right[n=1]"]
    assert old.version != now.version
    assert results[Side.HEAD, "mended/plain"].status is Status.OK
    assert "nothing_at_base" in results[Side.BASE, "mended/plain"].message
    assert results[Side.HEAD, "more/plain"].status is Status.FAILED
    assert "nothing_of_that_name" in results[Side.HEAD, "more/plain"].message


def test_plain_benchmarks_are_paired_too(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "BUDGETS", {"pr": Budget(Effort(2, 2, 4), 600.0)})
    base, head = toy.write_tree(tmp_path / "base", toy.PLAIN), toy.write_tree(tmp_path / "head", toy.PLAIN)
    results = compare(base, head, replace(settings, pattern="plain"))
    for name in Side:
        blocks = results[name, "toy/plain"].blocks
        assert [(b.pair, b.block, len(b.rounds)) for b in blocks] == [
            (0, 0, 6),
            (0, 1, 6),
            (1, 0, 6),
            (1, 1, 6),
        ]
    half = {
        name: replace(result, blocks=tuple(b for b in result.blocks if b.pair == 0))
        for (name, _), result in results.items()
    }
    earlier = {"toy/plain": Previous(half[Side.BASE], half[Side.HEAD])}
    resumed = compare(base, head, replace(settings, pattern="plain"), earlier)
    of_head = resumed[Side.HEAD, "toy/plain"].blocks
    assert [(b.pair, b.block) for b in of_head] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_what_an_interruption_left_of_one_side_is_measured_again_once(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "BUDGETS", {"pr": Budget(Effort(2, 2, 4), 600.0)})
    base, head = toy.write_tree(tmp_path / "base", toy.PLAIN), toy.write_tree(tmp_path / "head", toy.PLAIN)
    settings = replace(settings, pattern="plain")
    whole = compare(base, head, settings)
    # Killed between saving base and saving head of the second pair.
    of_head = whole[Side.HEAD, "toy/plain"]
    first = replace(of_head, blocks=tuple(b for b in of_head.blocks if b.pair == 0))
    resumed = compare(base, head, settings, {"toy/plain": Previous(whole[Side.BASE, "toy/plain"], first)})
    for name in Side:
        blocks = [(b.pair, b.block) for b in resumed[name, "toy/plain"].blocks]
        assert blocks == [(0, 0), (0, 1), (1, 0), (1, 1)]
    old, new = whole[Side.BASE, "toy/plain"].blocks[2:], resumed[Side.BASE, "toy/plain"].blocks[2:]
    assert old != new, "measured beside head, not kept from the process that died"


def test_a_plain_benchmark_that_fails_once_has_failed(tmp_path: Path, settings: Settings) -> None:
    base = toy.write_tree(tmp_path / "base", toy.FAILS_ONCE)
    head = toy.write_tree(tmp_path / "head", toy.FAILS_ONCE)
    (base / "bench" / "runs").write_text("xxx")
    results = compare(base, head, replace(settings, pattern="fails_once"))
    assert results[Side.HEAD, "toy/fails_once"].status is Status.FAILED
    assert "the second time it fails" in results[Side.HEAD, "toy/fails_once"].message
    assert results[Side.BASE, "toy/fails_once"].status is Status.OK
