from dataclasses import replace

from report_example import CPU, compared, mixed, report, result, run, trusted

from perfsuite.model import Status, Timer, Verdict
from perfsuite.report.text import comparison_text, run_text

MIXED = """\
1 case incorrect, 2 slower, 1 faster, 2 unchanged or identical. This gate sees 0.8 % here.
  gemm: 1 of 1 case incorrect
  moe/prefill: 2 of 3 cases slower, +4.10 % … +9.80 %
  moe/decode: 1 of 2 cases faster, -5.00 %

 verdict     case               base → head           change [interval]
 ────────────────────────────────────────────────────────────────────────────
 incorrect   gemm[m=1]          –                     –
 regressed   moe/prefill[m=2]   1.000 µs → 1.098 µs   +9.80 % [+9.60 … +10.0]
 regressed   moe/prefill[m=1]   1.000 µs → 1.041 µs   +4.10 % [+3.90 … +4.30]
 improved    moe/decode[m=1]    1.000 µs → 950.0 ns   -5.00 % [-5.20 … -4.80]
 unchanged   moe/prefill[m=4]   1.000 µs → 1.001 µs   +0.10 % [-0.10 … +0.30]

1 case identical: the same machine code and launches, not timed.

Why
incorrect gemm[m=1]
  · error (RMS) 0.31, tolerance 0.02
regressed moe/prefill[m=1]
  · _gemm1: registers 128 → 168, spills 0 → 12

base aaaaaaaaaa Base
head bbbbbbbbbb Faster tiles
environment NVIDIA H200 · driver 580.1 · cuda 13.0 · torch 2.11.0 · triton 3.6.0
threshold 2.00 % · comparison cccccccccccc
again: perfsuite compare aaaaaaaaaa bbbbbbbbbb --profile quick --threshold 0.02
"""


def test_comparison_snapshot() -> None:
    assert comparison_text(mixed(), width=100) == MIXED


def test_text_keeps_to_its_width_and_loses_nothing_but_the_command() -> None:
    text = comparison_text(mixed(), width=60)
    lines = [line for line in text.split("\n") if not line.startswith("again:")]
    assert max(map(len, lines)) <= 60
    assert "prefill" in text and "+9.80 %" in text


def test_colour_only_where_asked(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in comparison_text(mixed(), width=80)
    assert "\x1b[" in comparison_text(mixed(), width=80, color=True)


def test_brackets_and_control_characters_of_outside_text() -> None:
    hostile = report(
        compared("x[bold]/y[m=1]", Verdict.FAILED, None, "a\x1b[31mred\u202e"), subject="a\x1b[2Jb"
    )
    text = comparison_text(hostile, width=100)
    assert "x[bold]/y[m=1]" in text
    assert "\x1b" not in text and "\u202e" not in text


def test_first_line_counts_and_says_when_nothing_was_timed() -> None:
    first = comparison_text(report(compared("a", Verdict.IDENTICAL)), width=80).split("\n")[0]
    assert first == "1 case unchanged or identical. Nothing was timed."
    assert comparison_text(report(), width=80).startswith("No cases were compared.")


def test_dirty_head_is_reproduced_from_the_working_tree() -> None:
    one = report(compared("a", Verdict.NEW))
    head = replace(one.comparison.head, commit=replace(one.comparison.head.commit, dirty="1f"), pattern="a b")
    text = comparison_text(replace(one, comparison=replace(one.comparison, head=head)), width=120)
    assert "bbbbbbbbbb+dirty" in text
    again = "perfsuite compare aaaaaaaaaa -k 'a b' --profile quick --threshold 0.02"
    assert f"{again}   # with the uncommitted changes" in text


def test_run_shows_time_error_roofline_resources_and_timer() -> None:
    text = run_text(run(), [result()], width=140)
    row = next(line for line in text.split("\n") if "moe/prefill[m=1]" in line)
    for cell in ("ok", "1.004 µs [1.001 µs … 1.008 µs]", "0.0041 of 0.02", "62%", "168/0/96.0 KiB"):
        assert cell in row
    assert "timer: cuda-graph" in text
    assert "No GPU" not in text


def test_incorrect_run_shows_the_error_and_no_time() -> None:
    bad = replace(result(status=Status.INCORRECT), error_rms=0.31, message="gate is red\ndetail")
    text = run_text(run(), [bad], width=140)
    assert text.startswith("1 case incorrect.")
    assert "0.31 of 0.02" in text and "µs" not in text and "62%" not in text
    assert "incorrect: moe/prefill[m=1]\n  gate is red\n  detail" in text


def test_long_failures_are_cut_with_a_count() -> None:
    failed = replace(result(status=Status.FAILED), message="\n".join(f"line {n}" for n in range(30)))
    assert "… 18 more lines" in run_text(run(), [failed], width=100)


def test_without_a_gpu_the_heading_says_what_the_times_are() -> None:
    text = run_text(run(environment=CPU), [result(timer=Timer.REFERENCE)], width=300)
    heading = text.split("\n")[1]
    assert "No GPU" in heading
    assert "wall clock of the reference ops on the CPU" in heading
    assert "checked in Triton's interpreter and compiled for sm_90" in heading
    assert "timer: wall clock of reference, CPU" in text


def test_mixed_timers_get_a_column() -> None:
    text = run_text(run(), [result(), result("plain/x", timer=Timer.WALL)], width=160)
    assert "cuda-graph" in text and "wall-clock" in text
    assert "timer:" not in text


def test_empty_run() -> None:
    assert run_text(run(), [], width=80).startswith("No cases were run.")


TRUSTED = """\
2 cases slower, 1 faster but less accurate. This gate sees 0.8 % here.
! the machine changed: compute +2.10 %
  kernel _gemm1 (registers 168 → 190): 2 cases of 2 families slower, +3.00 % … +5.00 %
  moe/prefill: 1 of 1 case faster but less accurate, -8.00 %

 verdict         case               base → head           change [interval]           sees
 ─────────────────────────────────────────────────────────────────────────────────────────
 regressed       moe/decode[m=1]    1.000 µs → 1.050 µs   +5.00 % [+4.80 … +5.20]   0.40 %
 regressed       gemm[m=1]          1.000 µs → 1.030 µs   +3.00 % [+2.80 … +3.20]   1.00 %
 less accurate   moe/prefill[m=1]   1.000 µs → 920.0 ns   -8.00 % [-8.20 … -7.80]        –


Why
regressed moe/decode[m=1], confirmed by fresh processes
  · _gemm1: registers 168 → 190
regressed gemm[m=1], confirmed by fresh processes
less accurate moe/prefill[m=1]
  · less accurate: error (RMS) 0.004 → 0.009, tolerance 0.02

base aaaaaaaaaa Base
head bbbbbbbbbb Faster tiles
environment NVIDIA H200 · driver 580.1 · cuda 13.0 · torch 2.11.0 · triton 3.6.0
canaries compute +2.10 %
threshold 2.00 % · comparison cccccccccccc
again: perfsuite compare aaaaaaaaaa bbbbbbbbbb --profile quick --threshold 0.02
"""


def test_what_makes_a_verdict_trusted_is_shown() -> None:
    assert comparison_text(trusted(), width=100) == TRUSTED


def test_canaries_of_a_run_are_not_among_its_cases() -> None:
    canary = result("perfsuite/canary[compute]")
    failed = replace(result("perfsuite/canary[memory]", status=Status.FAILED), message="lost")
    text = run_text(run(), [result(), canary, failed], width=140)
    assert text.startswith("1 case ok.\n")
    assert "\ncanaries compute 1.004 µs, memory failed\n" in text
    assert "canary" not in text
