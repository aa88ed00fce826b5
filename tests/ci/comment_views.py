"""Views that the tests of the comment share. `python tests/ci/comment_views.py` writes their Markdown.

The regressed, accepted, incorrect and comment-only ones are made of samples from an H200.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from ci.body import Extra, Stage, View, pull_body
from ci.metrics import metrics
from ci.sorting import Trunk, launch_orders, sort_cases
from perfsuite.config import Headline
from perfsuite.model import (
    CANARY_FAMILY,
    Alert,
    AlertState,
    CaseComparison,
    Command,
    Commit,
    Comparison,
    ComparisonReport,
    Environment,
    Result,
    Run,
    Status,
    Verdict,
)
from perfsuite.stats.families import findings, worst_first
from perfsuite.stats.judge import judge
from perfsuite.store import import_document, open_store

DATA = Path(__file__).parents[1] / "data"
SNAPSHOTS = DATA / "comments"
AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
GPU = Environment("node", gpu="NVIDIA H200", driver="580.1", cuda="13.0", torch="2.11.0", triton="3.6.0")
BASE, HEAD, FORMER = "a" * 40, "b" * 40, "f" * 40
LINKS = {"dashboard": "https://perf.example.com/compare?comparison=1"}
CASE_PAGE = "https://perf.example.com/case?comparison=1&case="
HEADLINES = (
    Headline("Prefill, Qwen3.5-35B-A3B MoE layers", "moe_w4a8/prefill*m=1696,g=128]", "m", 40),
    Headline("Decode, Qwen3.5-35B-A3B MoE layers", "moe_w4a8/decode*g=128]", "m", 40),
)
HOSTILE = (
    "</code></details></summary>|`x`\n# @team fixes #12 GH-3 [a](http://evil.example/) "
    "<img src=x onerror=alert(1)> ![p](https://evil.example/p.png) <script>alert(1)</script> "
    "<!-- perfsuite:comment --> --> ```\n~~~\n| new | row |\n\u202eevil\u2066 \u05d0\u05d1 "
    "www.evil.example a@evil.example :rocket: $x$ \x1b[31m\x00 &lt;b&gt;"
)


def run(sha: str, subject: str = "Faster tiles", branch: str | None = None) -> Run:
    commit = Commit(sha, subject, "Ada", AT, branch)
    return Run(sha[:32], commit, "us/kernels", GPU, "pr", AT, AT, "base" if sha == BASE else "head")


def compared(case: str, verdict: Verdict, change: float | None = None, *why: str) -> CaseComparison:
    blank = CaseComparison(case, case.split("[")[0], {"m": 1}, verdict, threshold=0.02, why=why)
    if change is None:
        return blank
    times = {"base_ns": 1000.0, "head_ns": 1000.0 * (1 + change), "pairs": 2, "rounds": 48, "blocks": 12}
    return replace(blank, change=change, low=change - 0.002, high=change + 0.002, confirmed=True, **times)


def report(*comparisons: CaseComparison, subject: str = "Faster tiles") -> ComparisonReport:
    ordered = worst_first(comparisons)
    comparison = Comparison("c" * 32, run(BASE, branch="main"), run(HEAD, subject), 0.02, AT, AT)
    timed = any(c.low is not None for c in ordered)
    return ComparisonReport(comparison, ordered, findings(ordered), 0.008 if timed else None)


def view(stage: Stage = Stage.DONE, of: ComparisonReport | None = None) -> View:
    return View("us/kernels", 7, HEAD, stage, "Faster tiles", BASE, "main", report=of, at=AT if of else None)


def accept(case: str, reason: str = "the price of the fix", author: str = "ada", **limits: float) -> Command:
    arguments = {"case": case, "reason": reason, "limits": limits}
    return Command("us/kernels", "comment/1", "accept", 7, HEAD, author, AT, arguments)


def alert(case: str, kind: str = "slower", change: float = 0.05, **changes: object) -> Alert:
    low, high, here = change - 0.01, change + 0.01, GPU.fingerprint
    made = Alert("9" * 32, "us/kernels", case, here, kind, "1" * 40, "2" * 40, change, low, high, AT)
    return replace(made, **changes)  # type: ignore[arg-type]


@cache
def h200() -> tuple[Comparison, tuple[Result, ...], tuple[Result, ...]]:
    """The quantization inside the K-loop against outside of it, as an H200 measured it."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "perfsuite.db") as store:
        import_document(store, (DATA / "h200" / "compare_inloop.json").read_bytes(), "compare_inloop.json")
        comparison = store.reader.comparison("latest")
        sides = (tuple(store.reader.results(run.id)) for run in (comparison.base, comparison.head))
        base, head = sides
    return comparison, base, head


@cache
def h200_report() -> ComparisonReport:
    return judge(*h200())


