"""`perfsuite noise` with a session that measures nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from cli_fakes import CASES, Cli, result

from perfsuite.model import Result, Side
from perfsuite.store import open_store


def unequal(case: str, side: Side) -> Result:
    """The sides differ by 1 %, as unchanged code may."""
    return result(case, scale=1.01 if side is Side.HEAD else 1.0)


def test_a_commit_is_measured_against_itself(cli: Cli) -> None:
    cli.session.make = unequal
    answer = cli("noise", "--pairs", "3", "-k", "decode", "--json")
    assert answer.code == 0, answer.err
    (base, head, settings) = cli.session.seen[0]
    assert (settings.veto, settings.pairs) == (False, 3)
    assert base.root != head.root
    with open_store(cli.database, create=False) as store:
        (comparison,) = store.reader.comparisons()
        assert (comparison.kind, comparison.finished_at is None) == ("noise", False)
        assert comparison.base.commit.sha == comparison.head.commit.sha
    (case,) = json.loads(answer.out)["cases"]
    assert (case["case"], case["pairs"], case["comparisons"]) == ("moe/decode[m=1]", 2, 1)


def test_noise_adds_up_and_is_shown_without_measuring(cli: Cli) -> None:
    cli.session.make = unequal
    for _ in range(3):
        assert cli("noise").code == 0
    measured = len(cli.session.measured)
    answer = cli("noise", "--show")
    assert answer.code == 0 and len(cli.session.measured) == measured
    assert answer.out.startswith(f"{len(CASES)} cases: half of them see ")
    (line,) = (line for line in answer.out.splitlines() if line.startswith("moe/decode"))
    cells = line.split()
    assert cells[1].startswith("1.") or cells[1].startswith("2.")
    assert cells[3:5] == ["3", "6"]
    assert "sees" in line
    document = json.loads(cli("noise", "--show", "-k", "prefill", "--json").out)
    assert [case["case"] for case in document["cases"]] == ["moe/prefill[m=512]", "moe/prefill[m=64]"]
    assert all(0.01 < case["floor"] < 0.1 and case["sees"] < case["floor"] for case in document["cases"])


def test_uncommitted_changes_are_left_out_and_told(cli: Cli) -> None:
    (cli.folder / "kernel.py").write_text("two\n")
    answer = cli("noise", "-k", "decode")
    assert answer.code == 0
    assert "uncommitted changes are left out" in answer.err
    assert cli.session.contents == ["one\n", "one\n"]


def test_a_revision_may_be_named(cli: Cli) -> None:
    first = cli.git("rev-parse", "HEAD")
    cli.commit("two\n")
    assert cli("noise", first[:8], "-k", "decode").code == 0
    assert cli.session.contents == ["one\n", "one\n"]
    assert cli("noise", "nowhere").code == 2


def test_without_anything_stored_it_says_what_to_do(cli: Cli) -> None:
    answer = cli("noise", "--show")
    assert answer.code == 2 and "perfsuite run" in answer.err
    assert cli("run", "-k", "decode").code == 0
    answer = cli("noise", "--show")
    assert (answer.code, answer.out.startswith("No noise is known on")) == (0, True)


def test_a_pattern_that_chooses_nothing_names_the_nearest(cli: Cli) -> None:
    cli("noise", "-k", "decode")
    answer = cli("noise", "--show", "-k", "decoed")
    assert answer.code == 2 and "moe/decode[m=1]" in answer.err


def test_imported_comparisons_of_equal_code_tell_of_their_noise(cli: Cli, tmp_path: Path) -> None:
    cli("noise", "--pairs", "4")
    cli("export", "latest", "-o", str(tmp_path / "aa.json.gz"))
    measured = json.loads(cli("noise", "--show", "--json").out)
    cli("import", str(tmp_path / "aa.json.gz"), "--db", "other.db")
    cli("import", str(tmp_path / "aa.json.gz"), "--db", "other.db")
    again = json.loads(cli("noise", "--show", "--json", "--db", "other.db").out)
    assert again == measured, "the same, however often it is imported"


def test_a_damaged_gzip_file_is_a_clear_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b'{"schema": 1}')[:-6])
    answer = cli("import", str(tmp_path / "cut.json.gz"))
    assert (answer.code, "damaged gzip file" in answer.err) == (2, True)
