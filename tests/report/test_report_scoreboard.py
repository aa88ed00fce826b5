"""The scoreboard as text and JSON."""

from __future__ import annotations

import json

from perfsuite.report.scoreboard import Scoreboard, aligned, scoreboard_json, scoreboard_text
from perfsuite.stats.injection import SIZES
from perfsuite.stats.operating import operating_points
from perfsuite.stats.scoring import Row
from perfsuite.stats.scoring_reruns import RerunRow


def row(rule: str, data: str, f1: float, false: float, share: float | None) -> Row:
    recall = {} if share is None else dict.fromkeys(SIZES, share)
    labels = 0.5 if share is None else None
    recorded = None if share is None else 2 * false
    return Row(rule, data, 3, 300, f1, 0.75, labels, false, recall, 4.0, recorded, recall)


BASELINES = (row("otava", "gpu", 0.5, 1.0, 0.4), row("otava", "people", 0.6, 2.0, None))
OURS = (row("perfsuite", "gpu", 0.9, 1.0, 0.8), row("perfsuite", "people", 0.4, 1.5, None))
BOARD = Scoreboard(
    "all",
    (*BASELINES, *OURS),
    tuple(operating_points(BASELINES, {1.0: OURS})),
    (RerunRow("otava", "gpu", 400, 1, 3), RerunRow("perfsuite", "gpu", 400, 0, None)),
)


def test_the_best_of_each_data_set_comes_first() -> None:
    lines = scoreboard_text(BOARD, width=100).splitlines()
    table = [line.split()[:3] for line in lines[2:8] if line]
    assert table == [
        ["gpu", "perfsuite", "0.900"],
        ["gpu", "otava", "0.500"],
        ["people", "otava", "0.600"],
        ["people", "perfsuite", "0.400"],
    ]


def test_ours_stands_beside_the_quietest_and_reruns_are_shown() -> None:
    text = scoreboard_text(BOARD, width=100)
    assert text.count("not higher everywhere") == 1  # people: the labels, half of which both find
    assert text.count("higher everywhere") == 3  # gpu: both views
    assert "gpu as recorded" in text
    shares = [line.split() for line in text.splitlines()[-2:]]
    assert shares == [
        ["gpu", "perfsuite", "0.00", "%", "400"],
        ["gpu", "otava", "0.25", "%", "0.75", "%", "400"],
    ]


def test_colour_only_where_it_is_asked_for() -> None:
    assert "\033" not in scoreboard_text(BOARD, width=100)
    assert "\033[1mgpu" in scoreboard_text(BOARD, width=100, color=True)


def test_json_is_plain_and_keeps_its_names() -> None:
    document = json.loads(json.dumps(scoreboard_json(BOARD), allow_nan=False))
    assert set(document["rows"][0]) >= {
        *("rule", "data", "series", "points", "f1", "false_alarms_per_1000", "recall", "delay")
    }
    assert document["rows"][0]["recall"] == dict.fromkeys(("0.5%", "1%", "2%", "5%", "10%"), 0.4)
    assert document["rows"][0]["recorded"]["alarms_per_1000"] == 2.0
    assert document["rows"][1]["recorded"] is None
    assert [point["better"] for point in document["operating_points"]] == [True, True, False]
    assert document["same_commit"][0]["share"] == 3 / 400


def test_columns_line_up() -> None:
    assert aligned([["a", "b", "c"], ["aa", "bb", "10"]]) == ["a   b    c", "aa  bb  10"]


def test_an_empty_scoreboard_is_a_title_and_a_note() -> None:
    assert scoreboard_text(Scoreboard("all", ()), width=100).startswith("data")
