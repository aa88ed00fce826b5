"""The text of the comment for every stage, and that nothing from outside can break it."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from comment_views import (
    BASE,
    CASE_PAGE,
    FORMER,
    HEAD,
    HOSTILE,
    LINKS,
    accept,
    accepted,
    comment_only,
    compared,
    hostile,
    huge,
    regressed,
    report,
    running,
    view,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ci.body import MARKER, Extra, Stage, View, pull_body
from ci.sorting import Class, Sorted
from perfsuite.errors import UsageError
from perfsuite.model import Verdict
from perfsuite.report.markdown import MAX_CHARACTERS

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
VOID = ("br", "hr", "img")


class Structure(HTMLParser):
    """What a browser would make of it: tags that are not closed in order, links, cells of each row."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.rows: list[int] = []
        self.prose = ""
        self.feed(MARKDOWN.render(markdown))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.wrong += [name for name, _ in attrs if name.startswith("on")]
        if tag == "tr":
            self.rows.append(0)
        elif tag in ("td", "th"):
            self.rows[-1] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if "code" not in self.open:
            self.prose += data


def check(body: str, links: tuple[str, ...] = ()) -> Structure:
    """Everything that holds for every comment."""
    assert len(body.encode()) <= MAX_CHARACTERS
    assert body.startswith(f"{MARKER}\n<!-- perfsuite:data ")
    assert body.count(MARKER) == 1 and body.count("<!--") == 2
    assert body.split("\n")[2].startswith("### ")
    found = Structure(body)
    assert found.wrong == [] and found.open == []
    assert set(found.seen) <= {
        "h3", "p", "ul", "li", "strong", "code", "pre", "details", "summary", "table", "thead", "tbody",
        "tr", "th", "td", "br", "a", "blockquote", "em", "img",
    }  # fmt: skip
    assert found.seen.count("h3") == 1
    assert set(found.rows) <= {4}
    assert {link for link in found.links if not link.startswith(CASE_PAGE)} == set(links)
    # No mention, no reference, no address, no drawn emoji, no formula in our name.
    assert not re.search(r"@\w|#\d|\bGH-\d|://|www\.\w|:\w+:", found.prose)
    assert not re.search("[\u202a-\u202e\u2066\u2067\x00-\x08\x1b]", body)
    return found