def _of_h200(of: ComparisonReport, base: Sequence[Result], head: Sequence[Result]) -> View:
    comparison = of.comparison
    return View(
        repository="us/kernels",
        pull=7,
        head=comparison.head.commit.sha,
        head_subject=comparison.head.commit.subject,
        base=comparison.base.commit.sha,
        base_branch="main",
        stage=Stage.DONE,
        report=of,
        metrics=metrics(of, HEADLINES, base=base, head=head),
        notes=("Trials ran without network, in a home folder of their own.",),
        links=LINKS,
        case_page=CASE_PAGE,
        at=comparison.finished_at,
    )


def regressed() -> View:
    _, base, head = h200()
    return _of_h200(h200_report(), base, head)


def accepted() -> View:
    """Prefill is accepted, one decode case is on main by now, another is within its noise."""
    of, seen = h200_report(), regressed()
    decode, noisy = (f"moe_w4a8/decode[qwen3.5-35b-a3b,m={m},g=128]" for m in (1, 8))
    limits = {c.case: c.high or 0.0 for c in of.comparisons if "prefill" in c.case}
    orders = launch_orders(h200()[2])
    here = of.comparison.head.environment.fingerprint
    noise = alert(noisy, change=0.09, fingerprint=here, state=AlertState.NOISE, changed_at=AT)
    trunk = Trunk([noise, noise], {decode: orders[decode]})
    commands = [
        replace(accept("prefill", "slower until the tiles are tuned, see #41", **limits), head=seen.head),
        accept("quantize/rows", "was slower once"),
    ]
    found = sort_cases(of, orders, trunk, commands, AT + timedelta(days=2))
    return replace(seen, sorted=found, accepted=tuple(commands))


def comment_only() -> View:
    """Only a comment changed: the same machine code on both sides, nothing was timed."""
    comparison, base, _ = h200()
    untimed = tuple(map(_untimed, base))
    return _of_h200(judge(comparison, untimed, untimed), untimed, untimed)


def incorrect() -> View:
    """A broken group scale: the gate of the whole op is red, and says by how much."""
    comparison, base, _ = h200()
    untimed = tuple(map(_untimed, base))
    head = tuple(
        replace(
            result,
            status=Status.INCORRECT,
            error_rms=0.31,
            error_max=0.57,
            message=f"output differs: error (RMS) 0.31, tolerance {result.tolerance}",
        )
        if result.family in ("moe_w4a8/prefill", "moe_w4a8/decode") and "g=128" in result.case
        else result
        for result in untimed
    )
    return _of_h200(judge(comparison, untimed, head), untimed, head)


def _untimed(result: Result) -> Result:
    """Equal machine code is not timed, but for the canaries."""
    return result if result.family == CANARY_FAMILY else replace(result, blocks=())


def running() -> View:
    """A new head is on its way; the former one's result is folded."""
    former = replace(incorrect(), stage=Stage.MEASURING, done=12, total=29, previous_head=FORMER)
    return replace(former, head=HEAD, head_subject="Tune the tiles again")


def unapproved() -> View:
    return replace(view(Stage.UNAPPROVED), head_subject="A present for you", base="")


def failed() -> View:
    trace = (
        "Traceback (most recent call last):\n  File \"x.py\", line 1\nImportError: no module named 'tiles'"
    )
    return replace(view(Stage.FAILED), stage_text=trace)


def hostile() -> View:
    """Everything that a stranger can write is as bad as it can be."""
    cases = [
        compared(HOSTILE, Verdict.FAILED, None, HOSTILE),
        compared(f"x/{HOSTILE}[m=1]", Verdict.REGRESSED, 0.1, f"{HOSTILE}: registers 1 → 2"),
        compared(f"y/{HOSTILE}", Verdict.IMPROVED, -0.1, HOSTILE),
        compared(f"z/{HOSTILE}", Verdict.INCONCLUSIVE, 0.01, HOSTILE),
    ]
    of = replace(report(*cases, subject=HOSTILE), machine=HOSTILE)
    commands = (accept("nothing", HOSTILE, HOSTILE),)
    extra = Extra(HOSTILE, "The table of a bisect.")
    found = replace(view(of=of), head_subject=HOSTILE, base_branch=HOSTILE, notes=(HOSTILE,), extras=(extra,))
    return replace(found, accepted=commands, stage_text=HOSTILE, links=LINKS, case_page=CASE_PAGE)


def huge() -> View:
    """A change of everything in a suite of thousands."""
    kinds = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE, Verdict.UNCHANGED)
    cases = [
        compared(f"f{n % 60}/x[{'m' * 60},n={n:04}]", kinds[n % 4], n / 1e4, "registers 1 → 2" * 9)
        for n in range(2000)
    ]
    return replace(view(of=report(*cases)), links=LINKS, case_page=CASE_PAGE)


VIEWS: dict[str, Callable[[], View]] = {
    made.__name__: made
    for made in (regressed, comment_only, incorrect, running, accepted, unapproved, failed, hostile)
}
"""Those with a snapshot; the huge one is too large to be read."""


def main() -> None:
    SNAPSHOTS.mkdir(parents=True, exist_ok=True)
    for name, made in VIEWS.items():
        (SNAPSHOTS / f"{name}.md").write_text(pull_body(made()), encoding="utf-8")


if __name__ == "__main__":
    main()
