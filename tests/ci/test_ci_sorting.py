"""Which cases are a pull request's own doing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from comment_views import AT, BASE, HEAD, accept, alert, compared, h200, h200_report, report

from ci.sorting import Class, Sorted, Trunk, launch_orders, sort_cases
from perfsuite.model import AlertState, CaseComparison, Command, Verdict

CASE = "moe/prefill[m=1]"
ORDER = ("_gemm1#aaaa[132]()",)
SLOWER = compared(CASE, Verdict.REGRESSED, 0.05)
WRONG = compared(CASE, Verdict.INCORRECT, None, "error (RMS) 0.31, tolerance 0.02")
AFTER = Trunk(commits=("2" * 40,))
NOISE = alert(CASE, change=0.04, state=AlertState.NOISE, changed_at=AT - timedelta(days=3))


def sort(
    *cases: CaseComparison,
    trunk: Trunk = AFTER,
    accepted: tuple[Command, ...] = (),
    launches: tuple[str, ...] = ORDER,
    machine: str = "",
) -> Sorted:
    return sort_cases(replace(report(*cases), machine=machine), {CASE: launches}, trunk, accepted, AT)


def kind(case: CaseComparison, **known: object) -> Class:
    return sort(case, **known).classes[case.case]  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_class_and_only_what_is_red_is_new(verdict: Verdict) -> None:
    found = kind(compared(CASE, verdict, 0.05))
    assert (found is Class.NEW) is verdict.red
    if verdict is Verdict.NEW:
        assert found is Class.NO_BASELINE
    elif verdict is Verdict.INCONCLUSIVE:
        assert found is Class.INCONCLUSIVE
    elif not verdict.red:
        assert found is Class.OTHER


def test_only_a_new_regression_is_red() -> None:
    assert sort(SLOWER).red
    assert not sort(SLOWER, accepted=(accept("prefill", **{CASE: 0.06}),)).red
    assert not sort(compared("a", Verdict.IMPROVED, -0.1), compared("b", Verdict.INCONCLUSIVE)).red


def test_main_launches_the_same_machine_code() -> None:
    assert kind(SLOWER, trunk=Trunk(launches={CASE: ORDER})) is Class.ON_MAIN
    assert kind(SLOWER, trunk=Trunk(launches={CASE: ("_gemm1#bbbb[132]()",)})) is Class.NEW
    assert kind(SLOWER, trunk=Trunk(launches={CASE: ()}), launches=()) is Class.NEW, "nothing is known"
    assert kind(WRONG, trunk=Trunk(launches={CASE: ORDER})) is Class.NEW, "main is not wrong"


def test_only_launches_that_prove_something_are_compared() -> None:
    _, base, _ = h200()
    opaque = replace(base[0], launches=replace(base[0].launches, opaque=("a library",)))
    assert launch_orders([opaque]) == {}
    assert launch_orders(base[:1]) == {base[0].case: base[0].launches.order}


@pytest.mark.parametrize("state", list(AlertState))
def test_an_alert_of_main_since_the_merge_base(state: AlertState) -> None:
    standing = state in (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.EXPECTED)
    found = sort(SLOWER, trunk=replace(AFTER, alerts=(alert(CASE, state=state),)))
    assert found.classes[CASE] is (Class.ON_MAIN if standing else Class.NEW)
    if standing:
        assert found.reasons[CASE] == f"main has it since 2222222222 (alert 999999999999, {state})"


@pytest.mark.parametrize(
    "other",
    [
        alert("another[m=1]"),
        alert(CASE, kind="faster"),
        alert(CASE, change=0.02),
        alert(CASE, after="3" * 40),
        alert(CASE, fingerprint="f" * 16),
        alert(CASE, metric="memory"),
        alert(CASE, low=None),
    ],
    ids=["case", "faster", "smaller", "before", "machine", "metric", "range"],
)
def test_an_alert_of_something_else_excuses_nothing(other: object) -> None:
    assert kind(SLOWER, trunk=replace(AFTER, alerts=(other,))) is Class.NEW


@pytest.mark.parametrize("verdict", [Verdict.INCORRECT, Verdict.FAILED])
def test_what_is_red_on_main_or_at_base_too_is_not_new(verdict: Verdict) -> None:
    broken = compared(CASE, verdict, None, "it raised")
    assert kind(broken, trunk=Trunk(failing={CASE})) is Class.ON_MAIN
    already = f"already {verdict.value} at base"
    assert kind(replace(broken, why=("it raised", already))) is Class.ON_MAIN
    assert kind(replace(broken, why=("it says: already failed at base",))) is Class.NEW
    assert kind(SLOWER, trunk=Trunk(failing={CASE})) is Class.NEW, "a red case has no time to be slow against"


def test_below_its_noise_floor_or_like_what_was_called_noise() -> None:
    assert kind(replace(SLOWER, floor=0.051)) is Class.NOISY
    assert kind(replace(SLOWER, floor=0.01)) is Class.NEW
    twice = replace(AFTER, alerts=(NOISE, alert(CASE, change=-0.06, state=AlertState.NOISE)))
    found = sort(SLOWER, trunk=twice)
    assert found.classes[CASE] is Class.NOISY
    assert found.reasons[CASE] == "2 alerts of up to 6.00 % were noise in the last 30 days"
    assert kind(SLOWER, trunk=replace(AFTER, alerts=(NOISE,))) is Class.NEW, "once is a coincidence"
    old = replace(NOISE, changed_at=AT - timedelta(days=31))
    assert kind(SLOWER, trunk=replace(AFTER, alerts=(NOISE, old))) is Class.NEW
    larger = compared(CASE, Verdict.REGRESSED, 0.30)
    assert kind(larger, trunk=twice) is Class.NEW, "no noise was that large"
    assert kind(WRONG, trunk=twice) is Class.NEW, "wrong results are not noise"


def test_an_inconclusive_case_says_what_of() -> None:
    open_ = compared(CASE, Verdict.INCONCLUSIVE, 0.01)
    assert kind(open_, machine="the machine changed") is Class.MACHINE
    assert kind(replace(open_, change=None), machine="the machine changed") is Class.INCONCLUSIVE
    assert kind(replace(open_, floor=0.03)) is Class.NOISY, "its noise hides the threshold"
    assert kind(replace(open_, floor=0.015)) is Class.INCONCLUSIVE, "more pairs would settle it"
    broken = compared(CASE, Verdict.INCONCLUSIVE, None, "failed at base while it was timed: x")
    assert kind(broken) is Class.NO_BASELINE
    assert kind(SLOWER, machine="the machine changed") is Class.NEW, "judged with the machine's allowance"


def test_slowness_is_accepted_up_to_its_limit_at_later_heads_too() -> None:
    limit = {CASE: 0.051}
    earlier = replace(accept("prefill", "worth it", **limit), head="9" * 40)
    found = sort(SLOWER, accepted=(earlier,))
    assert found.classes[CASE] is Class.ACCEPTED
    assert found.reasons[CASE] == "accepted by ada: worth it"
    worse = replace(SLOWER, change=0.09, low=0.08, high=0.10)
    assert kind(worse, accepted=(earlier,)) is Class.NEW
    assert kind(worse, accepted=(earlier, accept("m=1", **{CASE: 0.12}))) is Class.ACCEPTED
    assert kind(WRONG, accepted=(replace(earlier, head=HEAD),)) is Class.NEW, "slow was accepted, not wrong"


def test_what_had_no_time_is_accepted_at_its_head_only() -> None:
    assert kind(WRONG, accepted=(accept("prefill"),)) is Class.ACCEPTED
    assert kind(SLOWER, accepted=(accept(CASE),)) is Class.ACCEPTED
    assert kind(WRONG, accepted=(replace(accept("prefill"), head=BASE),)) is Class.NEW
    assert kind(WRONG, accepted=(accept("decode"),)) is Class.NEW
    assert kind(WRONG, accepted=(accept(""),)) is Class.NEW, "an empty pattern is not everything here"
    assert kind(WRONG, accepted=(replace(accept("prefill"), verb="run"),)) is Class.NEW


def test_the_samples_of_an_h200_are_sorted_by_the_report_alone() -> None:
    found = sort_cases(h200_report(), launch_orders(h200()[2]), Trunk(), (), AT)
    assert found.red and found.count(Class.NEW) == 12
    assert [c.case for c in found.cases(h200_report(), Class.NEW)] == [
        c.case for c in h200_report().comparisons if c.verdict.red
    ]
    main_too = Trunk(launches=launch_orders(h200()[2]))
    assert not sort_cases(h200_report(), launch_orders(h200()[2]), main_too, (), AT).red