def first_line(shown: View) -> str:
    return pull_body(shown).split("\n")[2]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (view(Stage.QUEUED), "### Queued."),
        (view(Stage.WAITING), "### Waiting for the GPU."),
        (view(Stage.MEASURING), "### Measuring."),
        (replace(view(Stage.MEASURING), done=12, total=40), "### Measuring 12/40."),
        (view(Stage.FAILED), "### The measurement failed."),
        (view(Stage.CANCELLED), "### Cancelled."),
        (view(Stage.NOTHING), "### Nothing to measure."),
        (view(Stage.UNAPPROVED), "### Not measured: code from a fork that nobody has approved yet."),
        (view(Stage.DONE), "### Measured, without a result."),
        (view(of=report()), "### No cases were compared."),
        (comment_only(), "### 29 cases unchanged or identical. Nothing was timed."),
        (regressed(), "### 12 cases slower, 6 faster, 11 unchanged or identical. Resolution 0.5 %."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_line_is_the_answer(shown: View, expected: str) -> None:
    assert first_line(shown) == expected
    check(pull_body(shown), tuple(shown.links.values()))


def test_the_answer_counts_every_case_once_the_new_first() -> None:
    verdicts = [*Verdict, Verdict.REGRESSED, Verdict.REGRESSED, Verdict.INCONCLUSIVE]
    cases = [compared(f"x[{n}]", verdict, 0.05) for n, verdict in enumerate(verdicts)]
    of = report(*cases)
    kinds = {c.case: Class.OTHER for c in cases} | {"x[0]": Class.NEW, "x[1]": Class.NEW, "x[2]": Class.NEW}
    kinds |= {"x[5]": Class.INCONCLUSIVE, "x[8]": Class.NO_BASELINE}
    kinds |= {"x[10]": Class.ON_MAIN, "x[11]": Class.ACCEPTED, "x[12]": Class.MACHINE}
    line = first_line(replace(view(of=of), sorted=Sorted(kinds, {})))
    assert line == (
        "### 1 case incorrect, 1 failed, 1 slower, 1 faster but less accurate, 1 faster, 1 already on main, "
        "1 accepted, 1 undecided because the machine changed, 1 inconclusive, 1 without a baseline, "
        "1 removed, 2 unchanged or identical. Resolution 0.8 %."
    )
    assert sum(map(int, re.findall(r"\d+(?= )", line.partition(". ")[0]))) == len(cases)


def test_the_order_is_findings_metrics_picture_folds_commits_links() -> None:
    body = pull_body(regressed())
    marks = [
        "- **correctness/configuration**: 2 of 9 cases slower",
        "| case | base → head | change [interval] | why |",
        "| Metric | Baseline | Optimized | Speedup |",
        "●",
        "<summary>Why, in full",
        "<summary>6 faster",
        "<summary>10 identical",
        "<summary>Environment",
        "<summary>How to measure or read it again",
        "perfsuite compare 25cf50b97b aa24852805",
        "As of commit <code>aa24852805</code> Quantize inside the K-loop, merge base <code>25cf50b97b</code>",
        "2026-11-22 17:37 UTC",
        f"]({LINKS['dashboard']})",
    ]
    places = [body.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "Trials ran without network" in body


def test_what_all_cases_of_a_finding_share_is_said_once() -> None:
    cases = [compared(f"x[{n}]", Verdict.REGRESSED, 0.05, "launches 6 → 5", f"own {n}") for n in range(3)]
    body = pull_body(view(of=report(*cases)))
    assert "- **x**: 3 of 3 cases slower, +5.00 % (in each: launches 6 → 5)" in body.replace(" … +5.00 %", "")
    assert body.count("launches 6 → 5") == 1
    assert all(f"own {n} |" in body for n in range(3))


def test_what_was_sorted_out_is_folded_with_its_reason_and_not_among_the_new() -> None:
    body = pull_body(accepted())
    new = body[: body.index("<details>")]
    assert "moe&#95;w4a8/prefill" not in new.partition("| Metric")[0]
    assert "2 of them sorted out below" in new
    assert "<summary>1 already on main</summary>" in body
    assert "main launches the same machine code by now" in body
    assert "<summary>1 noisy: within what this case shows without a change</summary>" in body
    assert "<summary>4 accepted</summary>" in body
    assert html.unescape(body).count("accepted by ada: slower until the tiles are tuned, see #\u200b41") == 4
    assert "<summary>1 accepted before, without effect here</summary>" in body


def test_an_inconclusive_case_says_what_it_would_take() -> None:
    case = compared("x", Verdict.INCONCLUSIVE, 0.01, "about 3 more pairs of processes would settle it")
    body = pull_body(view(of=report(case)))
    assert "<summary>1 inconclusive, and what it would take</summary>" in body
    assert "about 3 more pairs" in body


def test_a_picture_takes_the_place_of_the_bars() -> None:
    url = "https://perf.example.com/pictures/c (1).svg"
    body = pull_body(replace(regressed(), image_url=url))
    quoted = "https://perf.example.com/pictures/c%20%281%29.svg"
    assert f"![Changes of the timed cases, with intervals]({quoted})" in body and "●" not in body
    check(body, (quoted, *LINKS.values()))


def test_bars_are_folded_where_nothing_is_red() -> None:
    body = pull_body(view(of=report(compared("x", Verdict.UNCHANGED, 0.001))))
    assert body.index("<summary>Changes with their intervals") < body.index("●")


def test_while_a_new_head_is_measured_the_former_result_is_one_closed_fold() -> None:
    body = pull_body(running())
    found = check(body, tuple(LINKS.values()))
    lines = body.split("\n")
    assert lines[4].startswith(f"<details><summary>Former result, of <code>{FORMER[:10]}</code>: 5 cases inc")
    assert MARKDOWN.render(body).count("<details>") == found.seen.count("details") == 5
    assert "2026-11-22" not in body, "the time of the former result is not this head's"
    assert "comparison=" not in lines[1] and f"head={HEAD}" in lines[1]
    partial = replace(running(), previous_head="")
    assert "<summary>Result so far: 5 cases incorrect" in pull_body(partial)


def test_a_fork_is_told_exactly_what_to_type() -> None:
    body = pull_body(view(Stage.UNAPPROVED))
    assert f"```\n/perf approve {HEAD}\n```" in body and "<code>perf-approved</code>" in body
    silent = pull_body(replace(view(Stage.UNAPPROVED), commands=False))
    assert "/perf" not in silent and "<code>perf-approved</code>" in silent


def test_a_failure_shows_its_last_lines_in_a_block() -> None:
    trace = "\n".join(f"line {n}" for n in range(50)) + "\n```\n</details> <!-- perfsuite:comment -->"
    body = pull_body(replace(view(Stage.FAILED), stage_text=trace))
    assert "line 40" in body and "line 30" not in body and "\n…\n" in body
    check(body)
    assert "/perf rerun" in body
    assert "no message" in pull_body(view(Stage.FAILED))


def test_how_to_accept_is_said_where_something_is_red_and_somebody_listens() -> None:
    red = view(of=report(compared("x", Verdict.REGRESSED, 0.05)))
    assert "/perf accept" in pull_body(red)
    assert "/perf" not in pull_body(replace(red, commands=False))
    assert "/perf" not in pull_body(view(of=report(compared("x", Verdict.IMPROVED, -0.05))))


def test_extras_are_shown_with_their_titles_escaped() -> None:
    extras = (Extra("bisect of <x>", "table"), Extra("open", "shown", folded=False))
    body = pull_body(replace(comment_only(), extras=extras))
    assert "<details><summary>bisect of &#60;x&#62;</summary>\n\ntable\n\n</details>" in body
    assert "**open**\n\nshown" in body


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/relative", "", "https://x/" + "y" * 3000])
def test_a_link_or_picture_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not an http"):
        pull_body(replace(view(), links={"x": url}))
    timed = report(compared("x", Verdict.UNCHANGED, 0.001))
    with pytest.raises(UsageError, match="not an http"):
        pull_body(replace(view(of=timed), image_url=url or "ftp://x"))


def test_a_huge_comparison_fits_and_says_how_much_is_missing_and_where_it_is() -> None:
    body = pull_body(huge())
    check(body, tuple(LINKS.values()))
    assert len(body.encode()) > 60_000
    shown = len(re.findall(r"^\| \[?<code>f", body, re.M))
    left = re.findall(r"_(\d+) more cases are left out here: the links below lead to all\._", body)
    assert shown + sum(map(int, left)) == 2000
    assert f"]({LINKS['dashboard']})" in body and "perfsuite compare" in body


def pages_of_cases(found: Structure) -> list[str]:
    """The cases whose pages a comment links to."""
    return [unquote(link.removeprefix(CASE_PAGE)) for link in found.links if link.startswith(CASE_PAGE)]


def test_each_new_regression_leads_to_its_page() -> None:
    linked = pages_of_cases(check(pull_body(regressed()), tuple(LINKS.values())))
    assert len(linked) == 12 and "moe_w4a8/decode[qwen3.5-35b-a3b,m=1,g=128]" in linked
    assert pages_of_cases(check(pull_body(replace(regressed(), case_page="")), tuple(LINKS.values()))) == []


def test_everything_that_a_stranger_writes_at_its_worst() -> None:
    found = check(pull_body(hostile()), tuple(LINKS.values()))
    assert found.seen.count("table") == 3 and found.seen.count("img") == 0
    assert set(pages_of_cases(found)) == {HOSTILE, f"x/{HOSTILE}[m=1]"}
    endless = view(of=report(compared("x" * 3000, Verdict.REGRESSED, 0.05)))
    assert pages_of_cases(check(pull_body(replace(endless, case_page=CASE_PAGE)))) == []


NASTY = st.one_of(
    st.sampled_from([HOSTILE, HOSTILE * 100, "`" * 7, "|", "-->", "<details>", "\\", "]()", "=" * 9, "~~~"]),
    st.text(alphabet="`*_[]()<>#!|~$&@\\:/-+.=1aé\u05d0\u202e\u200b\u0301 \n\t\r\x0b\u2028", max_size=40),
    st.text(max_size=30),
)


@st.composite
def views(draw: st.DrawFn) -> View:
    verdicts = draw(st.lists(st.sampled_from(list(Verdict)), max_size=6))
    cases = [
        compared(
            f"{draw(NASTY)}/{n}[{draw(NASTY)}]", verdict, draw(st.sampled_from([None, 0.05])), draw(NASTY)
        )
        for n, verdict in enumerate(verdicts)
    ]
    of = replace(report(*cases, subject=draw(NASTY)), machine=draw(st.one_of(st.just(""), NASTY)))
    return View(
        repository="us/kernels",
        pull=7,
        head=HEAD,
        stage=draw(st.sampled_from(list(Stage))),
        head_subject=draw(NASTY),
        base=BASE,
        base_branch=draw(NASTY),
        stage_text=draw(NASTY),
        done=3,
        total=draw(st.sampled_from([0, 9])),
        report=draw(st.sampled_from([None, of])),
        extras=(Extra(draw(NASTY), "text", folded=draw(st.booleans())),),
        accepted=(accept(draw(NASTY), draw(NASTY), draw(NASTY)),),
        notes=(draw(NASTY),),
        previous_head=draw(st.sampled_from(["", FORMER])),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(views())
def test_no_text_from_outside_breaks_the_comment(shown: View) -> None:
    body = pull_body(shown)
    assert body == pull_body(shown)
    check(body)
