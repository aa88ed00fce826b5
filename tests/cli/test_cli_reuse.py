"""`compare --reuse`: whose blocks are taken over, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cli_fakes import CASES, MACHINE, Cli, FakeSession, result, slower

from perfsuite.cli import reuse
from perfsuite.cli.lockstep import _earlier_times
from perfsuite.cli.measuring import now
from perfsuite.cli.series import stored_series
from perfsuite.measure import outcome
from perfsuite.model import REUSED, Side
from perfsuite.store import open_store


@dataclass
class AskingSession(FakeSession):
    """Takes over what is known, as `perfsuite.measure.pairing` does; `measured` is what it timed itself."""

    def compare(
        self, base: Any, head: Any, settings: Any, sink: Any, progress: Any, earlier: Mapping[str, Any]
    ) -> None:
        self.seen.append((base, head, settings))
        for case in self._waiting(settings, (), progress):
            of_base, of_head = self.make(case, Side.BASE), self.make(case, Side.HEAD)
            same = of_base.launches.same_code(of_head.launches)
            timed = None
            if not same:
                timed = settings.known(case, of_head.version, of_base.launches, of_head.launches)
            if timed is not None:
                of_base = outcome.with_blocks_of(of_base, timed.base, timed.comparison)
                of_head = outcome.with_blocks_of(of_head, timed.head, timed.comparison)
            sink(Side.BASE, of_base)
            sink(Side.HEAD, of_head)
            if timed is None:
                self.measured.append(case)


@pytest.fixture
def cli(cli: Cli) -> Cli:
    """Two commits more, of which a comparison was made: head is 10 % slower in every case."""
    cli.session = AskingSession(make=slower)
    cli.commit("two\n")
    assert cli("compare", "HEAD~1", "HEAD").code == 1
    cli.session.measured.clear()
    return cli


def verdicts(document: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    facts = ("verdict", "change", "low", "high", "pairs", "blocks", "confirmed", "base_ns", "head_ns")
    return {c["case"]: tuple(c[fact] for fact in facts) for c in document["comparisons"]}


def again(cli: Cli, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        cli("compare", "HEAD~1", "HEAD", "--reuse", "--json", *arguments).out
    )
    return document


def first_id(cli: Cli) -> str:
    with open_store(cli.database, create=False) as store:
        return store.reader.comparisons()[-1].id


def test_the_verdicts_are_those_of_the_earlier_comparison(cli: Cli) -> None:
    first = first_id(cli)
    document = again(cli)
    assert cli.session.measured == []
    assert verdicts(document) == verdicts(json.loads(cli("report", first, "--format", "json").out))
    assert document["exit_code"] == 1
    for compared in document["comparisons"]:
        assert f"measured in comparison {first[:12]}, of the same machine code" in compared["why"]
    assert f"measured in comparison {first[:12]}" in cli("report").out


def test_a_changed_kernel_is_measured(cli: Cli) -> None:
    cli.session.make = lambda case, side: (
        result(case, scale=1.2, code="c") if side is Side.HEAD and case == CASES[2] else slower(case, side)
    )
    document = again(cli)
    assert cli.session.measured == [CASES[2]]
    why = {compared["case"]: " ".join(compared["why"]) for compared in document["comparisons"]}
    assert "measured in comparison" not in why[CASES[2]]
    assert "measured in comparison" in why[CASES[0]]


def test_it_is_by_code_not_by_commit(cli: Cli) -> None:
    cli.commit("three\n")
    assert cli("compare", "HEAD~2", "HEAD", "--reuse").code == 1
    assert cli.session.measured == []


def test_without_reuse_everything_is_measured(cli: Cli) -> None:
    cli("compare", "HEAD~1", "HEAD")
    assert cli.session.measured == list(CASES)


@pytest.mark.parametrize("arguments", [("--profile", "full"), ("--db", "other.db")], ids=str)
def test_another_profile_or_store_knows_nothing(cli: Cli, arguments: tuple[str, ...]) -> None:
    again(cli, *arguments)
    assert cli.session.measured == list(CASES)


def test_another_environment_knows_nothing(cli: Cli) -> None:
    cli.machine = replace(MACHINE, torch="2.14")
    again(cli)
    assert cli.session.measured == list(CASES)


def test_what_is_too_old_does_not_count(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "NEWEST", timedelta(0))
    again(cli)
    assert cli.session.measured == list(CASES)


def test_what_was_taken_over_is_not_handed_on(cli: Cli) -> None:
    """Its age is that of the comparison which measured it."""
    first = first_id(cli)
    again(cli)
    document = again(cli)
    assert all(f"comparison {first[:12]}" in " ".join(c["why"]) for c in document["comparisons"])
    with open_store(cli.database) as store:
        measured = store.reader.comparison(first)
        store.start_comparison(replace(measured, started_at=measured.started_at - timedelta(days=31)))
    again(cli)
    assert cli.session.measured == list(CASES)


def test_what_was_not_decided_is_measured(cli: Cli) -> None:
    with open_store(cli.database) as store:
        comparison = store.reader.comparison("latest")
        for run in (comparison.base, comparison.head):
            for kept in store.reader.results(run.id):
                # One block decides nothing.
                store.save_result(run.id, replace(kept, blocks=kept.blocks[:1]))
    again(cli)
    assert cli.session.measured == list(CASES)


def test_a_machine_that_moved_says_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from perfsuite.stats import judge

    monkeypatch.setattr(judge, "machine_sentence", lambda *_: "the canary moved by 3 %")
    again(cli)
    assert cli.session.measured == list(CASES)


@pytest.fixture
def stranger(cli: Cli) -> Cli:
    """The only comparison that is stored is one of a stranger's code."""
    cli.database.unlink()
    assert cli("compare", "HEAD~1", "HEAD", "--untrusted").code == 1
    cli.session.measured.clear()
    return cli


