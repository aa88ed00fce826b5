"""`perfsuite backfill` over real commits: which are measured, in which order, and what is not done twice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cli_fakes import Cli, FakeSession, result

from perfsuite.errors import MachineError, UsageError
from perfsuite.model import Environment, Run, Status
from perfsuite.store import open_store


@dataclass
class Past(FakeSession):
    """Remembers what it measured; `broken` cannot be read, `failing` fails, `busy` is the machine's fault."""

    texts: list[str] = field(default_factory=list)
    stop_at: str = ""

    def run(self, tree: Any, settings: Any, sink: Any, progress: Any) -> None:
        text = (tree.root / "kernel.py").read_text().strip()
        self.texts.append(text)
        if text.startswith("broken"):
            raise UsageError("the suite cannot be read: SyntaxError", "mend it")
        if text.startswith("busy"):
            raise MachineError("the GPU is busy", "wait")
        status = Status.FAILED if text.startswith("failing") else Status.OK
        for case in self._waiting(settings, settings.done, progress):
            sink(result(case, status=status))
            if text == self.stop_at:
                raise KeyboardInterrupt


@pytest.fixture
def past(cli: Cli) -> Past:
    cli.session = Past()
    return cli.session


def history(cli: Cli, texts: list[str]) -> list[str]:
    return [cli.commit(f"{text}\n", f"commit {text}") for text in texts]


def filled(cli: Cli, *arguments: str) -> dict[str, Any]:
    answer = cli("backfill", *arguments, "--json")
    assert answer.code == 0, answer.err
    document: dict[str, Any] = json.loads(answer.out)
    return document


def stored(cli: Cli) -> list[Run]:
    with open_store(str(cli.database)) as store:
        return store.reader.runs(limit=100)


def test_the_ends_come_first_then_the_middles(cli: Cli, past: Past) -> None:
    shas = history(cli, list("abcdefgh"))
    found = filled(cli, f"{shas[0]}..main")
    assert past.texts == ["h", "b", "e", "g", "d", "f", "c"] or past.texts[:3] == ["h", "b", "e"]
    assert sorted(past.texts) == list("bcdefgh")
    assert [run["state"] for run in found["runs"]] == ["measured"] * 7
    assert {run.commit.branch for run in stored(cli)} == {"main"}
    assert found["left"] == 0


def test_what_the_store_has_is_not_measured_again(cli: Cli, past: Past) -> None:
    shas = history(cli, list("abcde"))
    filled(cli, f"{shas[0]}..main", "--limit", "2")
    assert past.texts == ["e", "b"]
    found = filled(cli, f"{shas[0]}..main")
    assert past.texts == ["e", "b", "c", "d"] or past.texts == ["e", "b", "d", "c"]
    assert found["known"] == 2 and filled(cli, f"{shas[0]}..main")["runs"] == []
    # A weaker or narrower run is no answer; a stronger or wider one is.
    assert (
        len(filled(cli, f"{shas[0]}..main", "--profile", "quick", "-k", "decode", "--dry-run")["runs"]) == 0
    )
    assert len(filled(cli, f"{shas[0]}..main", "--profile", "full", "--dry-run")["runs"]) == 4
    filled(cli, f"{shas[1]}..{shas[2]}", "--profile", "full", "-k", "decode")
    assert len(filled(cli, f"{shas[0]}..main", "--profile", "full", "--dry-run")["runs"]) == 4


def test_another_environment_is_another_history(cli: Cli, past: Past) -> None:
    history(cli, ["a"])
    filled(cli, "main")
    cli.machine = Environment(host="here", cpu="a processor", torch="2.14", triton="3.7", python="3.12")
    assert len(filled(cli, "main")["runs"]) == 1


def test_a_commit_that_cannot_be_measured_is_recorded_and_passed_over(cli: Cli, past: Past) -> None:
    shas = history(cli, ["a", "b", "broken", "failing", "c"])
    found = filled(cli, f"{shas[0]}..main")
    assert {run["subject"]: run["state"] for run in found["runs"]} == {
        "commit b": "measured",
        "commit broken": "failed",
        "commit failing": "failed",
        "commit c": "measured",
    }
    past.texts.clear()
    answer = cli("backfill", f"{shas[0]}..main")
    assert past.texts == [] and "2 failed before (--again tries them)" in answer.err
    assert len(filled(cli, f"{shas[0]}..main", "--again")["runs"]) == 2
    with open_store(str(cli.database)) as store:
        run = store.reader.run(shas[2])
        assert [r.message for r in store.reader.results(run.id)] == ["the suite cannot be read: SyntaxError"]


