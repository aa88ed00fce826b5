"""`perfsuite scoreboard`: folders, rules, halves, JSON."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_fakes import Cli

from perfsuite.cli.histories import load_histories, load_pairs
from perfsuite.cli.scoring import score_own
from perfsuite.errors import UsageError
from perfsuite.stats.rules import Series


def write_lines(file: Path, items: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(item) + "\n" for item in items)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    generator = np.random.default_rng(2)

    def values(count: int) -> list[float]:
        return [round(x, 4) for x in (100 * np.exp(0.002 * generator.standard_normal(count))).tolist()]

    steps = [*values(30), *(1.2 * x for x in values(30))]
    labelled = [
        {"series_id": "stepped", "values": steps, "times": ["1992-01"] * 60},
        {"series_id": "flat", "values": values(60), "lower_is_better": False},
        {"series_id": "unseen", "values": [None, *values(39)]},
    ]
    write_lines(root / "histories/labelled/series.jsonl.gz", labelled)
    (root / "histories/labelled/labels.csv").write_text(
        "series_id,index,annotator,kind,note\n"
        "stepped,30,ann,change,\nstepped,31,bob,expected-change,\nstepped,40,ann,outlier,\n"
        "stepped,50,tool,detector-output,\nflat,,ann,no-change,\n"
    )
    commits = [f"c{i}" for i in range(29)]
    commits[20] = "c19-again"
    free = [
        {
            "series_id": f"kernel {i}",
            "values": values(29),
            "lo": values(29),
            "hi": values(29),
            "times": ["2025-06-14 00:57:49"] * 29,
            "commits": commits,
        }
        for i in range(4)
    ]
    write_lines(root / "histories/free/series.jsonl.gz", free)
    (root / "histories/free/labels.csv").write_text("series_id,index,annotator,kind,note\n")
    sides = [[[1000.0, 1001.0], [1001.0, 1002.0]], [[1002.0, 1000.0], [1000.0, 1003.0]]]
    pairs = [
        {"pair": pair, "planted": planted, "block": 0, "case": "gemm", "rounds": sides}
        for pair in range(3)
        for planted in (0.0, 0.01)
    ]
    write_lines(root / "h200_aa/lockstep.jsonl.gz", pairs)
    write_lines(root / "h200_aa/blocks.jsonl.gz", [{"block": 0, "case": "gemm", "samples_ns": [1, 2]}])
    return root


def test_folders_are_read_as_they_are_described(folder: Path) -> None:
    free, labelled = load_histories(folder)
    assert (free.name, free.marks, labelled.name) == ("free", None, "labelled")
    assert labelled.marks == {"stepped": ((30,), (31,)), "flat": ((),)}
    assert [one.id for one in labelled.series] == ["stepped", "flat", "unseen"]
    assert (labelled.series[0].times, labelled.series[1].lower_is_better) == ((), False)
    assert np.isnan(labelled.series[2].values[0])
    assert free.series[0].times[0] == 1749862669.0
    assert len(free.series[0].low) == 29
    (pairs,) = load_pairs(folder)
    assert (pairs.name, [len(case.pairs) for case in pairs.cases]) == ("h200_aa/lockstep", [3])
    assert pairs.cases[0].pairs[0][0].head.tolist() == [[1001.0, 1002.0], [1000.0, 1003.0]]


def test_one_data_set_can_be_named_by_its_own_folder(folder: Path) -> None:
    assert [data.name for data in load_histories(folder / "histories" / "labelled")] == ["labelled"]


def test_the_scoreboard_is_a_table_and_json(cli: Cli, folder: Path) -> None:
    rules = ("--rule", "otava", "--rule", "codspeed_fixed")
    answer = cli("scoreboard", str(folder), *rules, "--json=rows.json", "--jobs", "1")
    assert answer.code == 0, answer.err
    assert "codspeed_fixed" in answer.out and "The same commit measured twice" in answer.out
    document = json.loads((cli.folder / "rows.json").read_text())
    assert (document["schema"], document["split"]) == (1, "all")
    rows = {(row["rule"], row["data"]): row for row in document["rows"]}
    assert set(rows) == {
        ("otava", "free"),
        ("codspeed_fixed", "free"),
        ("otava", "labelled"),
        ("codspeed_fixed", "labelled"),
        ("codspeed_fixed", "h200_aa/lockstep"),
    }
    found = rows["codspeed_fixed", "labelled"]
    assert (found["f1"], found["recall_labels"], found["delay"]) == (1.0, 1.0, 0)
    assert (found["series"], found["points"], found["recall"]) == (2, 120, {})
    assert list(rows["otava", "free"]["recall"]) == ["0.5%", "1%", "2%", "5%", "10%"]
    assert rows["otava", "free"]["recorded"]["alarms_per_1000"] >= 0
    assert [(row["rule"], row["reruns"]) for row in document["same_commit"]] == [
        ("otava", 4),
        ("codspeed_fixed", 4),
    ]


def test_processes_give_the_same_rows(cli: Cli, folder: Path) -> None:
    arguments = ("scoreboard", str(folder), "--data", "labelled", "--json")
    names = ("codspeed_fixed", "bencher_t", "aiter_moe_ci", "conbench_z", "pytorch_hud", "sglang_nightly")
    rules = [word for name in (*names, "vllm_nightly", "rustc_perf_iqr") for word in ("--rule", name)]
    one, two = (cli(*arguments, *rules, "--jobs", jobs) for jobs in ("1", "2"))
    assert json.loads(one.out) == json.loads(two.out)


def test_halves_do_not_overlap(cli: Cli, folder: Path) -> None:
    arguments = ("scoreboard", str(folder), "--rule", "codspeed_fixed", "--data", "free", "--json")
    counts = []
    for half in ("all", "tuning", "held-out"):
        document = json.loads(cli(*arguments, "--split", half).out)
        counts.append(sum(row["series"] for row in document["rows"]))
    assert counts[0] == counts[1] + counts[2] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rule", "guess"), "there is no rule 'guess'"),
        (("--data", "guess"), "there is no data set 'guess'"),
    ],
)
def test_wrong_names_are_told(cli: Cli, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    answer = cli("scoreboard", str(folder), *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_an_empty_folder_and_broken_lines_are_told(cli: Cli, tmp_path: Path) -> None:
    assert "no histories in" in cli("scoreboard", str(tmp_path)).err
    file = tmp_path / "histories/broken/series.jsonl.gz"
    write_lines(file, [{"series_id": "a", "values": [1.0]}, {"values": [1.0]}])
    assert "each line needs series_id and values" in cli("scoreboard", str(tmp_path)).err
    with gzip.open(file, "wt") as lines:
        lines.write('{"series_id": "a", "values": [1]}\nnonsense\n')
    with pytest.raises(UsageError, match="line 2"):
        load_histories(tmp_path)


def test_triaged_alerts_are_scored_like_labels() -> None:
    step = Series("s", (100.0,) * 20 + (130.0,) * 20)
    board = score_own([(step, [20], []), (Series("t", (100.0,) * 40), [], [9])], ("codspeed_fixed",))
    assert [(row.rule, row.data, row.f1) for row in board.rows] == [("codspeed_fixed", "triaged", 1.0)]
