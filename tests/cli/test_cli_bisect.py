"""`perfsuite bisect` over real commits, with a session that takes times from what the commit says."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli_fakes import CASES, Answer, Cli, FakeSession, result

from perfsuite.cases import NoCases, match_cases
from perfsuite.errors import UsageError
from perfsuite.model import Alert, Side, Status, Timer
from perfsuite.store import open_store

CASE = "moe/decode[m=1]"


@dataclass
class Levels(FakeSession):
    """What `kernel.py` says: `1.02 b` is a time and its machine code, `broken` a suite that nobody can read,
    `absent` one without the case, `incorrect` and `failed` are what they are."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    spread: float = 0.0
    profiles: list[str] = field(default_factory=list)
    stop_after: int | None = None

    def compare(self, base: Any, head: Any, settings: Any, sink: Any, progress: Any, earlier: Any) -> None:
        if self.stop_after is not None and len(self.pairs) >= self.stop_after:
            raise KeyboardInterrupt
        progress.waiting("for the GPU")
        texts = [(tree.root / "kernel.py").read_text().split() for tree in (base, head)]
        self.pairs.append((base.label.split()[-1], head.label.split()[-1]))
        self.profiles.append(settings.profile)
        if texts[1][0] == "broken":
            raise UsageError("the suite cannot be read:\nSyntaxError", "mend it")
        chosen = match_cases(settings.pattern, CASES)
        if not chosen:
            raise NoCases(settings.pattern, CASES)
        for case in chosen:
            for side, words in zip(Side, texts, strict=True):
                if words[0] != "absent":
                    sink(side, self._result(case, words, settings.profile))

    def _result(self, case: str, words: Sequence[str], profile: str) -> Any:
        if words[0] in ("incorrect", "failed"):
            return result(case, status=Status(words[0]))
        if words[0] == "untimed":
            return replace(result(case, code=words[1]), timer=Timer.NONE, blocks=())
        moved = float(words[0]) if case == CASE else 1.0
        made = result(case, scale=moved, code=words[1] if case == CASE else "same")
        if not self.spread or profile == "full" or words[1] == "a":
            return made
        # Every second process apart: the interval is wider than this.
        blocks = tuple(
            replace(
                block, rounds=tuple(_scaled(r, 1 + self.spread * (-1) ** block.pair) for r in block.rounds)
            )
            for block in made.blocks
        )
        return replace(made, blocks=blocks)


def _scaled(one: Any, factor: float) -> Any:
    return replace(one, sample_ns=one.sample_ns * factor)


@pytest.fixture
def levels(cli: Cli) -> Levels:
    session = Levels()
    cli.session = session
    return session


def history(cli: Cli, texts: Sequence[str]) -> list[str]:
    """Commits on main with these contents; their hashes, the first is good."""
    # Unlike each other even where the text is the same: every commit is one.
    return [cli.commit(f"{text} # {n}\n", f"commit {n}") for n, text in enumerate(texts)]


def many(cli: Cli, texts: Sequence[str]) -> list[str]:
    """Like `history`, in one process: the commits after the present one."""
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@example.org> {1_800_000_000 + n} +0000\ndata 1\nx\n"
        + ("" if n else "from refs/heads/main^0\n")
        + f"M 644 inline kernel.py\ndata {len(text) + 1}\n{text}\n\n"
        for n, text in enumerate(texts)
    )
    command = ("git", "fast-import", "--quiet", "--force")
    subprocess.run(command, cwd=cli.folder, input=stream, text=True, check=True)
    return cli.git("rev-list", "--reverse", f"--max-count={len(texts)}", "main").splitlines()


def bisected(cli: Cli, *arguments: str) -> dict[str, Any]:
    answer = cli("bisect", *arguments, "--json")
    assert answer.code == 0, answer.err
    document: dict[str, Any] = json.loads(answer.out)
    return document


def test_64_commits_take_8_comparisons(cli: Cli, levels: Levels) -> None:
    shas = many(cli, ["1 a"] * 24 + ["1.02 b"] * 41)
    found = bisected(cli, CASE, shas[0], "--threshold", "1%")
    assert (found["commits"], found["comparisons"], len(levels.pairs)) == (64, 8, 8)
    assert found["first_bad"]["commit"] == shas[24]


