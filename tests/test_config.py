"""`[tool.perfsuite]` and the environment, read once; every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfsuite.cases import NoCases, match_cases
from perfsuite.config import Config, load_config, override_database
from perfsuite.errors import MachineError, UsageError

WHOLE = """
[tool.perfsuite]
suite = "kernels/suite"
paths = ["kernels/**", "pyproject.toml"]
threshold = "1.5%"
case_timeout = 90
target = "sm_100a"
default_branch = "trunk"
budgets = "kernels/budgets.toml"
budget_gate = true
[[tool.perfsuite.case]]
match = "moe/decode*"
threshold = 0.05
[[tool.perfsuite.case]]
match = "moe/*"
threshold = "3 %"
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_reads_everything(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, WHOLE), {})
    assert (config.root, config.suite) == (tmp_path, "kernels/suite")
    assert config.paths == ("kernels/**", "pyproject.toml")
    assert (config.threshold, config.case_timeout_s) == (0.015, 90.0)
    assert (config.target, config.default_branch) == ("sm_100a", "trunk")
    assert list(config.case_thresholds.items()) == [("moe/decode*", 0.05), ("moe/*", 0.03)]
    assert (config.budgets, config.budget_gate) == ("kernels/budgets.toml", True)
    assert config.database == str(tmp_path / ".perfsuite" / "perfsuite.db")


def test_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[tool.perfsuite]\nsuite = "s"\n'), {})
    assert (config.threshold, config.paths, config.case_thresholds) == (0.02, ("**",), {})
    assert (config.budgets, config.budget_gate) == ("", False)


