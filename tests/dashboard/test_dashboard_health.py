"""What the overview says of a history: pure functions over a few commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.charts.floors import LEAST, MOST, floor_row, position
from dashboard.charts.grid import Links, grid
from dashboard.charts.sparkline import sparkline
from dashboard.derive.health import Column, Family, canary_lines, families, health
from dashboard.derive.trust import Share, sight, triage
from perfsuite.model import CANARY_FAMILY, Alert, AlertState, Commit, Noise, Status, Timer, Verdict
from perfsuite.report.noise import Floor
from perfsuite.store.trends import Cell, Place

NOW = datetime(2025, 3, 1, tzinfo=UTC)
HERE, ELSEWHERE = "f" * 16, "e" * 16
FAST, SLOW = "moe/decode[m=8]", "moe/decode[m=64]"


def cell(case: str, median_ns: float | None = 100.0, **changes: object) -> Cell:
    made = Cell("run", case, case.partition("[")[0], Status.OK, median_ns, "v1", Timer.GRAPH, "code")
    return made._replace(**changes)  # type: ignore[arg-type]


def column(number: int, cells: Sequence[Cell], **changes: object) -> Column:
    commit = Commit(f"{number:040x}", f"Subject {number}", "Ada", NOW + timedelta(hours=number), "main")
    place = Place(f"run {number}", commit, NOW, NOW, "env", "quick", "run", True)
    return replace(Column(place, HERE, {one.case: one for one in cells}), **changes)  # type: ignore[arg-type]


def alert(number: int, kind: str = "slower", case: str = FAST, **changes: object) -> Alert:
    before, after = (f"{place:040x}" for place in (number - 1, number))
    change = 0.04 if kind == "slower" else -0.04
    made = Alert(f"{number}{kind}", "acme", case, HERE, kind, before, after, change, None, None, NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def steady(count: int = 12) -> list[Column]:
    return [column(number, [cell(FAST), cell(SLOW, 400.0)]) for number in range(count)]


def verdicts(columns: Sequence[Column], alerts: Sequence[Alert] = ()) -> list[Verdict | None]:
    (row,) = families(columns, alerts)
    return [mark and mark.verdict for mark in row.marks]


def test_the_same_machine_code_is_identical_and_the_first_result_new() -> None:
    assert verdicts(steady(3)) == [Verdict.NEW, Verdict.IDENTICAL, Verdict.IDENTICAL]


@pytest.mark.parametrize("changed", [{"launches_id": "other"}, {"launches_id": None}])
def test_other_or_unknown_machine_code_is_unchanged(changed: dict[str, str | None]) -> None:
    columns = [*steady(2), column(2, [cell(FAST, **changed), cell(SLOW)])]
    assert verdicts(columns)[2] is Verdict.UNCHANGED


def test_a_red_gate_comes_before_everything_and_names_its_cases() -> None:
    red = column(2, [cell(FAST, None, status=Status.INCORRECT, timer=Timer.NONE), cell(SLOW)])
    (row,) = families([*steady(2), red], [alert(2)])
    mark = row.marks[2]
    assert mark is not None
    assert (mark.verdict, mark.cases) == (Verdict.INCORRECT, (FAST,))
    assert verdicts([column(0, [cell(FAST, None, status=Status.FAILED)])]) == [Verdict.FAILED]


def test_what_was_not_measured_is_blank() -> None:
    columns = [*steady(1), column(1, []), column(2, [cell(FAST, None, status=Status.SKIPPED)])]
    assert verdicts(columns)[1:] == [None, None]


def test_alerts_mark_the_first_commit_of_the_new_level() -> None:
    found = verdicts(steady(), [alert(4), alert(7, "faster", SLOW)])
    assert (found[4], found[7]) == (Verdict.REGRESSED, Verdict.IMPROVED)
    assert set(found) == {Verdict.NEW, Verdict.IDENTICAL, Verdict.REGRESSED, Verdict.IMPROVED}


@pytest.mark.parametrize(
    "changes", [{"state": AlertState.NOISE}, {"fingerprint": ELSEWHERE}, {"case": "other[m=1]"}]
)
def test_noise_and_other_machines_alerts_mark_nothing(changes: dict[str, str]) -> None:
    assert Verdict.REGRESSED not in verdicts(steady(), [alert(4, **changes)])


def test_a_new_level_that_no_alert_can_tell_yet_is_inconclusive() -> None:
    columns = [*steady(), column(12, [cell(FAST, 106.0, launches_id="x"), cell(SLOW, 400.0)])]
    rows = families(columns, [])
    mark = rows[0].marks[-1]
    assert mark is not None
    assert (mark.verdict, mark.cases) == (Verdict.INCONCLUSIVE, (FAST,))
    assert mark.change == pytest.approx(0.06)
    said = health(columns, rows, [])
    assert said.unsettled == ((FAST, pytest.approx(0.06)),)
    assert not said.healthy


def test_an_alert_explains_the_new_level() -> None:
    slower = [column(n, [cell(FAST, 106.0), cell(SLOW, 400.0)]) for n in (12, 13)]
    assert Verdict.INCONCLUSIVE not in verdicts([*steady(), *slower], [alert(12)])


def test_small_moves_and_short_histories_are_not_inconclusive() -> None:
    assert Verdict.INCONCLUSIVE not in verdicts([*steady(), column(12, [cell(FAST, 102.0)])])
    assert Verdict.INCONCLUSIVE not in verdicts([*steady(3), column(3, [cell(FAST, 150.0)])])


def test_the_line_is_the_mean_of_matched_ratios_and_breaks_where_nothing_compares() -> None:
    moved = [column(n, [cell(FAST, 110.0), cell(SLOW, 400.0)]) for n in range(4, 6)]
    fresh = column(6, [cell(FAST, 900.0, version="v2"), cell(SLOW, 400.0)])
    driver = column(7, [cell(FAST, 700.0, version="v2"), cell(SLOW, 300.0)], fingerprint=ELSEWHERE)
    (row,) = families([*steady(4), *moved, fresh, driver], [])
    assert row.line[0] == pytest.approx(1.0)
    assert row.line[5] == pytest.approx(1.1**0.5)
    assert row.line[6] == row.line[7] == pytest.approx(1.0)
    assert row.breaks == {6, 7}
    assert row.change is None
    assert row.longest == (FAST, 700.0)


def test_the_change_of_a_line_is_between_its_ends() -> None:
    columns = [column(n, [cell(FAST, 100.0 if n < 6 else 105.0)]) for n in range(12)]
    assert families(columns, [])[0].change == pytest.approx(0.05)


def test_a_reference_on_a_cpu_has_no_speed() -> None:
    columns = [column(n, [cell(FAST, 100.0 * (n + 1), timer=Timer.REFERENCE)]) for n in range(12)]
    rows = families(columns, [])
    assert set(rows[0].line) == {None}
    assert rows[0].longest is None
    assert verdicts(columns)[1:] == [Verdict.IDENTICAL] * 11
    assert not health(columns, rows, []).timed


def test_a_healthy_history_says_so() -> None:
    columns = steady()
    said = health(columns, families(columns, []), [alert(3, "faster")])
    assert said.healthy
    assert (said.ok, said.slower, said.faster) == (2, 0, 1)


def test_open_alerts_come_the_worst_first() -> None:
    columns = steady()
    alerts = [
        alert(3, "faster", change=-0.2),
        alert(4, change=0.01),
        alert(5, change=0.09),
        alert(6, state=AlertState.ACKNOWLEDGED),
        alert(7, state=AlertState.EXPECTED),
    ]
    said = health(columns, families(columns, alerts), alerts)
    assert [one.change for one in said.open] == [0.09, 0.01, -0.2]
    assert (said.acknowledged, said.slower, said.faster) == (1, 4, 1)
    assert not said.healthy


def test_canaries_are_no_family_and_speak_of_the_machine() -> None:
    name = f"{CANARY_FAMILY}[memory]"
    times = [100.0] * 11 + [108.0]
    columns = [
        column(n, [cell(FAST), cell(name, time_ns, family=CANARY_FAMILY)]) for n, time_ns in enumerate(times)
    ]
    rows = families(columns, [])
    assert [row.name for row in rows] == ["moe/decode"]
    assert canary_lines(columns) == {name: times}
    assert "canary memory +8.00 %" in health(columns, rows, []).machine


def test_an_empty_history_is_no_error() -> None:
    assert families([], []) == []
    assert canary_lines([]) == {}


def links() -> Links:
    return Links(lambda c: f"commit?sha={c.place.commit.sha}", lambda c, f, m: "trends?x", lambda f: "trends")


def test_the_grid_tells_colour_sign_and_what_it_is() -> None:
    columns = [replace(one, boundary="driver 1 → 2") if n == 5 else one for n, one in enumerate(steady())]
    drawn = str(grid(columns, families(columns, [alert(4)]), links()))
    assert drawn.count('class="c"') == 11
    assert drawn.count('class="c e"') == 1
    assert 'class="ps r"' in drawn
    assert "▲ moe/decode: regressed +4.00 %" in drawn
    assert "Subject 4" in drawn
    assert "2 ok" in drawn
    assert "environment changed: driver 1 → 2" in drawn
    assert "the same machine code" in drawn
    assert "incorrect" not in drawn.partition("ps-grid-legend")[2]


def test_names_of_others_are_escaped_and_not_without_end() -> None:
    nasty = '<img src=x onerror=alert(1)>"' + "x" * 4000
    columns = [column(n, [cell(f"{nasty}[m=1]")]) for n in range(3)]
    rows = families(columns, [])
    drawn = str(grid(columns, rows, links())) + str(sparkline(rows[0].line, nasty))
    assert "<img src=x" not in drawn
    assert "x" * 200 not in str(grid(columns, rows, links()))


def test_a_sparkline_is_an_image_that_says_its_range() -> None:
    drawn = str(
        sparkline([1.0, None, 1.05, 0.99], "decode", breaks={2}, marks={2: Verdict.REGRESSED, 1: Verdict.NEW})
    )
    assert drawn.startswith('<img class="ps-spark" src="data:image/svg+xml,')
    assert 'alt="decode: between -1.00 % and +5.00 % of its level"' in drawn
    assert drawn.count("%3Cpath") == 4
    assert sparkline([None, None], "nothing") == ""
    assert "NaN" not in str(sparkline([1.0], "one point"))


def test_the_scale_of_floors_is_logarithmic_and_bounded() -> None:
    assert position(LEAST) == position(0) == 0
    assert position(MOST) == position(9.0) == 100
    assert position((LEAST * MOST) ** 0.5) == pytest.approx(50)
    drawn = str(floor_row(0.02, 0.005, 0.02, [None, 0.01]))
    assert "sees 0.50 %, floor 2.00 %, threshold 2.00 %, B sees 1.00 %" in drawn
    assert 'class="s"' in drawn
    assert 'class="s l"' in str(floor_row(0.05, 0.03, 0.02))
    assert "sees" not in str(floor_row(None, None, 0.02))


def test_the_share_of_noise_has_an_exact_interval() -> None:
    # Clopper and Pearson's table: 2 of 10.
    low, high = Share(2, 10).interval
    assert (low, high) == (pytest.approx(0.0252, abs=1e-4), pytest.approx(0.5561, abs=1e-4))
    assert Share(0, 10).interval[0] == 0
    assert Share(10, 10).interval[1] == 1
    assert Share(0, 0).value is None


def test_only_what_people_decided_counts_as_a_false_alarm() -> None:
    found = triage(
        [
            alert(1, state=AlertState.NOISE, changed_by="Ada"),
            alert(2, state=AlertState.NOISE, changed_by="perfsuite"),
            alert(3, state=AlertState.FIXED, changed_by="perfsuite"),
            alert(4, state=AlertState.EXPECTED, changed_by="Ada"),
            alert(5, state=AlertState.OPEN, changed_by="Ada"),
            alert(6, "missing", state=AlertState.NOISE, changed_by="Ada"),
        ]
    )
    assert (found.noise, found.taken_back) == (Share(1, 2), 1)
    assert found.counts["slower", AlertState.NOISE] == 2


def test_sight_sums_up_the_floors_that_are_known() -> None:
    def floor(sees: float | None) -> Floor:
        return Floor("case", "v1", Noise(), sees, sees)

    seen = sight([floor(0.004), floor(0.03), floor(None)], [0.02, 0.02, 0.02])
    assert (seen.cases, seen.known, seen.below, seen.worst) == (3, 2, 1, 0.03)
    assert sight([floor(None)], [0.02]).middle is None


def test_severity_puts_what_asks_for_somebody_first() -> None:
    columns = steady()
    calm = families(columns, [])[0]
    loud = families(columns, [alert(4)])[0]
    assert isinstance(calm, Family)
    assert loud.severity < calm.severity