@pytest.mark.parametrize("first_bad", [1, 8])
def test_the_first_slow_commit_is_found_and_confirmed(cli: Cli, levels: Levels, first_bad: int) -> None:
    shas = history(cli, ["1 a"] * first_bad + ["1.02 b"] * (9 - first_bad))
    found = bisected(cli, CASE, shas[0], "main", "--threshold", "1%")
    assert found["first_bad"]["commit"] == shas[first_bad] and found["first_bad"]["author"] == "A"
    assert found["comparisons"] <= math.log2(8) + 2
    assert 0.01 < found["low"] < 0.0201 and 0.0199 < found["high"] < 0.03
    # The last word is the commit against its parent.
    assert levels.pairs[-1] == (shas[first_bad - 1][:10], shas[first_bad][:10])
    assert not found["remark"] and found["suspects"] == [found["first_bad"]]


def test_what_became_faster_is_found_as_well(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a"] * 5 + ["0.9 b"] * 4)
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"]["subject"] == "commit 5" and found["change"] < -0.09


def test_of_several_steps_the_one_past_half_is_found(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "1.02 b", "1.02 b", "1.1 c", "1.1 c", "1.09 d"])
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"]["commit"] == shas[4]
    assert 0.07 < found["change"] < 0.09


def test_ends_that_run_the_same_code_leave_nothing_to_find(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "2 b", "1 a"])
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"] is None and found["suspects"] == [] and found["comparisons"] == 1
    assert "same machine code" in found["remark"]
    assert "Nothing to find" in cli("bisect", CASE, shas[0], "--resume").out


def test_a_change_below_the_threshold_leaves_nothing_to_find(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1.005 b", "1.005 b"])
    assert "less than the threshold" in bisected(cli, CASE, shas[0])["remark"]


def test_commits_that_cannot_be_measured_are_passed_over(cli: Cli, levels: Levels) -> None:
    texts = ["1 a", "1 a", "broken", "absent", "failed", "1 a", "1.1 b"]
    shas = history(cli, texts)
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"]["commit"] == shas[6]
    passed = {step["commit"]: step["remark"] for step in found["steps"] if step["state"] == "skipped"}
    assert passed and set(passed) <= set(shas[2:5])
    assert all(remark.startswith("passed over: ") for remark in passed.values())


def test_where_only_broken_commits_lie_between_the_suspects_are_told(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "broken", "broken", "1.1 b", "1.1 b"])
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"] is None
    assert [suspect["commit"] for suspect in found["suspects"]] == shas[2:5]
    out = cli("bisect", CASE, shas[0], "--resume").out
    assert "One of these 3 commits" in out and all(sha[:10] in out for sha in shas[2:5])


def test_an_end_that_cannot_be_measured_is_an_error(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "broken"])
    assert cli("bisect", CASE, shas[0]).code == 2


@pytest.mark.parametrize("kind", ["incorrect", "failed"])
def test_a_case_that_stopped_being_right_is_searched_without_times(
    cli: Cli, levels: Levels, kind: str
) -> None:
    shas = history(cli, ["1 a", "1.5 b", "1 a", "2 c", "1 a"] + [kind] * 4)
    found = bisected(cli, CASE, shas[0])
    assert found["kind"] == kind and found["first_bad"]["commit"] == shas[5]
    assert set(levels.profiles[1:]) == {"quick"}
    assert kind in cli("bisect", CASE, shas[0], "--resume").out or kind == "failed"


def test_a_case_that_was_never_right_is_not_searched(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["incorrect", "1 a", "incorrect"])
    assert "not right at the good end either" in bisected(cli, CASE, shas[0])["remark"]


def test_a_failing_commit_may_hide_an_incorrect_one(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "failed", "incorrect", "incorrect"])
    found = bisected(cli, CASE, shas[0])
    assert [suspect["commit"] for suspect in found["suspects"]] == shas[2:4]


def test_what_is_not_decided_is_measured_once_more_and_thoroughly(cli: Cli, levels: Levels) -> None:
    levels.spread = 0.02
    shas = history(cli, ["1 a", "1 a", "1.001 b", "1.1 c", "1.1 c"])
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"]["commit"] == shas[3]
    assert "full" in levels.profiles
    again = [step for step in found["steps"] if step["remark"].startswith("not decided")]
    assert again and all(step["state"] is None for step in again)