def test_found_upward_past_a_file_without_the_table(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    write(tmp_path / "part", '[project]\nname = "part"\n')
    (tmp_path / "part" / "deep").mkdir()
    assert load_config(tmp_path / "part" / "deep", {}).root == tmp_path


def test_the_environment(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    config = load_config(tmp_path, {"PERFSUITE_DB": "other.db", "NO_COLOR": "1", "CI": "true"})
    assert (config.database, config.color, config.ci) == (str(tmp_path / "other.db"), False, True)
    url = "postgresql+psycopg://host/perf"
    assert load_config(tmp_path, {"PERFSUITE_DB": url}).database == url
    empty = load_config(tmp_path, {"PERFSUITE_DB": "", "NO_COLOR": "", "CI": "false"})
    assert (Path(empty.database).name, empty.color, empty.ci) == ("perfsuite.db", True, False)


def test_the_command_line_wins_over_the_environment(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    config = load_config(tmp_path, {"PERFSUITE_DB": "environment.db"})
    assert override_database(config, "x.db", tmp_path / "sub").database == str(tmp_path / "sub" / "x.db")
    assert override_database(config, None, tmp_path).database == config.database


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.perfsuite\nsuite = 1", ["not valid TOML", "line 1"]),
        ('[tool.perfsuite]\nsuit = "x"', ["tool.perfsuite.suit ", "did you mean 'suite'", "threshold"]),
        ("[tool.perfsuite]\nsuite = 3", ["tool.perfsuite.suite = 3", "allowed"]),
        ('[tool.perfsuite]\nsuite = ""', ["tool.perfsuite.suite = ''"]),
        ('[tool.perfsuite]\nsuite = "../x"', ["'../x'", "'..'"]),
        ('[tool.perfsuite]\nsuite = "/x"', ["'/x'"]),
        ('[tool.perfsuite]\nthreshold = "2%"', ["suite is missing", "suite ="]),
        ('[tool.perfsuite]\nsuite = "s"\nthreshold = "many"', ["threshold = 'many'", '"2%"']),
        ('[tool.perfsuite]\nsuite = "s"\nthreshold = 2', ["threshold = 2", '"2%"']),
        ('[tool.perfsuite]\nsuite = "s"\nthreshold = true', ["threshold = True"]),
        ('[tool.perfsuite]\nsuite = "s"\nthreshold = nan', ["threshold = nan"]),
        ('[tool.perfsuite]\nsuite = "s"\npaths = "kernels"', ["paths = 'kernels'", '["kernels/**"]']),
        ('[tool.perfsuite]\nsuite = "s"\ncase_timeout = 0', ["case_timeout = 0", "seconds"]),
        ('[tool.perfsuite]\nsuite = "s"\ncase_timeout = true', ["case_timeout = True"]),
        ('[tool.perfsuite]\nsuite = "s"\nbudgets = "../b.toml"', ["budgets = '../b.toml'", "'..'"]),
        ('[tool.perfsuite]\nsuite = "s"\nbudget_gate = "yes"', ["budget_gate = 'yes'", "true or false"]),
        ('[tool.perfsuite]\nsuite = "s"\ntarget = "hopper"', ["target = 'hopper'", "sm_90"]),
        ('[tool.perfsuite]\nsuite = "s"\ncase = "x"', ["case = 'x'", "[[tool.perfsuite.case]]"]),
        ('[tool.perfsuite]\nsuite = "s"\n[[tool.perfsuite.case]]\nmatch = 1', ["case.match = 1"]),
        ('[tool.perfsuite]\nsuite = "s"\n[[tool.perfsuite.case]]\nmatch = "a"', ["case.threshold = None"]),
        ('[tool.perfsuite]\nsuite = "s"\n[[tool.perfsuite.case]]\nmach = "a"', ["case.mach ", "'match'"]),
        ('[tool]\nperfsuite = "x"', ["tool.perfsuite = 'x'"]),
        ('[project]\nname = "x"', ["no [tool.perfsuite] table", "suite ="]),
    ],
)
def test_a_dirty_pyproject_is_named_with_file_key_and_value(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    file = write(tmp_path, text) / "pyproject.toml"
    with pytest.raises(UsageError) as caught:
        load_config(tmp_path, {})
    for part in (str(file), *told):
        assert part in str(caught.value)
    assert caught.value.next_step


def test_no_pyproject_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pyproject\.toml"):
        load_config(tmp_path, {})


def test_where_no_table_is_required_the_repository_is_the_root(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "deep").mkdir()
    config = load_config(tmp_path / "deep", {}, required=False)
    assert (config.root, config.file, config.suite) == (tmp_path, None, "")
    with pytest.raises(UsageError, match="no benchmarks are configured"):
        config.suite_folder()


def test_a_broken_file_is_an_error_even_where_no_table_is_required(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not valid TOML"):
        load_config(write(tmp_path, "= 1"), {}, required=False)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_config(tmp_path, {})


def test_a_suite_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[tool.perfsuite]\nsuite = "kernels/suit"\n'), {})
    (tmp_path / "kernels" / "suite").mkdir(parents=True)
    with pytest.raises(UsageError, match="did you mean 'kernels/suite'"):
        config.suite_folder()
    assert config.with_suite(tmp_path / "kernels" / "suite").suite_folder().is_dir()
    with pytest.raises(UsageError, match="outside the repository"):
        config.with_suite(tmp_path.parent)


def test_the_state_folder_hides_itself_from_git(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, WHOLE), {})
    assert (config.make_state_folder() / ".gitignore").read_text() == "*\n"
    config.make_state_folder()


def test_a_state_folder_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / ".perfsuite").write_text("a file in the way")
    with pytest.raises(MachineError, match="cannot write") as caught:
        Config(root=tmp_path, file=None, suite="", database="").make_state_folder()
    assert "--db" in caught.value.next_step


CASES = ["moe/prefill[q,m=8,g=32]", "moe/prefill[q,m=64,g=128]", "moe/decode[q,m=1]", "quantize/rows[m=8]"]


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("", [0, 1, 2, 3]),
        ("decode", [2]),
        ("decode or rows", [2, 3]),
        ("m=8", [0, 3]),
        ("moe/*", [0, 1, 2]),
        ("*g=128]", [1]),
        ("moe/prefill[q,m=?,*", [0]),
        ("moe/prefill[q,m=8,g=32]", [0]),
        ("Decode", []),
        ("prefill*", []),
        (" or ", [0, 1, 2, 3]),
    ],
)
def test_patterns(pattern: str, chosen: list[int]) -> None:
    assert match_cases(pattern, CASES) == [CASES[index] for index in chosen]


@pytest.mark.parametrize(
    ("pattern", "near"),
    [("decod3", "moe/decode[q,m=1]"), ("quantise", "quantize/rows[m=8]"), ("perfill*m=64", "m=64")],
)
def test_an_unknown_pattern_names_the_nearest_cases(pattern: str, near: str) -> None:
    error = NoCases(pattern, CASES)
    assert repr(pattern) in error.what and "4 cases" in error.what
    assert near in error.next_step.splitlines()[1]


def test_a_suite_without_benchmarks_says_what_to_add() -> None:
    assert "gpu_benchmark" in NoCases("", []).next_step
