"""`perfsuite compare`: which commits, from which files, stored, judged and resumed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cli_fakes import CASES, Cli, result, slower

from perfsuite.model import Side, Status, Verdict
from perfsuite.store import open_store


def worktrees(cli: Cli) -> int:
    return cli.git("worktree", "list", "--porcelain").count("worktree ") - 1


def test_two_revisions(cli: Cli) -> None:
    cli.commit("two\n", "second")
    cli.session.make = slower
    answer = cli("compare", "HEAD~1", "HEAD", "--json")
    document = json.loads(answer.out)
    assert answer.code == document["exit_code"] == 1
    assert {entry["verdict"] for entry in document["comparisons"]} == {Verdict.REGRESSED.value}
    assert cli.session.contents == ["one\n", "two\n"]
    assert worktrees(cli) == 0


def test_the_same_code_is_identical_and_not_red(cli: Cli) -> None:
    cli.commit("two\n")
    answer = cli("compare", "HEAD~1")
    assert answer.code == 0
    assert "identical" in answer.out


def test_without_arguments_the_working_tree_against_the_merge_base(cli: Cli) -> None:
    cli.git("switch", "--quiet", "-c", "work")
    cli.commit("two\n", "mine")
    cli.git("switch", "--quiet", "main")
    cli.commit("three\n", "theirs")
    cli.git("switch", "--quiet", "work")
    (cli.folder / "kernel.py").write_text("uncommitted\n")
    (cli.folder / "suite" / "test_new.py").write_text("")
    seen = []

    def edit(case: str) -> None:
        seen.append((cli.session.seen[0][1].root / "suite" / "test_new.py").exists())
        (cli.folder / "kernel.py").write_text("edited meanwhile\n")

    cli.session.before = edit
    assert cli("compare").code == 0
    assert cli.session.contents == ["one\n", "uncommitted\n"]
    assert seen[0]
    with open_store(cli.database, create=False) as store:
        comparison = store.reader.comparison("latest")
    assert (comparison.base.commit.subject, comparison.head.commit.subject) == ("first", "mine")
    assert comparison.head.commit.dirty and not comparison.base.commit.dirty
    assert (comparison.base.kind, comparison.head.kind) == ("base", "head")
    assert comparison.finished_at and comparison.base.finished_at and comparison.head.finished_at


def test_nothing_to_compare_says_what_to_name(cli: Cli) -> None:
    answer = cli("compare")
    assert answer.code == 2
    assert "nothing to compare" in answer.err and "HEAD~1" in answer.err


@pytest.mark.parametrize("arguments", [("nowhere",), ("HEAD", "nowhere")])
def test_an_unknown_revision_is_exit_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    answer = cli("compare", *arguments)
    assert answer.code == 2
    assert "'nowhere'" in answer.err and "next:" in answer.err
    assert cli.session.seen == []


def test_thresholds_come_from_the_command_line_and_the_configuration(cli: Cli) -> None:
    rules = '[[tool.perfsuite.case]]\nmatch = "moe/*"\nthreshold = "30%"\n'
    (cli.folder / "pyproject.toml").write_text(f'[tool.perfsuite]\nsuite = "suite"\n{rules}')
    cli.commit("two\n")
    cli.session.make = slower
    document = json.loads(cli("compare", "HEAD~1", "--threshold", "5%", "--json").out)
    verdicts = {entry["case"]: entry["verdict"] for entry in document["comparisons"]}
    assert verdicts[CASES[3]] == "regressed"
    assert verdicts[CASES[0]] != "regressed"
    wrong = cli("compare", "HEAD~1", "--threshold", "much")
    assert wrong.code == 2 and "'much'" in wrong.err


def test_an_incorrect_head_is_red_and_written_as_markdown(cli: Cli) -> None:
    cli.commit("two\n")

    def make(case: str, side: Side):  # type: ignore[no-untyped-def]
        return result(case) if side is Side.BASE else result(case, status=Status.INCORRECT, code="b")

    cli.session.make = make
    answer = cli("compare", "HEAD~1", "--markdown", "report.md", "--json=out")
    assert answer.code == 1
    assert "incorrect" in answer.out
    assert "incorrect" in (cli.folder / "report.md").read_text()
    assert json.loads((cli.folder / "out").read_text())["exit_code"] == 1


def test_an_interrupted_comparison_resumes_and_leaves_no_worktree(cli: Cli) -> None:
    cli.commit("two\n")

    def stop(case: str) -> None:
        if case == CASES[2]:
            raise KeyboardInterrupt

    cli.session.before = stop
    answer = cli("compare", "HEAD~1")
    assert answer.code == 130 and "--resume" in answer.err
    assert worktrees(cli) == 0
    assert not [path for path in (cli.folder / ".perfsuite" / "worktrees").iterdir() if path.is_dir()]
    cli.session.before = lambda case: None
    assert cli("compare", "HEAD~1", "--resume").code == 0
    assert cli.session.measured == list(CASES)
    with open_store(cli.database, create=False) as store:
        assert len(store.reader.comparisons()) == 1


def test_a_repository_below_the_top_of_git(cli: Cli) -> None:
    below = cli.folder / "part"
    (below / "suite").mkdir(parents=True)
    (below / "suite" / "test_a.py").write_text("")
    (below / "pyproject.toml").write_text('[tool.perfsuite]\nsuite = "suite"\n')
    (below / "kernel.py").write_text("below\n")
    cli.commit("one\n")
    cli.commit("two\n")
    cli.folder = below
    assert cli("compare", "HEAD~1").code == 0
    assert cli.session.contents == ["below\n", "below\n"]
    assert cli.session.seen[0][0].root.name == "part"


def test_the_report_shows_the_comparison_again(cli: Cli) -> None:
    cli("run")
    cli.commit("two\n")
    cli.session.make = slower
    shown = cli("compare", "HEAD~1")
    again = cli("report")
    assert (again.out, again.code) == (shown.out, 1)


def test_different_environments_are_refused_by_name(cli: Cli) -> None:
    cli.commit("two\n")
    cli("compare", "HEAD~1")
    with open_store(cli.database, create=False) as store:
        comparison = store.reader.comparison("latest")
        head = replace(comparison.head, environment=replace(comparison.head.environment, torch="2.12"))
        store.start_run(head)
    answer = cli("report", comparison.id)
    assert answer.code == 2
    assert "torch" in answer.err
