"""`perfsuite run` and `report`: composition, resuming, bad input, exit codes."""

from __future__ import annotations

import errno
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from cli_fakes import CASES, Cli, result

from perfsuite.cli.series import stored_series
from perfsuite.model import Status
from perfsuite.store import open_store


def stop_at(case: str, error: BaseException):  # type: ignore[no-untyped-def]
    def before(now: str) -> None:
        if now == case:
            raise error

    return before


def test_a_run_is_measured_stored_and_shown(cli: Cli) -> None:
    answer = cli("run")
    assert answer.code == 0, answer.err
    for case in CASES:
        assert case in answer.out
    assert f"[4/4] {CASES[3]}  ok" in answer.err
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
        assert run.finished_at is not None
        assert (run.commit.subject, run.commit.branch, run.commit.dirty) == ("first", "main", "")
        assert (run.kind, run.repository, run.profile) == ("run", "watched", "pr")
        assert store.reader.finished_cases(run.id) == set(CASES)
    assert cli.git("status", "--porcelain") == ""


def test_commits_of_one_second_keep_their_order(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a rebase makes them; measured newest first, as a backfill does."""
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-01T12:00:00Z")
    shas = [cli.commit(f"{number}\n") for number in range(4)]
    for sha in reversed(shas[:3]):
        assert cli("run", "--revision", sha, "--branch", "main").code == 0
    assert cli("run").code == 0
    with open_store(cli.database, create=False) as store:
        (series,) = stored_series(store.reader, CASES[0], branch="main")
    assert [point.run.commit.sha for point in series.points] == shas
    assert [point.run.commit.position for point in series.points] == [2, 3, 4, 5]


def test_the_session_is_told_what_was_asked(cli: Cli) -> None:
    cli("run", "-k", "decode", "--profile", "full", "--case-timeout", "7")
    ((tree, settings),) = cli.session.seen
    assert (tree.root, tree.suite) == (cli.folder, "suite")
    assert (settings.profile, settings.pattern, settings.case_timeout_s) == ("full", "decode", 7.0)
    assert settings.target == "sm_90"
    assert cli.session.measured == [CASES[2]]


def test_json_goes_to_standard_output_or_a_file(cli: Cli) -> None:
    document = json.loads(cli("run", "--json").out)
    assert document["schema"] == 1
    assert [entry["case"] for entry in document["results"]] == list(CASES)
    answer = cli("run", "--json", "out.json", "-k", "decode")
    assert CASES[2] in answer.out
    assert len(json.loads((cli.folder / "out.json").read_text())["results"]) == 1


def test_a_red_gate_is_exit_code_1(cli: Cli) -> None:
    cli.session.make = lambda case, _: result(case, status=Status.INCORRECT)
    assert cli("run").code == 1


def test_a_suite_can_be_named_without_any_configuration(cli: Cli) -> None:
    (cli.folder / "pyproject.toml").unlink()
    assert cli("run", "suite").code == 0
    assert cli.session.seen[0][0].suite == "suite"
    answer = cli("run")
    assert answer.code == 2
    assert "pyproject.toml" in answer.err


def test_outside_git_it_is_unversioned(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "suite").mkdir(parents=True)
    cli.folder = tmp_path / "elsewhere"
    assert cli("run", "suite").code == 0
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
    assert (run.commit.sha, run.repository) == ("0" * 40, "elsewhere")


def test_ctrl_c_keeps_what_was_measured_and_resume_finishes_it(cli: Cli) -> None:
    cli.session.before = stop_at(CASES[2], KeyboardInterrupt())
    answer = cli("run")
    assert answer.code == 130
    assert "--resume" in answer.err
    cli.session.before = lambda case: None
    assert cli("run", "--resume").code == 0
    assert cli.session.measured == list(CASES)
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
        assert run.finished_at is not None


def test_resume_of_other_code_or_another_machine_begins_anew(cli: Cli) -> None:
    cli.session.before = stop_at(CASES[1], KeyboardInterrupt())
    cli("run")
    cli.session.before = lambda case: None
    (cli.folder / "kernel.py").write_text("changed\n")
    answer = cli("run", "--resume")
    assert answer.code == 0 and "nothing to resume" in answer.err
    cli.git("checkout", "--quiet", "kernel.py")
    cli.machine = replace(cli.machine, torch="2.12")
    assert "nothing to resume" in cli("run", "--resume").err
    assert len(cli.session.measured) == 1 + 2 * len(CASES)


def test_an_unknown_pattern_names_the_nearest_and_leaves_no_run(cli: Cli) -> None:
    answer = cli("run", "-k", "decoed")
    assert answer.code == 2
    assert "'decoed'" in answer.err and "moe/decode[m=1]" in answer.err
    with open_store(cli.database) as store:
        assert store.reader.runs() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.perfsuite", "not valid TOML"),
        ('[tool.perfsuite]\nsuite = "suit"\n', "did you mean 'suite'"),
        ('[tool.perfsuite]\nsuite = "suite"\nthresold = 1\n', "did you mean 'threshold'"),
    ],
)
def test_a_wrong_pyproject_is_exit_code_2(cli: Cli, text: str, told: str) -> None:
    (cli.folder / "pyproject.toml").write_text(text)
    answer = cli("run")
    assert answer.code == 2
    assert told in answer.err and "next:" in answer.err and "Traceback" not in answer.err
    assert cli.session.seen == []


def test_a_database_of_a_newer_version_is_refused_before_measuring(cli: Cli) -> None:
    cli("run", "-k", "decode")
    with sqlite3.connect(cli.database) as connection:
        connection.execute("UPDATE perfsuite_schema SET version_num = 'r9999'")
    answer = cli("run")
    assert answer.code == 2
    assert "r9999" in answer.err or "newer" in answer.err
    assert len(cli.session.seen) == 1


def test_a_state_folder_that_cannot_be_written_is_exit_code_3(cli: Cli) -> None:
    (cli.folder / ".perfsuite").write_text("in the way")
    answer = cli("run")
    assert answer.code == 3
    assert "cannot write" in answer.err and "next:" in answer.err


def test_a_disk_that_fills_up_is_exit_code_3_and_keeps_what_there_is(cli: Cli) -> None:
    cli.session.before = stop_at(CASES[1], OSError(errno.ENOSPC, "No space left on device", "/x"))
    answer = cli("run")
    assert answer.code == 3
    assert "No space left on device" in answer.err and "Traceback" not in answer.err
    with open_store(cli.database, create=False) as store:
        assert store.reader.finished_cases(store.reader.runs()[0].id) == {CASES[0]}


def test_a_bug_is_exit_code_4_with_a_file(cli: Cli) -> None:
    cli.session.before = stop_at(CASES[1], ZeroDivisionError("oops"))
    answer = cli("run")
    assert answer.code == 4
    (crash,) = (cli.folder / ".perfsuite").glob("crash-*.txt")
    assert str(crash) in answer.err and "oops" in answer.err and "Traceback" not in answer.err
    assert "Traceback" in crash.read_text()


def test_a_folder_that_is_missing_is_told_before_measuring(cli: Cli) -> None:
    answer = cli("run", "--json=nowhere/out.json")
    assert answer.code == 2 and "mkdir -p nowhere" in answer.err
    assert cli.session.seen == []


def test_the_report_is_the_newest_or_the_named_one(cli: Cli) -> None:
    cli("run", "-k", "decode")
    cli("run", "-k", "rows")
    with open_store(cli.database, create=False) as store:
        newest, oldest = store.reader.runs()
    assert "rows" in cli("report").out
    named = cli("report", oldest.id[:8])
    assert "decode" in named.out and "rows" not in named.out
    assert json.loads(cli("report", newest.id, "--format", "json").out)["results"][0]["case"] == CASES[3]
    assert cli("report", "--format", "markdown", "-o", "r.md").out == ""
    assert "rows" in (cli.folder / "r.md").read_text()
    unknown = cli("report", "ffffffffffff")
    assert unknown.code == 2 and "ffffffffffff" in unknown.err


def test_a_report_without_a_store_does_not_make_one(cli: Cli) -> None:
    answer = cli("report")
    assert answer.code == 2 and "next:" in answer.err
    assert not cli.database.exists()


def test_the_report_of_red_results_is_red(cli: Cli) -> None:
    cli.session.make = lambda case, _: result(case, status=Status.FAILED)
    cli("run")
    assert cli("report").code == 1
