import html
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from report_example import CPU, compared, mixed, report, result, run, trusted

from perfsuite.model import Status, Timer, Verdict
from perfsuite.report.escape import code, fenced, text
from perfsuite.report.markdown import Section, comparison_markdown, fit, run_markdown

MIXED = """\
### 1 case incorrect, 2 slower, 1 faster, 2 unchanged or identical. This gate sees 0.8 % here.

- **gemm**: 1 of 1 case incorrect
- **moe/prefill**: 2 of 3 cases slower, +4.10 % … +9.80 %
- **moe/decode**: 1 of 2 cases faster, -5.00 %

| case | base → head | change [interval] | why |
|---|---|---|---|
| <code>gemm&#91;m=1&#93;</code> **incorrect** | – | – | error (RMS) 0.31, tolerance 0.02 |
| <code>moe/prefill&#91;m=2&#93;</code> | 1.000~µs~→ 1.098~µs | +9.80~% [+9.60~…~+10.0] |  |
| <code>moe/prefill&#91;m=1&#93;</code> | 1.000~µs~→ 1.041~µs | +4.10~% [+3.90~…~+4.30] | \
&#95;gemm1: registers 128 → 168, spills 0 → 12 |

<details><summary>1 faster</summary>

| case | base → head | change [interval] | why |
|---|---|---|---|
| <code>moe/decode&#91;m=1&#93;</code> | 1.000~µs~→ 950.0~ns | -5.00~% [-5.20~…~-4.80] |  |

</details>

<details><summary>1 unchanged</summary>

| case | base → head | change [interval] | why |
|---|---|---|---|
| <code>moe/prefill&#91;m=4&#93;</code> | 1.000~µs~→ 1.001~µs | +0.10~% [-0.10~…~+0.30] |  |

</details>

<details><summary>1 identical: the same machine code and launches</summary>

- <code>moe/decode&#91;m=2&#93;</code>

</details>

base <code>aaaaaaaaaa</code> <code>Base</code>  
head <code>bbbbbbbbbb</code> <code>Faster tiles</code>  
NVIDIA H200 · driver 580.1 · cuda 13.0 · torch 2.11.0 · triton 3.6.0 · profile quick · threshold 2.00 %

<details><summary>How to measure or read it again</summary>

```
perfsuite compare aaaaaaaaaa bbbbbbbbbb --profile quick --threshold 0.02
perfsuite report cccccccccccc
```

</details>
""".replace("~", "\u00a0")  # noqa: W291
HOSTILE = (
    "</code></details>|`x` @team #12 GH-3 [a](http://evil.example) <img src=x> ![p](q) $x$\n| new | row |"
)


def test_comparison_snapshot() -> None:
    assert comparison_markdown(mixed()) == MIXED


def test_outside_text_cannot_leave_its_cell_tag_or_line() -> None:
    hostile = report(
        compared(HOSTILE, Verdict.FAILED, None, HOSTILE), compared("b", Verdict.NEW), subject=HOSTILE
    )
    body = comparison_markdown(hostile)
    assert "<img" not in body and "](http" not in body and "`x`" not in body
    assert not re.search(r"https?://|www\.", body)
    # GitHub makes no mentions inside code, so only the rest is searched, as a reader would see it.
    prose = html.unescape(re.sub(r"<code>.*?</code>", "", body))
    assert not re.search(r"@\w|#\d|GH-\d", prose)
    rows = [line for line in body.split("\n") if line.startswith("| <code>")]
    assert [row.count("|") for row in rows] == [5, 5]
    assert body.count("</details>") == body.count("<details>") == 3


@pytest.mark.parametrize("escape", [text, code])
def test_escaped_text_still_reads_the_same(escape) -> None:  # type: ignore[no-untyped-def]
    assert "moe/prefill" in escape("moe/prefill")
    assert "\n" not in escape("a\nb") and "\x1b" not in escape("a\x1b[0m")
    assert escape("x" * 1000).count("x") == 299


def test_fence_is_longer_than_any_inside() -> None:
    assert fenced("a ```` b").split("\n")[0] == "`" * 5


def many(verdict: Verdict, count: int, why: str = "w" * 400) -> list:  # type: ignore[type-arg]
    return [
        compared(f"f{n % 60}/x[{'m' * 100},n={n:04}]", verdict, 0.05 + n / 1e4, why) for n in range(count)
    ]


def test_a_comment_never_exceeds_githubs_limit_and_counts_what_is_left_out() -> None:
    huge = report(*many(Verdict.REGRESSED, 900), *many(Verdict.UNCHANGED, 900))
    body = comparison_markdown(huge)
    assert 60_000 < len(body.encode()) <= 65_536
    assert body.startswith("### 900 cases slower, 900 unchanged or identical.")
    shown = sum(line.startswith("| <code>") for line in body.split("\n"))
    left = [int(found) for found in re.findall(r"_(\d+) more cases are left out here", body)]
    assert shown + sum(left) == 1800
    assert left[1] == 900, "no row of the unchanged may displace one of the slower"
    assert body.count("<details>") == body.count("</details>")
    assert body.rstrip().endswith("</details>"), "how to reproduce it is never cut"


def test_a_smaller_limit_is_kept_too() -> None:
    body = comparison_markdown(report(*many(Verdict.REGRESSED, 100)), limit=20_000)
    assert len(body.encode()) <= 20_000


def test_many_red_cases_are_folded() -> None:
    body = comparison_markdown(report(*many(Verdict.REGRESSED, 30, "")))
    assert "<details><summary>30 red cases</summary>" in body
    assert "red case" not in comparison_markdown(mixed())