def test_a_strangers_comparison_is_no_source_for_anybody(stranger: Cli) -> None:
    again(stranger, "--untrusted")
    assert stranger.session.measured == list(CASES)
    assert "head is code from outside" in stranger("report").out
    with open_store(stranger.database, create=False) as store:
        assert store.reader.noise("watched", MACHINE.fingerprint) == {}
    again(stranger)
    assert stranger.session.measured == 2 * list(CASES)


def test_neither_canaries_nor_series_hear_of_strangers(stranger: Cli) -> None:
    for command in (("compare", "HEAD~1", "HEAD"), ("run",), ("run", "--revision", "HEAD", "--untrusted")):
        stranger(*command)
    with open_store(stranger.database, create=False) as store:
        trusted, untrusted = store.reader.comparisons()
        later = replace(trusted, base=replace(trusted.base, started_at=now() + timedelta(days=1)))
        bases = [point.run.id for point in store.reader.series(CASES[0], kinds=["base"])]
        assert sorted(bases) == sorted([trusted.base.id, untrusted.base.id])
        assert len(_earlier_times(store.reader, later, CASES[0])) == 1
        (one,) = stored_series(store.reader, CASES[0])
        assert len(store.reader.series(CASES[0], kinds=["run"])) == 2
        assert [point.run.environment.details.get("untrusted") for point in one.points] == [None]


def test_a_stranger_may_be_told_what_was_measured_before(cli: Cli) -> None:
    again(cli, "--untrusted")
    assert cli.session.measured == []
    with open_store(cli.database, create=False) as store:
        assert len(store.reader.noise("watched", MACHINE.fingerprint)) == len(CASES)


def test_a_strangers_comparison_is_not_the_answer_to_once(stranger: Cli) -> None:
    assert stranger("compare", "HEAD~1", "HEAD", "--once", "--untrusted").code == 1
    assert stranger.session.measured == []
    assert stranger("compare", "HEAD~1", "HEAD", "--once").code == 1
    assert stranger.session.measured == list(CASES)
    assert stranger("compare", "HEAD~1", "HEAD", "--once", "--untrusted").code == 1
    assert stranger.session.measured == list(CASES)


@pytest.mark.parametrize("first", [(), ("--untrusted",)], ids=["trusted", "stranger"])
@pytest.mark.parametrize("command", [("compare", "HEAD~1", "HEAD"), ("run",)], ids=lambda words: words[0])
def test_nothing_is_resumed_with_other_trust(
    cli: Cli, command: tuple[str, ...], first: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(case: str) -> None:
        if case == CASES[2]:
            raise KeyboardInterrupt

    other = () if first else ("--untrusted",)
    with monkeypatch.context() as patch:
        patch.setattr(cli.session, "before", stop)
        cli(*command, "--profile", "full", *first)
    assert "measuring everything" in cli(*command, "--profile", "full", "--resume", *other).err
    assert "resuming" in cli(*command, "--profile", "full", "--resume", *first).err


def test_noise_is_told_once(cli: Cli) -> None:
    def noise(cli: Cli) -> Any:
        with open_store(cli.database, create=False) as store:
            return store.reader.noise("watched", MACHINE.fingerprint)

    before = noise(cli)
    assert set(before) == set(CASES)
    again(cli)
    assert noise(cli) == before


def test_the_store_keeps_whose_blocks_they_are(cli: Cli) -> None:
    first = first_id(cli)
    again(cli)
    with open_store(cli.database, create=False) as store:
        comparison = store.reader.comparison("latest")
        for kept in store.reader.results(comparison.head.id):
            assert kept.extra[REUSED] == first[:12]