def test_a_machine_without_times_cannot_search_by_them(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["untimed a", "untimed b"])
    answer = cli("bisect", CASE, shas[0])
    assert answer.code == 3 and "no device times: needs a GPU" in answer.err


def test_a_killed_search_goes_on_where_it_was(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a"] * 6 + ["1.1 b"] * 3)
    levels.stop_after = 3
    assert cli("bisect", CASE, shas[0]).code == 130
    levels.stop_after = None
    found = bisected(cli, CASE, shas[0], "--resume")
    assert found["first_bad"]["commit"] == shas[6] and found["comparisons"] == 5
    assert len(levels.pairs) == 5
    again = bisected(cli, CASE, shas[0], "--resume")
    assert again == found and len(levels.pairs) == 5


def test_a_pattern_takes_the_worst_case(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "1.1 b"])
    answer = cli("bisect", "moe", shas[0])
    assert f"3 cases match 'moe': searching what moved {CASE}" in answer.err
    assert f"made {CASE} 10.00 % slower" in answer.out


def test_a_pattern_that_chooses_nothing_names_the_nearest(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a"])
    answer = cli("bisect", "prefil[", shas[0])
    assert answer.code == 2 and "prefill" in answer.err


def test_the_ends_come_from_an_open_alert(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a"] * 3 + ["1.1 b"] * 3)
    assert "no open alert" in cli("bisect", "decode").err
    now = datetime.now(UTC)
    known = Alert("1" * 32, "watched", CASE, "f", "slower", shas[1], shas[4], 0.1, 0.09, 0.11, raised_at=now)
    with open_store(str(cli.database)) as store:
        store.save_alerts([known, replace(known, id="2" * 32, kind="missing", after="")])
    found = bisected(cli, "decode")
    assert (found["good"], found["bad"]) == (shas[1], shas[4])
    assert found["first_bad"]["commit"] == shas[3]


def test_ends_that_parted_are_searched_from_where_they_did(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "1.1 b"])
    cli.git("switch", "--quiet", "-c", "other", shas[0])
    other = cli.commit("1 z # other\n", "other")
    answer = cli("bisect", CASE, other, "main")
    assert f"{shas[0][:10]}" in answer.err and shas[2][:10] in answer.out
    assert cli("bisect", CASE, "main", shas[0]).code == 2


def test_what_was_merged_is_one_commit(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a"])
    cli.git("switch", "--quiet", "-c", "side")
    for number in range(4):
        cli.commit(f"1.1 b # side {number}\n", f"side {number}")
    cli.git("switch", "--quiet", "main")
    cli.git("merge", "--quiet", "--no-ff", "-m", "merge side", "side")
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"]["subject"] == "merge side" and found["commits"] == 2


def test_a_commit_that_its_parent_does_not_accuse_is_told_so(cli: Cli, levels: Levels) -> None:
    shas = history(cli, ["1 a", "1 a", "1.04 b", "1.055 c", "1.1 d"])
    found = bisected(cli, CASE, shas[0])
    assert found["first_bad"]["commit"] == shas[3]
    assert "not clearly the +10.00 %" in found["remark"]


def test_events_tell_every_step_and_the_result(cli: Cli, levels: Levels, tmp_path: Path) -> None:
    shas = history(cli, ["1 a"] * 3 + ["1.1 b"] * 2)
    target = tmp_path / "events"
    cli("bisect", CASE, shas[0], "--events", str(target), "--markdown", str(tmp_path / "b.md"))
    events = [json.loads(line) for line in target.read_text().splitlines()]
    assert [event["event"] for event in events].count("done") == len(levels.pairs)
    assert [event["cases"] for event in events if event["event"] == "total"] == [4]
    assert [event["event"] for event in events].count("started") == len(levels.pairs)
    assert next(event for event in events if event["event"] == "waiting")["text"] == "for the GPU"
    assert events[-1]["event"] == "result" and events[-1]["value"]["first_bad"]["commit"] == shas[3]
    assert f"<code>{shas[3][:10]}</code>" in (tmp_path / "b.md").read_text()


def test_help_is_there(cli: Cli) -> None:
    answer: Answer = cli("bisect", "--help")
    assert answer.code == 0 and "GOOD" in answer.out
