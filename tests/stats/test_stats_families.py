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
