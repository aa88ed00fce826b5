import json
import math
from dataclasses import replace
from typing import Any

from report_example import KERNEL, compared, mixed, report, result, run, trusted

from perfsuite.errors import Exit
from perfsuite.model import Launches, Status, Verdict
from perfsuite.report import exit_code, run_exit_code
from perfsuite.report.json import comparison_json, run_json


def written(document: dict[str, Any]) -> dict[str, Any]:
    """Through strict JSON and back: NaN, tuples and datetimes would not survive as they are."""
    read: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    assert read == document
    return read


def test_run_has_the_documented_keys() -> None:
    document = written(run_json(run(), [result()]))
    assert document["schema"] == 1
    assert {"commit", "dirty", "profile", "environment"} <= document["run"].keys()
    assert document["run"]["environment"]["gpu"] == "NVIDIA H200"
    one = document["results"][0]
    expected = (
        "case version family params device status time_ns error_rms error_max bytes operations "
        "roofline_fraction launches kernels"
    )
    assert set(expected.split()) <= one.keys()
    assert one["time_ns"] == {"median": 1004.5, "low": 1001.0, "high": 1008.0, "rounds": 10}
    assert one["launches"] == 1
    assert one["launch_order"] == ["_gemm1#aaaa[132](BLOCK_N=128)"]
    kernel = one["kernels"][0]
    assert {"name", "hash", "registers", "spills", "shared_bytes", "warps", "stages", "grid"} <= kernel.keys()
    assert kernel["grid"] == [132]


def test_no_time_for_what_is_not_ok_or_has_no_samples() -> None:
    results = [result(status=Status.INCORRECT), replace(result(), blocks=())]
    assert [one["time_ns"] for one in written(run_json(run(), results))["results"]] == [None, None]


def test_numbers_that_are_not_finite_become_null() -> None:
    bad = replace(
        result(status=Status.INCORRECT), error_rms=math.nan, error_max=math.inf, extra={"x": -math.inf}
    )
    one = written(run_json(run(), [bad]))["results"][0]
    assert (one["error_rms"], one["error_max"], one["extra"]) == (None, None, {"x": None})


def test_comparison_has_the_documented_keys() -> None:
    document = written(comparison_json(mixed()))
    expected = {"schema", "base", "head", "environment", "resolution", "exit_code", "comparisons", "findings"}
    assert expected <= document.keys()
    assert (document["exit_code"], document["resolution"]) == (1, 0.008)
    assert document["base"]["commit"] == "a" * 40
    first, second = document["comparisons"][:2]
    keys = "case family params verdict base_ns head_ns change low high floor pairs rounds why"
    assert set(keys.split()) <= first.keys()
    assert (first["verdict"], first["base_ns"], first["change"]) == ("incorrect", None, None)
    assert (second["verdict"], second["change"]) == ("regressed", 0.098)
    assert document["findings"][1]["cases"] == ["moe/prefill[m=2]", "moe/prefill[m=1]"]


def test_exit_codes() -> None:
    assert exit_code(mixed()) is Exit.RED
    assert exit_code(report(compared("a", Verdict.INCONCLUSIVE), compared("b", Verdict.NEW))) is Exit.OK
    assert run_exit_code([result()]) is Exit.OK
    assert run_exit_code([result(), result(status=Status.FAILED)]) is Exit.RED


def test_comparison_has_floors_blocks_canaries_and_the_machine() -> None:
    document = written(comparison_json(trusted()))
    first = document["comparisons"][0]
    assert (first["floor"], first["blocks"], first["confirmed"]) == (0.004, 16, True)
    assert document["machine"] == "the machine changed: compute +2.10 %"
    assert [canary["case"] for canary in document["canaries"]] == ["perfsuite/canary[compute]"]
    assert [finding["kernel"] for finding in document["findings"]] == ["_gemm1", None]
    assert document["comparisons"][-1]["verdict"] == "less accurate"
    assert (document["kind"], document["exit_code"]) == ("compare", 1)


def test_canaries_of_a_run_are_not_among_its_results() -> None:
    document = written(run_json(run(), [result(), result("perfsuite/canary[compute]")]))
    assert [one["case"] for one in document["results"]] == ["moe/prefill[m=1]"]
    assert [one["case"] for one in document["canaries"]] == ["perfsuite/canary[compute]"]


def test_kernels_have_their_instructions() -> None:
    mixed_kernel = replace(KERNEL, instructions={"total": 2, "matrix.HGMMA": 2})
    one = replace(result(), launches=Launches((mixed_kernel,)), error_parts=(0.1, math.nan))
    document = written(run_json(run(), [one]))["results"][0]
    assert document["kernels"][0]["instructions"] == {"total": 2, "matrix.HGMMA": 2}
    assert document["error_parts"] == [0.1, None]
