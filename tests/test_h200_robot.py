"""What an H200 returned of three pull requests and a bisect, read back: what the README says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci.comment import MARKER
from perfsuite.report.bisect import bisect_text, outcome_markdown

ROOT = Path(__file__).parents[1]
H200 = ROOT / "tests" / "data" / "h200"
ANSWERS = {
    "comment": "29 cases unchanged or identical.",
    "inloop": "cases slower",
    "scale": "21 cases incorrect",
}


def test_the_bisect_as_printed_is_what_its_json_says() -> None:
    document = json.loads((H200 / "bisect.json").read_text())
    assert bisect_text(document) == (H200 / "bisect.txt").read_text()
    assert document["commits"] == 64 and document["comparisons"] == 8
    assert document["low"] <= 0.02 <= document["high"]
    assert document["first_bad"]["subject"] in outcome_markdown(document) or document["why"]


@pytest.mark.parametrize("branch", ANSWERS)
def test_each_pull_request_was_answered_in_time(branch: str) -> None:
    body = (H200 / "pulls" / f"comment_{branch}.md").read_text()
    assert body.startswith(MARKER) and ANSWERS[branch] in body.splitlines()[2]
    took_s = json.loads((H200 / "pulls" / "took.json").read_text())[branch]
    assert took_s < 180
    assert f"{took_s:.0f} s" in (ROOT / "README.md").read_text()
