"""How the command line begins and ends: help, lazy imports, other packages' commands, signals, transfer."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_fakes import CASES, Cli

from perfsuite.cli.doctor import Check, State, require_all
from perfsuite.errors import MachineError, UsageError
from perfsuite.store import open_store

HEAVY = (
    "torch",
    "triton",
    "sqlalchemy",
    "alembic",
    "numpy",
    "scipy",
    "pandas",
    "rich",
    "streamlit",
    "pynvml",
)
ROOT = Path(__file__).parents[2]


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        (sys.executable, *arguments), env=environ, capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    # That is why it answers at once; a time would say more about the machine than about the code.
    script = (
        "import sys\nfrom perfsuite.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = python("-c", script, *arguments)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert done.stdout and not loaded & set(HEAVY)


def test_help_names_every_command_and_the_exit_codes(cli: Cli) -> None:
    answer = cli("--help")
    assert answer.code == 0
    for command in ("doctor", "run", "compare", "report", "import", "export", "db"):
        assert re.search(rf"^  {command} ", answer.out, re.MULTILINE)
    assert "3 not on this" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rn",), "No such command"),
        (("run", "--profle", "pr"), "No such option"),
        (("run", "--profile", "fast"), "quick"),
        (("run", "--case-timeout", "soon"), "--case-timeout"),
        (("import",), "FILE"),
    ],
)
def test_wrong_usage_is_exit_code_2(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    answer = cli(*arguments)
    assert answer.code == 2
    assert told in answer.err


class Entry:
    """An entry point as another package would bring it."""

    def __init__(self, name: str, register: Any) -> None:
        self.name = name
        self._register = register

    def load(self) -> Any:
        if isinstance(self._register, Exception):
            raise self._register
        return self._register


def test_other_packages_add_commands_and_broken_ones_only_warn(cli: Cli) -> None:
    def register(app: typer.Typer) -> None:
        @app.command()
        def hello() -> None:
            typer.echo("hello")

        @app.command()
        def fail() -> None:
            raise MachineError("no luck", "try again")

    cli.entry_points = (Entry("broken", ImportError("no module named x")), Entry("hello", register))
    answer = cli("hello")
    assert (answer.code, answer.out) == (0, "hello\n")
    assert "warning" in answer.err and "'broken'" in answer.err and "no module named x" in answer.err
    failed = cli("fail")
    assert failed.code == 3 and "error: no luck\n  next: try again" in failed.err


INTERRUPTED = """
import os, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cli_fakes import FakeSession, MACHINE
from perfsuite.cli import main
from perfsuite.cli.services import Services

def wait(case):
    if case.startswith("moe/decode"):
        print("waiting", flush=True)
        time.sleep(60)

main(["run"], Services(dict(os.environ), Path.cwd(), FakeSession(before=wait), lambda _: MACHINE))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_was_measured_stored(cli: Cli, number: signal.Signals) -> None:
    process = subprocess.Popen(
        (sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err and "--resume" in err and "Traceback" not in err
    with open_store(cli.database, create=False) as store:
        (run,) = store.reader.runs()
        assert store.reader.finished_cases(run.id) == set(CASES[:2])
    assert cli("run", "--resume").code == 0
    assert cli.session.measured == list(CASES[2:])


def test_export_and_import_are_lossless(cli: Cli, tmp_path: Path) -> None:
    cli("run")
    assert cli("export", "-o", "run.json").code == 0
    other = str(tmp_path / "other.db")
    answer = cli("import", "run.json", "--db", other)
    assert (answer.code, answer.out) == (0, "run.json: 1 run, 4 results (perfsuite)\n")
    assert cli("report", "--db", other).out == cli("report").out
    again = json.loads(cli("import", "run.json", "--db", other, "--json").out)
    assert again["imports"][0]["results"] == 4
    assert json.loads(cli("export", "--all", "--db", other).out) == json.loads(
        (cli.folder / "run.json").read_text()
    )


def test_the_environment_names_the_database(cli: Cli, tmp_path: Path) -> None:
    cli.environ["PERFSUITE_DB"] = str(tmp_path / "named.db")
    cli("run", "-k", "decode")
    assert (tmp_path / "named.db").exists() and not cli.database.exists()
    assert cli("db", "path").out == f"{tmp_path / 'named.db'}\n"


def test_a_truncated_import_is_one_clear_line(cli: Cli) -> None:
    cli("run", "-k", "decode")
    cli("export", "-o", "run.json")
    text = (cli.folder / "run.json").read_text()
    (cli.folder / "run.json").write_text(text[: len(text) // 2])
    answer = cli("import", "run.json")
    assert answer.code == 2
    assert "run.json" in answer.err and "next:" in answer.err and "Traceback" not in answer.err
    missing = cli("import", "nowhere.json")
    assert missing.code == 2 and "nowhere.json" in missing.err


def test_db_check_and_migrate(cli: Cli) -> None:
    assert "up to date" in cli("db", "migrate").out
    answer = cli("db", "check")
    assert answer.code == 0 and "sound" in answer.out
    assert json.loads(cli("db", "check", "--json").out)["problems"] == []


def test_db_path_hides_the_password(cli: Cli) -> None:
    assert "secret" not in cli("db", "path", "--db", "postgresql://me:secret@host/name").out


def test_doctor_without_a_gpu_says_what_is_missing(cli: Cli) -> None:
    cli.machine = replace(cli.machine, torch=None, triton=None)  # nothing to try: stays quick
    answer = cli("doctor", "--json")
    assert answer.code == 0
    checks = {check["name"]: check for check in json.loads(answer.out)["checks"]}
    assert checks["gpu"]["state"] == "missing" and checks["gpu"]["next_step"]
    assert checks["torch"]["state"] == "missing"
    assert checks["git"]["state"] == checks["configuration"]["state"] == "ok"
    assert cli("doctor", "--require", "gpu").code == 3
    unknown = cli("doctor", "--require", "gpus")
    assert unknown.code == 2 and "did you mean 'gpu'" in unknown.err


def test_doctor_names_what_is_wrong_with_the_configuration(cli: Cli) -> None:
    cli.machine = replace(cli.machine, torch=None, triton=None)
    (cli.folder / "pyproject.toml").write_text("[tool.perfsuite")
    answer = cli("doctor")
    assert answer.code == 0
    assert re.search(r"missing +configuration .*not valid TOML", answer.out)


def test_doctor_tries_triton_for_real(cli: Cli) -> None:
    checks = {check["name"]: check for check in json.loads(cli("doctor", "--json").out)["checks"]}
    assert (checks["interpreter"]["state"], checks["compile"]["state"]) == ("ok", "ok"), checks
    assert "sm_90" in checks["compile"]["text"]


def test_requiring() -> None:
    checks = [Check("gpu", State.WARN, "old"), Check("git", State.MISSING, "none", "install git")]
    require_all(checks, ["gpu"])
    with pytest.raises(MachineError, match="lacks git"):
        require_all(checks, ["gpu", "git"])
    with pytest.raises(UsageError):
        require_all(checks, ["gut"])
