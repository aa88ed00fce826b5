"""The file of budgets, `perfsuite run` beside it, `perfsuite report --budgets`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli_fakes import CASES, MACHINE, PYPROJECT, Cli, result

from perfsuite.cli.budgets import read_budgets
from perfsuite.config import Config
from perfsuite.errors import UsageError
from perfsuite.model import Status
from perfsuite.report.budgets import Budget, budgets_text, measured_budgets
from perfsuite.store import import_document, open_store

ROOT = Path(__file__).parents[2]
GPU = replace(MACHINE, gpu="NVIDIA H200")
OURS = Config(root=ROOT, file=ROOT / "pyproject.toml", suite="", database="", budgets="kernels/budgets.toml")


def budgets_of(folder: Path, text: str) -> tuple[Budget, ...]:
    (folder / "budgets.toml").write_text(text)
    config = Config(root=folder, file=folder / "pyproject.toml", suite="", database="")
    return read_budgets(replace(config, budgets="budgets.toml"))


def configure(cli: Cli, text: str, more: str = "") -> None:
    (cli.folder / "pyproject.toml").write_text(f'{PYPROJECT}budgets = "budgets.toml"\n{more}')
    (cli.folder / "budgets.toml").write_text(text)
    cli.machine = GPU


def test_a_line_is_a_time_or_a_time_and_an_aim(tmp_path: Path) -> None:
    text = """
        ["NVIDIA H200"]
        "moe/decode[m=1]" = "12 µs"
        prefill = { at_most = "0.25 ms", aim = "0.15 ms" }
        ["NVIDIA A100*"]
        "moe/decode[m=1]" = "20 us"
    """
    assert budgets_of(tmp_path, text) == (
        Budget("NVIDIA H200", "moe/decode[m=1]", 12e3),
        Budget("NVIDIA H200", "prefill", 250e3, 150e3),
        Budget("NVIDIA A100*", "moe/decode[m=1]", 20e3),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[H200", ["not valid TOML"]),
        ('[H200]\na = "1 ms"\na = "2 ms"', ["not valid TOML"]),
        ('H200 = "1 ms"', ["H200 = '1 ms'", '["NVIDIA H200"]']),
        ("[H200]\na = 1.5", ['"H200"."a" = 1.5', '"0.25 ms"']),
        ('[H200]\na = "1.5"', ["'1.5'", '"0.25 ms"']),
        ('[H200]\na = "0.25 sec"', ["'0.25 sec'", '"0.25 ms"']),
        ('[H200]\na = "0 ms"', ["'0 ms'"]),
        ('[H200]\na = { aim = "1 ms" }', ['"H200"."a" = None', "at_most"]),
        ('[H200]\na = { at_most = "1 ms", aim = 2 }', ['"H200"."a".aim = 2']),
        ('[H200]\na = { at_most = "1 ms", aim = "2 ms" }', [".aim = '2 ms'", "'1 ms'"]),
        ('[H200]\na = { at_mots = "1 ms" }', [".at_mots", "did you mean 'at_most'"]),
        # A dot outside quotes makes a table in a table.
        ('[H200]\nqwen3.5 = "1 ms"', ['"H200"."qwen3".5', "quotes"]),
        ('[H200]\n"" = "1 ms"', ["not empty"]),
        ('[""]\na = "1 ms"', ["not empty"]),
    ],
)
def test_a_dirty_file_is_named_with_its_line_and_value(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        budgets_of(tmp_path, text)
    for part in (str(tmp_path / "budgets.toml"), *told):
        assert part in str(caught.value)
    assert caught.value.next_step


def test_a_run_says_which_budgets_were_kept(cli: Cli) -> None:
    configure(cli, '["NVIDIA H200"]\ndecode = "1 ms"\nprefill = "1 µs"\nnothing = "1 s"\n')
    answer = cli("run")
    assert answer.code == 0
    assert "Budgets on NVIDIA H200: 1 kept, 2 exceeded, 1 not measured." in answer.err
    assert f"  {CASES[0]}: 1.01" in answer.err
    assert "Budgets" not in answer.out
    # Nothing to say of a run without such cases, or on another GPU.
    assert "Budgets" not in cli("run", "-k", "rows").err
    cli.machine = replace(GPU, gpu="NVIDIA L4")
    assert "Budgets" not in cli("run").err


def test_a_whole_run_says_which_budgets_name_no_case(cli: Cli) -> None:
    configure(cli, f'["NVIDIA H200"]\n"{CASES[2]}" = "1 ms"\n"moe/decod[m=1]" = "1 ms"\n')
    told = "! the budget 'moe/decod[m=1]' of 'NVIDIA H200' names no case of this run, which measured all; "
    told += f"the nearest is {CASES[2]}"
    assert told not in cli("run").err
    assert told not in cli("run", "--profile", "full", "-k", "moe").err
    (cli.folder / "suite" / "part").mkdir(parents=True)
    part = cli("run", "--profile", "full", "suite/part")
    assert part.code == 0 and told not in part.err
    whole = cli("run", "--profile", "full")
    assert whole.code == 0 and told in whole.err.splitlines()
    assert told in cli("report", "--budgets").out.splitlines()
    assert len(json.loads(cli("report", "--budgets", "--json").out)["naming_no_case"]) == 1
    assert "**names no case**" in cli("report", "--budgets", "--format", "markdown").out
    # On another GPU no case has a budget, and the pattern is still wrong.
    cli.machine = replace(GPU, gpu="NVIDIA L4")
    alone = cli("run", "--profile", "full").err
    assert told in alone.splitlines() and "Budgets on" not in alone


def test_where_budgets_are_a_gate_exceeding_is_red(cli: Cli) -> None:
    configure(cli, '["NVIDIA H200"]\ndecode = "1 µs"\n', "budget_gate = true\n")
    assert cli("run", "-k", "rows").code == 0
    assert cli("run").code == 1
    assert cli("report", "--budgets").code == 1
    # Without --budgets a report is what it always was.
    assert cli("report").code == 0


def test_a_wrong_file_is_told_before_anything_is_measured(cli: Cli) -> None:
    configure(cli, '["NVIDIA H200"]\ndecode = "fast"\n')
    answer = cli("run")
    assert answer.code == 2 and "'fast'" in answer.err
    (cli.folder / "budgets.toml").unlink()
    answer = cli("run")
    assert answer.code == 2 and "budgets.toml" in answer.err and "create the file" in answer.err
    assert cli.session.seen == []


def test_the_report_in_every_form(cli: Cli) -> None:
    configure(cli, '["NVIDIA H200"]\ndecode = "1 ms"\nprefill = "1 µs"\n')
    cli.session.make = lambda case, _: result(case, status=Status.FAILED if case == CASES[1] else Status.OK)
    cli("run")
    cli("compare")
    text = cli("report", "--budgets")
    assert text.code == 1 and "1 kept, 1 exceeded, 1 not measured" in text.out
    assert [line.split()[0] for line in text.out.splitlines()[-3:]] == [CASES[2], *CASES[:2]]
    document = json.loads(cli("report", "latest", "--budgets", "--json").out)
    assert [line["standing"] for line in document["budgets"]] == ["kept", "exceeded", "not measured"]
    assert cli("report", document["run"]["id"][:8], "--budgets").out == text.out
    assert cli("report", "--budgets", "--format", "markdown", "-o", "b.md").out == ""
    assert "| **failed** |" in (cli.folder / "b.md").read_text()
    assert "<svg" in cli("report", "--budgets", "--format", "svg").out


def test_a_report_without_budgets_says_what_to_add(cli: Cli) -> None:
    cli("run")
    answer = cli("report", "--budgets")
    assert answer.code == 2 and 'budgets = "budgets.toml"' in answer.err
    configure(cli, '["NVIDIA H200"]\ndecode = "1 ms"\n')
    answer = cli("report", "--budgets")
    assert answer.code == 2 and "no GPU" in answer.err and "NVIDIA H200" in answer.err


def test_the_budgets_of_this_repository_against_a_run_of_an_h200(tmp_path: Path) -> None:
    budgets = read_budgets(OURS)
    with open_store(str(tmp_path / "perfsuite.db")) as store:
        import_document(store, (ROOT / "tests/data/h200/run.json").read_bytes(), "run.json")
        (run,) = store.reader.runs()
        measured = measured_budgets(budgets, run, store.reader.results(run.id))
    assert len(measured) == len(budgets)
    ratios = {line.case: line.ratio for line in measured if line.ratio is not None}
    assert ratios["moe_w4a8/prefill[qwen3.5-35b-a3b,m=1696,g=128]"] == pytest.approx(1.166, abs=0.001)
    assert ratios["moe_w4a8/decode[qwen3.5-35b-a3b,m=8,g=32]"] == pytest.approx(0.867, abs=0.001)
    assert budgets_text(run, measured).startswith("Budgets on NVIDIA H200: 4 kept, 6 exceeded")


def test_group_32_may_take_eight_fifths_of_group_128() -> None:
    at_most_ns = {budget.match: budget.at_most_ns for budget in read_budgets(OURS)}
    of_qwen = {
        case: value
        for case, value in at_most_ns.items()
        if "decode[qwen3.5" in case or "prefill[qwen3.5" in case
    }
    small = {case: value for case, value in of_qwen.items() if case.endswith(",g=32]")}
    assert len(small) == 6
    for case, value_ns in small.items():
        assert value_ns == pytest.approx(1.6 * of_qwen[case.replace("g=32", "g=128")])