def test_run_markdown_shows_the_bad_first_and_escapes_messages() -> None:
    bad = replace(result("moe/bad[m=1]", status=Status.INCORRECT), message=HOSTILE)
    body = run_markdown(run(), [result(), bad])
    assert body.startswith("### 1 case ok, 1 incorrect.")
    assert body.index("moe/bad") < body.index("moe/prefill")
    assert "<img" not in body
    row = "| ok | 1.004~µs [1.001~µs~…~1.008~µs] | 0.0041~of~0.02 | 62% | 168/0/96.0~KiB | cuda-graph |"
    assert row.replace("~", "\u00a0") in body, "numbers stay with their units"


def test_run_markdown_without_a_gpu_says_so() -> None:
    body = run_markdown(run(environment=CPU), [result(timer=Timer.REFERENCE)])
    assert "No GPU: no kernel was timed." in body
    assert "wall clock of reference, CPU" in body


def test_less_accurate_is_open_like_a_regression_and_a_moved_machine_comes_first() -> None:
    body = comparison_markdown(trusted())
    lines = body.split("\n")
    assert lines[0].startswith("### 2 cases slower, 1 faster but less accurate.")
    assert lines[2:4] == ["> [!WARNING]", "> **the machine changed: compute +2.10 %**"]
    assert "- **kernel &#95;gemm1 (registers 168 → 190)**: 2 cases of 2 families slower" in body
    opened = body[: body.index("<details>")]
    assert (
        "| <code>moe/prefill&#91;m=1&#93;</code> **less accurate** | 1.000~µs~→ 920.0~ns "
        "| -8.00~% [-8.20~…~-7.80] | less accurate: error (RMS) 0.004 → 0.009, tolerance 0.02 |"
    ).replace("~", "\u00a0") in opened
    assert "confirmed by fresh processes" not in opened, "not in every row"
    assert "canaries compute +2.10 %" in body and "canary" not in body


def test_names_in_findings_and_of_the_machine_are_escaped() -> None:
    hostile = trusted()
    finding = replace(hostile.findings[0], text=f"kernel {HOSTILE}: 2 cases", kernel=HOSTILE)
    body = comparison_markdown(replace(hostile, findings=(finding,), machine=HOSTILE))
    assert "<img" not in body and "](http" not in body and "@team" not in html.unescape(body)


def test_many_less_accurate_cases_are_folded_with_a_title() -> None:
    body = comparison_markdown(report(*many(Verdict.LESS_ACCURATE, 30, "")))
    assert "<details><summary>30 faster but less accurate</summary>" in body


def test_canaries_of_a_run_are_not_among_its_cases() -> None:
    body = run_markdown(run(), [result(), result("perfsuite/canary[compute]")])
    assert body.startswith("### 1 case ok.") and "canaries compute 1.004 µs" in body
    assert "canary" not in body


def test_a_long_why_is_short_in_its_row_and_whole_in_a_fold() -> None:
    memory = "_gemm1: registers 59 → 84, shared memory 19.0 KiB → 31.0 KiB"
    grid = f"{memory}, grid (32, 1, 1) → (16, 1, 1), warps 4 → 8"
    body = comparison_markdown(report(compared("a[m=1]", Verdict.REGRESSED, 0.05, grid, "launches 6 → 5")))
    row = next(line for line in body.split("\n") if line.startswith("| <code>a"))
    assert row.endswith("| &#95;gemm1: registers 59 → 84, shared memory 19.0 KiB → 31.0 KiB, …<br>… 1 more |")
    fold = body[body.index("<summary>Why, in full") :]
    assert text(grid) in fold and "  - launches 6 → 5" in fold
    assert "Why, in full" not in comparison_markdown(mixed())


def test_a_list_of_differences_is_not_cut_inside_a_grid() -> None:
    sentence = "_gemm1: " + "x" * 30 + ", grid (32, 1, 1) → (16, 1, 1), " + "y" * 60
    body = comparison_markdown(report(compared("a", Verdict.REGRESSED, 0.05, sentence)))
    row = next(line for line in body.split("\n") if line.startswith("| <code>a"))
    assert "…" in row.split("|")[-2]
    assert row.split("|")[-2].count("(") == row.split("|")[-2].count(")")


def test_fitting_cuts_rows_from_the_least_urgent_and_passes_over_what_is_spare() -> None:
    rows = tuple(f"- row {n:03}" for n in range(100))
    picture = Section(("x" * 5000,), "picture", spare=True, noun="pictures")
    parts = ["first", Section(rows[:20], "urgent"), picture, Section(rows, "less urgent"), "last"]
    body = fit(parts, 1500, ": see below")
    assert len(body.encode()) <= 1500
    assert body.startswith("first") and body.endswith("last\n")
    assert "- row 019" in body, "what is urgent is whole"
    assert "_1 more pictures are left out here: see below._" in body
    left = re.search(r"_(\d+) more cases are left out here: see below\._", body)
    assert left and int(left[1]) + body.count("- row") == 120
    assert body.count("<details>") == body.count("</details>") == 3


@pytest.mark.parametrize("value", ["- a", "+ a", "=====", "---", "1. a", "12) a", ":smile:", "\u05d0\u05d1"])
def test_no_text_is_a_list_a_heading_a_picture_or_turns_its_surroundings(value: str) -> None:
    rendered = MarkdownIt("commonmark").render(f"before\n{text(value)}")
    assert rendered.count("<p>") == 1 and "<li>" not in rendered and "<h" not in rendered
    assert not re.search(r":\w+:", html.unescape(rendered))
    isolated = html.unescape(text(value)).startswith("\u2068")
    assert isolated is (value == "\u05d0\u05d1")
