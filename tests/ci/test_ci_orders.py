"""`/perf …`: what is a command, what it asks for, and what is answered."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci import orders
from ci.orders import Order, answer_unknown, help_text, parse, reply_body, reply_source

CASE = "moe_w4a8/prefill[qwen3.5-35b-a3b,m=1696,g=128]"
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("/perf run", Order("run")),
        ("/PERF Run", Order("run")),
        ("   /perf\trun  ", Order("run")),
        ("/perf run -k decode", Order("run", pattern="decode")),
        ("/perf run -k=decode", Order("run", pattern="decode")),
        ("/perf run -kdecode", Order("run", pattern="decode")),
        ("/perf run -k decode or m=64", Order("run", pattern="decode or m=64")),
        ('/perf run -k "decode or m=64"', Order("run", pattern="decode or m=64")),
        (f"/perf run -k `{CASE}`", Order("run", pattern=CASE)),
        ("/perf run -k “moe*g=128]”", Order("run", pattern="moe*g=128]")),
        ("/perf full", Order("full")),
        ("/perf full -k m=1", Order("full", pattern="m=1")),
        ("/perf rerun", Order("rerun")),
        (f"/perf bisect {CASE}", Order("bisect", case=CASE)),
        (f"/perf bisect -k `` {CASE} ``", Order("bisect", case=CASE)),
        ("/perf bisect decode or prefill", Order("bisect", case="decode or prefill")),
        (
            f"/perf accept {CASE} it's the price of accuracy",
            Order("accept", case=CASE, reason="it's the price of accuracy"),
        ),
        (
            f"/perf accept `{CASE}`: the price of “accuracy”",
            Order("accept", case=CASE, reason="the price of “accuracy”"),
        ),
        (
            "/perf accept 'a [m=1, n=2]' — known   since\tMay",
            Order("accept", case="a [m=1, n=2]", reason="known since May"),
        ),
        ("/perf accept -k m=1 reason", Order("accept", case="m=1", reason="reason")),
        (f"/perf approve {SHA}", Order("approve", sha=SHA)),
        ("/perf approve `0123ABC`", Order("approve", sha="0123abc")),
        ("/perf help", Order("help")),
        ("/perf help me please", Order("help")),
    ],
)
def test_commands(line: str, order: Order) -> None:
    assert parse(line) == order
    assert parse(f"Thank you!\r\n\r\n{line}\r\n\r\n/perf full\r\n") == order


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/perf", "/perf alone says nothing"),
        ("/perf please", "please is no command"),
        ("/perf bisekt m=1", "bisekt is no command; bisect is one"),
        ("/perf run decode", "decode is not understood; cases are chosen with -k: /perf run [-k PATTERN]"),
        ("/perf run -k", "It does not say which cases"),
        ('/perf run -k " "', "It does not say which cases"),
        ("/perf run -k --db=/etc/passwd", "--db=/etc/passwd begins like an option"),
        ("/perf bisect --help", "--help begins like an option"),
        ("/perf bisect", "It does not say which cases: /perf bisect CASE"),
        ("/perf rerun -k m=1", "rerun takes nothing more, not -k m=1"),
        (f"/perf accept {CASE}", "An accepted change needs a reason: /perf accept CASE reason"),
        ("/perf accept `a b` -", "An accepted change needs a reason"),
        ("/perf accept '' because", "It does not say which cases"),
        ("/perf accept", "It does not say which cases"),
        ("/perf approve", "The sha of the head is needed, at least 7 digits of it"),
        ("/perf approve 012345", "The sha of the head is needed"),
        (f"/perf approve {SHA}0", "The sha of the head is needed"),
        ("/perf approve main", "The sha of the head is needed"),
        ("/perf approve 0123456 0123457", "The sha of the head is needed"),
        (f"/perf bisect {'x' * 301}", "Which cases has more than 300 characters"),
        (f"/perf accept m=1 {'x' * 1000}", "The command is longer than 1000 characters"),
    ],
)
def test_what_is_wrong_is_said(line: str, problem: str) -> None:
    order = parse(line)
    assert order is not None
    assert order.verb == "unknown"
    assert order.problem.startswith(problem)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Say /perf run to measure it.",
        "`/perf run`",
        "/performance run",
        "/perf-run",
        "/ perf run",
        "    /perf run",
        "\t/perf run",
        "> /perf run",
        "  > /perf run",
        "- /perf run",
        "```\n/perf run\n```",
        "```\n/perf run",
        "````markdown\n```\n/perf run\n```\n/perf run\n````",
        "~~~ `sh`\n/perf run\n```\n/perf run\n~~~",
        "- ```\n  /perf run\n  ```",
        "1. first\n   ```\n   /perf run\n   ```",
        "<!-- Say one of these:\n/perf run\n/perf help\n-->",
        "Thanks <!--\n/perf run\n--> all",
        "<!-- a --> <!--\n/perf run\n--> <!--\n/perf run\n-->",
        "<!-- perfsuite:comment -->\n/perf run",
        "\n<!-- perfsuite:reply comment/1 -->\r\n/perf run",
        "\x00/perf run",
        "\u200b/perf run",
    ],
)
def test_what_is_no_command(body: str) -> None:
    assert parse(body) is None
    assert parse(body.replace("\n", "\r\n")) is None


@pytest.mark.parametrize(
    "before",
    [
        "> /perf full\n\n",
        "```\n/perf full\n```\n",
        "````\n/perf full\n`````\n",
        "~~~\n```\n~~~\n",
        "inline ```code``` here\n",
        "``` a`b\n",
        "<!-- /perf full -->\n",
        "<!--\n/perf full\n-->\n",
        "a --> b\n",
        "Old Mac\rlines\r",
    ],
)
def test_what_stands_before_a_command(before: str) -> None:
    assert parse(f"{before}/perf run") == Order("run")


@given(st.text(max_size=300), st.sampled_from(["", "/perf ", "/perf accept ", "/perf run -k", "```\n/perf "]))
def test_any_comment_can_be_read(body: str, start: str) -> None:
    order = parse(start + body)
    if order is None:
        return
    for value in (order.pattern, order.case, order.reason, order.sha, order.problem):
        assert "\n" not in value
        assert "\x00" not in value
        assert not value.startswith("-") or value in (order.reason, order.problem)
    assert (order.verb == "unknown") == bool(order.problem)
    assert (order.verb in ("bisect", "accept")) == bool(order.case)
    assert (order.verb == "accept") == bool(order.reason)


@given(st.text("`~ \n->|<!ab", max_size=80))
def test_fenced_and_quoted_lines_are_never_commands(text: str) -> None:
    safe = text.replace("~", "").replace("-->", "")
    assert parse(f"~~~\n{safe}\n/perf run\n~~~") is None
    assert parse("\n".join(f"> {line}" for line in [*text.split("\n"), "/perf run"])) is None


def test_a_hostile_command_is_answered_harmlessly() -> None:
    nasty = "</details><img src=x> @team #1 https://evil.example [a](b) `c` | d" + "x" * 500
    answer = answer_unknown(parse(f"/perf {nasty}") or Order("run"))
    problem = answer.split("\n")[0]
    assert len(problem) < 1000
    assert not re.search(r"[<>|`\[\]]|@team|#1\b|https://", problem)
    assert answer.endswith("`/perf help`.")


def test_help_names_every_command() -> None:
    for verb in (
        "run [-k PATTERN]",
        "full",
        "rerun",
        "bisect CASE",
        "accept CASE reason",
        "approve SHA",
        "help",
    ):
        assert f"`/perf {verb}" in help_text()
    # Our own comments must not be read as commands, not even where somebody pastes them.
    assert parse(help_text()) is parse(answer_unknown(Order("unknown", problem="x"))) is None
    assert all(parse(usage.replace("[", "").replace("]", "")) for usage, _ in orders._USAGE.values())


def test_an_answer_says_what_it_answers() -> None:
    body = reply_body("comment/123", help_text())
    assert body.splitlines()[0] == "<!-- perfsuite:reply comment/123 -->"
    assert reply_source(body) == reply_source(body.replace("\n", "\r\n")) == "comment/123"
    assert parse(body) is None
    assert reply_source("comment/123") is reply_source(f"> {body}") is None
    assert reply_source("<!-- perfsuite:comment -->\n<!-- perfsuite:reply comment/1 -->") is None
