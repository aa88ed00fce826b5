from hypothesis import given, settings
from hypothesis import strategies as st

from perfsuite.model import CaseComparison, Verdict
from perfsuite.stats.families import findings


def compared(case: str, verdict: Verdict, change: float | None = None) -> CaseComparison:
    return CaseComparison(case, case.split("[")[0], {}, verdict, change=change)


def test_one_line_for_each_family_and_verdict() -> None:
    found = findings(
        [
            compared("moe[m=1]", Verdict.REGRESSED, 0.041),
            compared("moe[m=2]", Verdict.REGRESSED, 0.098),
            compared("moe[m=4]", Verdict.REGRESSED, 0.05),
            compared("moe[m=8]", Verdict.UNCHANGED, 0.001),
        ]
    )
    assert len(found) == 1
    assert found[0].text == "3 of 4 cases slower, +4.10 % … +9.80 %"
    assert found[0].cases == ("moe[m=2]", "moe[m=4]", "moe[m=1]")


def test_order_is_severity_and_the_quiet_ones_are_no_findings() -> None:
    every = [compared(f"{verdict}[m=1]", verdict) for verdict in Verdict]
    assert [f.verdict for f in findings(every)] == [
        Verdict.INCORRECT,
        Verdict.FAILED,
        Verdict.REGRESSED,
        Verdict.LESS_ACCURATE,
        Verdict.IMPROVED,
        Verdict.INCONCLUSIVE,
        Verdict.NEW,
        Verdict.REMOVED,
    ]


def test_faster_families_begin_with_the_smallest_gain() -> None:
    found = findings([compared("g[1]", Verdict.IMPROVED, -0.2), compared("g[2]", Verdict.IMPROVED, -0.03)])
    assert found[0].text == "2 of 2 cases faster, -3.00 % … -20.0 %"


def test_a_single_case() -> None:
    assert findings([compared("g", Verdict.FAILED)])[0].text == "1 of 1 case failed"


REGISTERS = "registers 168 → 190"


def test_one_kernel_that_moved_several_families_is_one_finding() -> None:
    cases = [
        compared("decode[1]", Verdict.REGRESSED, 0.03),
        compared("decode[2]", Verdict.REGRESSED, 0.09),
        compared("prefill[1]", Verdict.REGRESSED, 0.05),
        compared("prefill[2]", Verdict.UNCHANGED, 0.001),
    ]
    changed = {
        c.case: {"_gemm1": (f"BLOCK_N {n} → 8", REGISTERS, "grid (1) → (2)")} for n, c in enumerate(cases)
    }
    (found,) = findings(cases, changed)
    assert found.text == (
        "kernel _gemm1 (registers 168 → 190, grid (1) → (2)): 3 cases of 2 families slower, +3.00 % … +9.00 %"
    )
    assert (found.kernel, found.family) == ("_gemm1", "decode, prefill")
    assert found.cases == ("decode[2]", "prefill[1]", "decode[1]")
    assert [f.kernel for f in findings(cases)] == [None, None]


def test_a_kernel_is_blamed_where_it_is_all_that_changed() -> None:
    cases = [compared(f"{family}[1]", Verdict.REGRESSED, 0.05) for family in ("a", "b", "c")]
    alone = {"a[1]": {"k": (REGISTERS,)}, "b[1]": {"k": (REGISTERS,)}, "c[1]": {"other": ("removed",)}}
    assert [(f.kernel, f.cases) for f in findings(cases, alone)] == [
        ("k", ("a[1]", "b[1]")),
        (None, ("c[1]",)),
    ]
    in_all = {case: {"k": (REGISTERS,), f"own of {case}": ("added",)} for case in alone}
    assert [f.kernel for f in findings(cases, in_all)] == ["k"]


def test_two_suspects_a_single_family_or_unknown_launches_blame_nobody() -> None:
    cases = [compared("a[1]", Verdict.IMPROVED, -0.05), compared("b[1]", Verdict.IMPROVED, -0.05)]
    two = {c.case: {"k": (REGISTERS,), "l": ("removed",)} for c in cases}
    assert [f.family for f in findings(cases, two)] == ["a", "b"]
    one_family = [compared("a[1]", Verdict.IMPROVED, -0.05), compared("a[2]", Verdict.IMPROVED, -0.05)]
    (found,) = findings(one_family, {c.case: {"k": (REGISTERS,)} for c in one_family})
    assert (found.kernel, found.text) == (None, "2 of 2 cases faster, -5.00 % … -5.00 %")
    assert [f.kernel for f in findings(cases, {"a[1]": {"k": (REGISTERS,)}})] == [None, None]


def test_a_torch_op_may_be_the_culprit_and_new_cases_have_none() -> None:
    cases = [compared("a[1]", Verdict.REGRESSED, 0.05), compared("b[1]", Verdict.REGRESSED, 0.05)]
    (found,) = findings(cases, {c.case: {"aten.clone": ("launched 0× → 1×",)} for c in cases})
    assert found.text.startswith("torch op aten.clone (launched 0× → 1×): 2 cases of 2 families slower")
    new = [compared("a[1]", Verdict.NEW), compared("b[1]", Verdict.NEW)]
    assert [f.kernel for f in findings(new, {c.case: {"k": ("added",)} for c in new})] == [None, None]


CASES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(list(Verdict)),
        st.none() | st.floats(-0.9, 9.0),
        st.dictionaries(st.sampled_from(["k", "l", "aten.mm"]), st.just((REGISTERS,)), max_size=2),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(CASES)
def test_every_case_worth_a_finding_is_in_exactly_one(
    rows: list[tuple[str, Verdict, float | None, dict[str, tuple[str, ...]]]],
) -> None:
    cases = [
        compared(f"{family}[{n}]", verdict, change) for n, (family, verdict, change, _) in enumerate(rows)
    ]
    changed = {case.case: row[3] for case, row in zip(cases, rows, strict=True)}
    found = findings(cases, changed)
    listed = sorted(case for finding in found for case in finding.cases)
    quiet = (Verdict.UNCHANGED, Verdict.IDENTICAL)
    assert listed == sorted(case.case for case in cases if case.verdict not in quiet)
    verdicts = {case.case: case.verdict for case in cases}
    assert all(verdicts[case] is finding.verdict for finding in found for case in finding.cases)
    assert all(
        finding.kernel in changed[case] for finding in found if finding.kernel for case in finding.cases
    )
    assert findings(cases[::-1], changed) == found, "the order in which cases were measured says nothing"
