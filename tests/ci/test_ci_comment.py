"""The comment's text and the commands around it, from a real store to a real HTTP server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from click.testing import Result as Outcome
from fake_github import FakeGitHub
from typer.testing import CliRunner

from ci import command
from ci.comment import MARKER, Comment, comment_body, find_comment, needs_update
from perfsuite.errors import MachineError, PerfsuiteError, StoreError, UsageError
from perfsuite.model import (
    Block,
    Commit,
    Comparison,
    ComparisonReport,
    Environment,
    Result,
    Round,
    Run,
    Status,
    Timer,
)
from perfsuite.report.markdown import MAX_CHARACTERS
from perfsuite.stats.judge import judge
from perfsuite.store import open_store

AT = datetime(2025, 3, 1, 9, 0, tzinfo=UTC)
GPU = Environment("box", "NVIDIA H200", driver="580.10", torch="2.11.0", triton="3.6.0")


def make_run(letter: str, kind: str) -> Run:
    return Run(
        letter * 32, Commit(letter * 40, f"Commit {letter}"), "acme/kernels", GPU, "quick", AT, AT, kind
    )


COMPARISON = Comparison("c" * 32, make_run("a", "base"), make_run("b", "head"), 0.02, AT, AT)


def measured(case: str, median_ns: float) -> Result:
    spread = (0.999, 1.0, 1.001, 1.002, 0.998)
    blocks = tuple(
        Block(pair, block, 16, 4, tuple(Round(median_ns * s, n, n) for n, s in enumerate(spread)))
        for pair in range(3)
        for block in range(4)
    )
    return Result(case, "v", case.partition("[")[0], {}, "cuda", Status.OK, Timer.GRAPH, blocks=blocks)


def make_report(cases: int = 1) -> ComparisonReport:
    names = [f"family{number}/op[m={number}]" for number in range(cases)]
    base, head = ([measured(name, t) for name in names] for t in (1e6, 1.06e6))
    return judge(COMPARISON, base, head)


def test_the_body_is_the_report_between_hidden_markers_and_links() -> None:
    body = comment_body(make_report(), links={"Full report": "https://example.com/r (1)"})
    lines = body.splitlines()
    assert lines[0] == MARKER
    assert "a" * 40 in lines[1]
    assert "b" * 40 in lines[1]
    assert "1 case slower" in lines[2]
    assert lines[-1] == "[Full report](https://example.com/r%20%281%29)"


def test_the_body_of_a_huge_comparison_fits_in_a_comment_with_its_links() -> None:
    body = comment_body(make_report(1500), links={"Full report": "https://example.com/report"})
    assert len(body) <= MAX_CHARACTERS
    assert body.rstrip().endswith("(https://example.com/report)")
    assert body.count("<details>") == body.count("</details>")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/relative", "", "file:///etc/passwd"])
def test_a_link_that_is_not_a_web_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not an http"):
        comment_body(make_report(), links={"x": url})


def test_our_comment_needs_author_and_marker() -> None:
    ours = Comment(4, "Perf-Bot", f"{MARKER}\r\nreport")
    others = [
        Comment(1, None, MARKER),
        Comment(2, "mallory", MARKER),
        Comment(3, "perf-bot", f"see {MARKER}"),
    ]
    assert find_comment([*others, ours], "perf-bot") == ours
    assert find_comment(others, "perf-bot") is None


def test_only_what_people_see_is_an_update() -> None:
    assert not needs_update("a\r\nb  \r\n", "a\nb")
    assert needs_update("a\nb", "a\n\nb")


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(tmp_path / "perfsuite.db")
    with open_store(path) as store:
        store.start_comparison(COMPARISON)
        store.save_result(COMPARISON.base.id, measured("family/op[m=1]", 1e6))
        store.save_result(COMPARISON.head.id, measured("family/op[m=1]", 1.06e6))
    return path


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    monkeypatch.setenv("MY_TOKEN", "good-token")
    with FakeGitHub() as fake:
        fake.open_pull(number=7)
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        yield fake


def invoke(*arguments: str) -> Outcome:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    return CliRunner().invoke(app, ["ci", *arguments])


def post(*arguments: str) -> Outcome:
    return invoke("post", "--repo", "acme/kernels", "--pr", "7", "--token-env", "MY_TOKEN", *arguments)


def test_the_comment_is_printed_and_written(database: str, tmp_path: Path) -> None:
    file = tmp_path / "body.md"
    done = invoke(
        "comment", "--db", database, "--output", str(file), "--link", "CI=https://ci.example.com/1?a=b"
    )
    assert done.exit_code == 0, done.exception
    assert done.output.startswith(MARKER)
    assert "[CI](https://ci.example.com/1?a=b)" in done.output
    assert file.read_text(encoding="utf-8") == done.output


def test_a_comparison_is_posted_once_and_then_found_again(database: str, github: FakeGitHub) -> None:
    first, second = post("--db", database), post("--db", database)
    assert first.output.startswith("created: https://"), first.exception
    assert second.output.startswith("unchanged: https://")
    (comment,) = github.comments.values()
    assert "1 case slower" in comment.body


def test_a_written_body_is_posted_without_the_store(
    database: str, github: FakeGitHub, tmp_path: Path
) -> None:
    file = tmp_path / "body.md"
    invoke("comment", "--db", database, "--output", str(file))
    done = post("--body-file", str(file), "--db", str(tmp_path / "none.db"))
    assert done.output.startswith("created"), done.exception


def test_a_file_that_is_not_our_comment_is_not_posted(github: FakeGitHub, tmp_path: Path) -> None:
    file = tmp_path / "body.md"
    file.write_text("anything", encoding="utf-8")
    assert isinstance(post("--body-file", str(file)).exception, UsageError)
    assert not github.requests


@pytest.mark.parametrize(
    ("arguments", "kind", "expected"),
    [
        (("comment", "--db", "DB", "--link", "nothing"), UsageError, "not a link"),
        (("comment", "ffff", "--db", "DB"), UsageError, "ffff"),
        (("comment", "--db", "DB.none"), StoreError, "no database"),
        (("comment", "--db", "DB", "--output", "/nowhere/x.md"), UsageError, "/nowhere/x.md"),
        (("post", "--repo", "a/b", "--pr", "1", "--token-env", "NOT_SET"), UsageError, "NOT_SET is not set"),
    ],
)
def test_wrong_usage_is_named(
    database: str, arguments: tuple[str, ...], kind: type[PerfsuiteError], expected: str
) -> None:
    error = invoke(*(text.replace("DB", database) for text in arguments)).exception
    assert isinstance(error, kind)
    assert expected in error.what
    assert error.next_step


def test_a_missing_extra_is_named(database: str, github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("ci.github", "github3"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "github3", None)
    error = post("--db", database).exception
    assert isinstance(error, MachineError)
    assert "perfsuite[ci]" in error.next_step