def test_the_machines_trouble_ends_it_and_is_nobodys_fault(cli: Cli, past: Past) -> None:
    shas = history(cli, ["a", "b", "busy"])
    assert cli("backfill", f"{shas[0]}..main").code == 3
    assert stored(cli) == []


def test_an_interrupted_one_goes_on_with_the_same_run(cli: Cli, past: Past) -> None:
    shas = history(cli, ["a", "b", "c"])
    past.stop_at = "b"
    assert cli("backfill", f"{shas[0]}..main").code == 130
    past.stop_at = ""
    past.measured.clear()
    found = filled(cli, f"{shas[0]}..main")
    assert [run["subject"] for run in found["runs"]] == ["commit b"]
    assert len(stored(cli)) == 2 and all(run.finished_at for run in stored(cli))


def test_commits_that_change_nothing_that_counts_are_left_out(cli: Cli, past: Past) -> None:
    (cli.folder / "pyproject.toml").write_text('[tool.perfsuite]\nsuite = "suite"\npaths = ["kernel.py"]\n')
    shas = history(cli, ["a", "b"])
    for number in range(3):
        (cli.folder / "README").write_text(str(number))
        cli.git("add", "--all")
        cli.git("commit", "--quiet", "-m", "words")
    found = filled(cli, f"{shas[0]}..main", "--dry-run")
    assert (found["commits"], found["unchanged"], len(found["runs"])) == (4, 3, 1)
    assert "3 change nothing that counts" in cli("backfill", f"{shas[0]}..main", "--dry-run").err
    assert len(filled(cli, f"{shas[0]}..main", "--dry-run", "--all-commits")["runs"]) == 4
    # What is named is measured whatever it changes.
    assert [run["state"] for run in filled(cli, "main")["runs"]] == ["measured"]


def test_every_so_many_th_from_the_newest(cli: Cli, past: Past) -> None:
    shas = history(cli, list("abcdefgh"))
    found = filled(cli, f"{shas[0]}..main", "--every", "3", "--dry-run")
    assert [run["subject"][-1] for run in found["runs"]] == ["h", "b", "e"]
    assert past.texts == [] and {run["state"] for run in found["runs"]} == {"planned"}


def test_a_commit_of_another_branch_is_refused(cli: Cli, past: Past) -> None:
    cli.git("switch", "--quiet", "-c", "other")
    history(cli, ["x"])
    answer = cli("backfill", "other")
    assert answer.code == 2 and "is not part of main" in answer.err
    assert cli("backfill", "nowhere..main").code == 2


def test_new_points_raise_alerts(cli: Cli, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    shas = []
    for number, text in enumerate("abcdefghijklmnop"):
        # Points are in the order of their commits' dates, which are of seconds.
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{1_700_000_000 + number} +0000")
        shas += history(cli, [text])

    def moved(tree: Any, settings: Any, sink: Any, progress: Any) -> None:
        late = (tree.root / "kernel.py").read_text() >= "i"
        for case in FakeSession._waiting(past, settings, settings.done, progress):
            sink(replace(result(case, scale=1.5 if late else 1.0)))

    monkeypatch.setattr(past, "run", moved)
    answer = cli("backfill", f"{shas[0]}~1..main")
    assert "new or changed: perfsuite alerts" in answer.err
    with open_store(str(cli.database)) as store:
        assert {alert.after for alert in store.reader.alerts() if alert.kind == "slower"} == {shas[8]}


def test_the_table_says_what_is_left(cli: Cli, past: Past) -> None:
    shas = history(cli, list("abcde"))
    answer = cli("backfill", f"{shas[0]}..main", "--limit", "1")
    assert "3 commits are left." in answer.out and "[1/1]" in answer.err
