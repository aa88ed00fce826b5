"""`--once`: what is finished is reported. `run --revision`: another commit than the working tree."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cli_fakes import CASES, MACHINE, Cli, slower

from perfsuite.cli.alone import measure_revision
from perfsuite.cli.measuring import make_plan
from perfsuite.cli.options import Profile
from perfsuite.cli.services import Services
from perfsuite.errors import UsageError
from perfsuite.git import Repository
from perfsuite.store import open_store


def started(cli: Cli, *arguments: str) -> list[str]:
    """The ids that a command tells."""
    file = cli.folder / "events.jsonl"
    file.unlink(missing_ok=True)
    cli(*arguments, "--events", str(file))
    events = [json.loads(line) for line in file.read_text().splitlines()]
    return [event["id"] for event in events if event["event"] == "started"]


def test_a_finished_comparison_is_reported_and_not_measured_again(cli: Cli) -> None:
    cli.commit("two\n")
    cli.session.make = slower
    first = cli("compare", "HEAD~1", "HEAD", "--resume", "--once")
    again = cli("compare", "HEAD~1", "HEAD", "--resume", "--once")
    assert (first.code, again.code) == (1, 1)
    assert again.out == first.out
    assert "nothing to measure" in again.err
    assert cli.session.measured == list(CASES)
    with open_store(cli.database, create=False) as store:
        (comparison,) = store.reader.comparisons()
    assert started(cli, "compare", "HEAD~1", "HEAD", "--once") == [comparison.id]
    assert json.loads(cli("compare", "HEAD~1", "HEAD", "--once", "--json").out)["id"] == comparison.id


def test_anything_else_that_was_asked_is_measured(cli: Cli) -> None:
    cli.commit("two\n")
    once = ("compare", "HEAD~1", "HEAD", "--resume", "--once")
    cli(*once)
    for further in (("--threshold", "7%"), ("--profile", "quick"), ("-k", "decode")):
        before = len(cli.session.measured)
        assert cli(*once, *further).code == 0
        assert len(cli.session.measured) > before, further
    cli.machine = replace(MACHINE, torch="2.14")
    before = len(cli.session.measured)
    cli(*once)
    assert len(cli.session.measured) == before + len(CASES)
    (cli.folder / "kernel.py").write_text("uncommitted\n")
    cli("compare", "HEAD~1", "--once")
    assert len(cli.session.measured) == before + 2 * len(CASES)


def test_without_once_it_is_measured_again(cli: Cli) -> None:
    cli.commit("two\n")
    for _ in range(2):
        cli("compare", "HEAD~1", "HEAD", "--resume")
    assert len(cli.session.measured) == 2 * len(CASES)


def test_what_is_unfinished_is_finished(cli: Cli) -> None:
    cli.commit("two\n")

    def stop(case: str) -> None:
        if case == CASES[2]:
            raise KeyboardInterrupt

    cli.session.before = stop
    assert cli("compare", "HEAD~1", "HEAD", "--resume", "--once").code == 130
    cli.session.before = lambda case: None
    assert cli("compare", "HEAD~1", "HEAD", "--resume", "--once").code == 0
    assert cli.session.measured == list(CASES)


def test_a_finished_run_is_reported_and_not_measured_again(cli: Cli) -> None:
    first = cli("run", "--resume", "--once")
    again = cli("run", "--resume", "--once")
    assert again.out == first.out and "nothing to measure" in again.err
    assert cli.session.measured == list(CASES)
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
    assert started(cli, "run", "--once") == [run.id]
    (cli.folder / "kernel.py").write_text("uncommitted\n")
    cli("run", "--once")
    assert len(cli.session.measured) == 2 * len(CASES)


def test_what_another_measured_while_this_one_waited_is_not_measured_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.machine = replace(MACHINE, gpu="a GPU", gpu_uuid="GPU-1")
    from perfsuite.cli import ready

    prepare, waiting = ready._confined, [True]

    def meanwhile(*arguments: object) -> object:
        if waiting:
            waiting.clear()
            assert cli("run", "--once").code == 0
        return prepare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ready, "_confined", meanwhile)
    cli("run", "--once")
    assert cli.session.measured == list(CASES)


def test_another_commit_is_measured_from_a_clean_checkout(cli: Cli) -> None:
    first = cli.git("rev-parse", "HEAD")
    cli.commit("two\n", "second")
    (cli.folder / "kernel.py").write_text("uncommitted\n")
    answer = cli("run", "--revision", first[:10], "--branch", "main")
    assert answer.code == 0, answer.err
    tree, settings = cli.session.seen[0]
    assert tree.root != cli.folder and settings.state == cli.folder / ".perfsuite"
    assert not tree.root.exists(), "the checkout is removed"
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
    assert (run.commit.sha, run.commit.branch, run.commit.dirty) == (first, "main", "")
    assert (run.kind, run.repository) == ("run", "watched")


def test_a_revision_by_its_branch_needs_no_branch(cli: Cli) -> None:
    assert cli("run", "--revision", "main").code == 0
    with open_store(cli.database, create=False) as store:
        assert store.reader.runs()[0].commit.branch == "main"


def test_a_stored_run_joins_its_branch(cli: Cli) -> None:
    sha = cli.git("rev-parse", "HEAD")
    cli("run", "--revision", sha)
    with open_store(cli.database, create=False) as store:
        (alone,) = store.reader.runs()
    assert alone.commit.branch is None
    cli("run", "--revision", sha, "--branch", "main", "--once")
    assert cli.session.measured == list(CASES)
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
        assert (run.id, run.commit.branch, run.finished_at) == (alone.id, "main", alone.finished_at)
        assert len(store.reader.results(run.id)) == len(CASES)


@pytest.mark.parametrize("arguments", [("--revision", "nowhere"), ("--branch", "main"), ("--revision", "-x")])
def test_wrong_revisions_are_exit_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    answer = cli("run", *arguments)
    assert answer.code == 2 and "next:" in answer.err
    assert cli.session.seen == []


def test_measure_revision_resumes_and_measures_once(cli: Cli) -> None:
    sha = cli.git("rev-parse", "HEAD")
    services = Services({}, cli.folder, cli.session, lambda _: MACHINE)
    config = services.config()
    plan = make_plan(services, config, Profile.PR, "")
    repository = Repository.discover(cli.folder)

    def stop(case: str) -> None:
        if case == CASES[1]:
            raise KeyboardInterrupt

    with open_store(config.database) as store:
        cli.session.before = stop
        with pytest.raises(KeyboardInterrupt):
            measure_revision(plan, store, repository, sha, branch="main", resume=True)
        cli.session.before = lambda case: None
        run = measure_revision(plan, store, repository, sha, branch="main", resume=True, once=True)
        again = measure_revision(plan, store, repository, sha, branch="main", resume=True, once=True)
        assert run == again == store.reader.run(run.id)
        assert run.finished_at is not None
        with pytest.raises(UsageError):
            measure_revision(plan, store, repository, "nowhere")
    assert cli.session.measured == list(CASES)
