"""`--events`: progress as JSON lines, for whoever started the command."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli_fakes import CASES, Cli, slower

from perfsuite.cli.progress import showing_progress
from perfsuite.store import open_store


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_tells_every_step(cli: Cli) -> None:
    answer = cli("run", "--events", "events.jsonl", "-k", "decode or rows")
    assert answer.code == 0, answer.err
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
    decode, rows = CASES[2:]
    assert lines_of(cli.folder / "events.jsonl") == [
        {"event": "total", "cases": 2},
        {"event": "case", "case": decode, "stage": "measuring"},
        {"event": "started", "id": run.id},
        {"event": "done", "case": decode, "status": "ok", "done": 1, "total": 2},
        {"event": "case", "case": rows, "stage": "measuring"},
        {"event": "done", "case": rows, "status": "ok", "done": 2, "total": 2},
    ]
    assert f"[2/2] {rows}  ok" in answer.err, "people are told the same"


def test_a_comparison_tells_a_descriptor_its_id_and_notes(cli: Cli) -> None:
    cli.commit("two\n", "second")
    read, write = os.pipe()
    cli.session.make = slower
    assert cli("compare", "HEAD~1", "HEAD", "--events", f"fd:{write}").code == 1
    os.write(write, b"mine\n")
    os.close(write)
    with os.fdopen(read) as stream:
        *events, last = stream.read().splitlines()
    assert last == "mine", "the descriptor stays open for its owner"
    told = [json.loads(event) for event in events]
    with open_store(cli.database, create=False) as store:
        comparison = store.reader.comparison("latest")
    assert [event["id"] for event in told if event["event"] == "started"] == [comparison.id]
    assert any(event["event"] == "note" and "head " in event["text"] for event in told)
    assert told[-1] == {"event": "done", "case": CASES[3], "status": "ok", "done": 4, "total": 4}


def test_a_resumed_comparison_tells_its_id_first(cli: Cli) -> None:
    cli.commit("two\n", "second")

    def stop(case: str) -> None:
        if case == CASES[1]:
            raise KeyboardInterrupt

    cli.session.before = stop
    cli("compare", "HEAD~1", "HEAD", "--events", "first.jsonl")
    cli.session.before = lambda case: None
    cli("compare", "HEAD~1", "HEAD", "--resume", "--events", "second.jsonl")
    first, second = lines_of(cli.folder / "first.jsonl"), lines_of(cli.folder / "second.jsonl")
    (started,) = [event for event in first if event["event"] == "started"]
    assert [event for event in second if event["event"] == "started"] == [started]
    assert "--resume" in first[-1]["text"]


def test_noise_tells_too(cli: Cli) -> None:
    assert cli("noise", "-k", "decode", "--events", "events.jsonl").code == 0
    assert lines_of(cli.folder / "events.jsonl")[-1]["event"] == "done"


def test_a_reader_that_went_away_does_not_matter(cli: Cli) -> None:
    read, write = os.pipe()
    os.close(read)
    answer = cli("run", "--events", f"fd:{write}")
    os.close(write)
    assert answer.code == 0, answer.err
    assert cli.session.measured == list(CASES)


def test_a_full_disk_ends_the_telling_alone(cli: Cli) -> None:
    answer = cli("run", "--events", "/dev/full")
    assert answer.code == 0 and cli.session.measured == list(CASES)


@pytest.mark.parametrize("case", ["a\nb[m=1]", "moe[\udcff]", "moe[µ=\x00]", '{"event":"done"}'])
def test_any_case_id_is_one_line(tmp_path: Path, case: str) -> None:
    file = tmp_path / "events"
    with showing_progress(color=False, stream=io.StringIO(newline=""), events=str(file)) as progress:
        progress.total(1)
        progress.done(case, "failed")
        progress.done(case, "ok")
    total, first, again = lines_of(file)
    assert total == {"event": "total", "cases": 1}
    assert first == {"event": "done", "case": case, "status": "failed", "done": 1, "total": 1}
    assert (again["done"], again["total"]) == (2, 2)


def test_waiting_is_told_every_time_to_machines_and_once_to_people(tmp_path: Path) -> None:
    file, stream = tmp_path / "events", io.StringIO()
    with showing_progress(color=False, stream=stream, events=str(file)) as progress:
        progress.waiting("for a")
        progress.waiting("for a")
        progress.waiting("for b")
        progress.going_on()
        progress.confinement("trials not confined")
    assert stream.getvalue().splitlines() == [
        "waiting: for a",
        "waiting: for b",
        "going on",
        "trials not confined",
    ]
    assert lines_of(file) == [
        {"event": "waiting", "text": "for a"},
        {"event": "waiting", "text": "for a"},
        {"event": "waiting", "text": "for b"},
        {"event": "going on"},
        {"event": "confinement", "text": "trials not confined"},
    ]


@pytest.mark.parametrize("target", ["fd:987", "fd:x", "fd:", "fd:99999999999999999999", "suite", "no/file"])
def test_a_wrong_target_is_told_before_measuring(cli: Cli, target: str) -> None:
    answer = cli("run", "--events", target)
    assert answer.code == 2 and "next:" in answer.err, answer.err
    assert cli.session.seen == []
