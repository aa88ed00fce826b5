"""What a bisect found, in words: short, complete, harmless whatever commits and messages say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from perfsuite.model import Commit
from perfsuite.report.bisect import bisect_json, bisect_text, outcome_markdown
from perfsuite.stats.bisecting import Bisected, Kind, Step
from perfsuite.stats.search import State

CASE = "moe/decode[m=1,g=32]"
COMMITS = [
    Commit(f"{n:x}" * 40, f"commit {n}", "Ada", datetime(2026, 1, n + 1, tzinfo=UTC)) for n in range(5)
]
STEPS = (
    Step(
        COMMITS[4], COMMITS[0], State.BAD, "regressed", "a" * 32, 0.021, 0.018, 0.024, ("registers 64 → 96",)
    ),
    Step(COMMITS[2], COMMITS[0], State.SKIPPED, "not measured", remark="passed over: cannot be read"),
    Step(COMMITS[1], COMMITS[0], State.GOOD, "identical", "b" * 32),
    Step(COMMITS[3], COMMITS[0], None, "inconclusive", "c" * 32, 0.01, 0.001, 0.019),
)
FOUND = Bisected(
    CASE, COMMITS[0], COMMITS[4], 4, Kind.TIME, COMMITS[3], (COMMITS[3],), 0.0213, 0.018, 0.0244,
    ("k: registers 64 → 96", "k: 4 spilled registers"), STEPS,
)  # fmt: skip


def test_json_holds_every_step_and_is_json() -> None:
    document = bisect_json(replace(FOUND, high=float("nan")))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == 1 and document["exit_code"] == 0 and document["high"] is None
    assert document["first_bad"]["author"] == "Ada" and document["comparisons"] == 3
    assert [step["state"] for step in document["steps"]] == ["bad", "skipped", "good", None]
    assert set(document["steps"][0]) >= {"commit", "verdict", "change", "low", "high", "comparison"}


def test_the_answer_comes_first() -> None:
    text = bisect_text(bisect_json(FOUND))
    first = "3333333333 commit 3 by Ada made moe/decode[m=1,g=32] 2.13 % slower [+1.80 %, +2.44 %]."
    assert text.splitlines()[0] == first
    assert "  k: registers 64 → 96" in text and "passed over: cannot be read" in text
    assert text.splitlines()[-1] == "3 comparisons over 4 commits"


@pytest.mark.parametrize(("kind", "said"), [(Kind.INCORRECT, "incorrect."), (Kind.FAILED, "fail.")])
def test_what_is_not_right_has_no_times(kind: Kind, said: str) -> None:
    text = bisect_text(bisect_json(replace(FOUND, kind=kind, change=None, low=None, high=None)))
    assert text.splitlines()[0].endswith(f"made {CASE} {said}")


def test_faster_is_told_as_such() -> None:
    document = bisect_json(replace(FOUND, change=-0.05, low=-0.06, high=-0.04))
    assert "5.00 % faster [-6.00 %, -4.00 %]" in bisect_text(document)


def test_suspects_are_listed_where_the_commit_is_not_known() -> None:
    document = bisect_json(
        replace(FOUND, first_bad=None, suspects=tuple(COMMITS[2:4]), remark="the 1 cannot be measured")
    )
    lines = bisect_text(document).splitlines()
    assert lines[0].startswith("One of these 2 commits made") and lines[1] == "  2222222222 commit 2"
    assert "  The 1 cannot be measured." in lines
    assert "- <code>2222222222</code> commit 2" in outcome_markdown(document)


def test_nothing_to_find_says_why() -> None:
    nothing = replace(FOUND, kind=None, first_bad=None, suspects=(), remark="the same machine code")
    document = bisect_json(nothing)
    said = "Nothing to find of moe/decode[m=1,g=32] in 0000000000..4444444444: the same machine code."
    assert bisect_text(document).splitlines()[0] == said
    assert "registers" not in outcome_markdown(document)


def test_the_comment_folds_the_steps() -> None:
    body = outcome_markdown(bisect_json(FOUND))
    assert body.splitlines()[0] == (
        "<code>3333333333</code> commit 3 by Ada made <code>moe/decode&#91;m=1,g=32&#93;</code> "
        "2.13 % slower [+1.80 %, +2.44 %]."
    )
    assert "<details><summary>3 comparisons over 4 commits</summary>" in body and "</details>" in body
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(STEPS) and all(row.count("|") == 7 for row in rows)


def test_hostile_text_stays_text() -> None:
    hostile = "</details> | <img src=x> @all #1 `x` <!-- perfsuite:x --> https://e.org \u202e\n\n# big"
    commit = replace(COMMITS[3], subject=hostile, author=hostile)
    step = replace(STEPS[0], commit=commit, remark=hostile, why=(hostile,))
    outcome = replace(
        FOUND, case=hostile, first_bad=commit, suspects=(commit,), why=(hostile,), remark=hostile
    )
    body = outcome_markdown(bisect_json(replace(outcome, steps=(step,))))
    assert body.count("<details>") == body.count("</details>") == 1
    for bad in ("<img", "<!--", "@all", " #1", "https://", "\u202e", "`", "\n# "):
        assert bad not in body, bad
    assert all(row.count("|") == 7 for row in body.splitlines() if row.startswith("| "))
    assert "\u202e" not in bisect_text(bisect_json(outcome))
