"""The page. Streamlit runs this file from top to bottom at every visit and every choice."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import charts, data, frames
from dashboard.state import choose
from dashboard.words import escape, run_label, utc
from perfsuite.config import load_config, process_environ
from perfsuite.errors import PerfsuiteError
from perfsuite.model import Comparison, Run, Timer
from perfsuite.report.words import finding_parts, headline, machine_note, run_answer, timer_label

ALL = "all"
_CHART = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"], "responsive": True}
_SHARE = st.column_config.NumberColumn(format="%+.2f")
_KIND_PX = 120
_TIME = st.column_config.NumberColumn(format="%.3f")


def main() -> None:
    st.set_page_config(page_title="perfsuite", layout="wide")
    st.title("perfsuite")
    try:
        page()
    except PerfsuiteError as error:
        show_error(error)


def page() -> None:
    config = load_config(Path.cwd(), process_environ(), required=False)
    database = data.Database.at(config.database)
    if database.missing:
        empty()
    runs = data.runs(database)
    if not runs:
        empty()
    worst_case = comparison_section(database)
    trend_section(database, worst_case)
    runs_section(database, runs)


def empty() -> None:
    """Ends the page: there is nothing to show, so it says how to get something."""
    st.info("Nothing has been measured yet.")
    st.markdown("Measure the working tree, and come back:")
    st.code("perfsuite run", language=None)
    st.markdown("Or compare it with its merge base, or read another project's pytest-benchmark results:")
    st.code("perfsuite compare\nperfsuite import results.json", language=None)
    st.stop()


def show_error(error: PerfsuiteError) -> None:
    st.error(escape(error.what))
    if error.next_step:
        st.markdown(f"Next: {escape(error.next_step)}")


def comparison_section(database: data.Database) -> str | None:
    """Returns the case to look at first."""
    known = {comparison.id: comparison for comparison in data.comparisons(database)}
    st.header("Last comparison", anchor="comparison")
    if not known:
        st.caption("None yet: `perfsuite compare` measures the working tree against its merge base.")
        return None
    chosen = choose("Comparison", "comparison", list(known), show=lambda key: _comparison_label(known[key]))
    comparison = known[chosen]
    report = data.report(database, comparison)
    (st.error if report.red else st.info)(escape(headline(report)))
    if report.machine:
        st.warning(escape(report.machine))
    for finding in report.findings:
        subject, rest = finding_parts(finding)
        st.markdown(f"- **{escape(subject)}**: {escape(rest)}")
    frame = frames.comparison_frame(report)
    if frame["change"].notna().any():
        st.plotly_chart(charts.forest(frame), key="forest", config=_CHART)
    st.dataframe(
        frames.comparison_table(frame),
        hide_index=True,
        column_config={
            **dict.fromkeys(("change (%)", "low (%)", "high (%)"), _SHARE),
            **dict.fromkeys(("base (µs)", "head (µs)"), _TIME),
        },
    )
    return str(frame["case"].iloc[0]) if len(frame) else None


def trend_section(database: data.Database, first: str | None) -> None:
    st.header("Trend of a case", anchor="trend")
    known = data.cases(database)
    if not known:
        st.caption("No run has stored a case yet.")
        return
    left, right = st.columns(2)
    with left:
        case = choose("Case", "case", known, default=first)
    points = data.series(database, case)
    # GPUs first, each group the newest first: a laptop's wall clock is not what the trend is about.
    on_gpu = [p for p in points if p.run.environment.gpu is not None]
    elsewhere = [p for p in points if p.run.environment.gpu is None]
    newest = [*reversed(on_gpu), *reversed(elsewhere)]
    labels = {p.run.environment.fingerprint: p.run.environment.label for p in newest}
    with right:
        environment = choose(
            "Environment", "environment", [*labels, ALL], show=lambda key: labels.get(key, "all environments")
        )
    shown = [p for p in points if environment in (ALL, p.run.environment.fingerprint)]
    if not shown:
        st.caption("No run of this case.")
        return
    for clock, group in frames.by_clock(shown).items():
        st.plotly_chart(charts.trend(frames.series_frame(group), clock), key=f"trend {clock}", config=_CHART)
        timers = sorted({timer_label(p.timer) for p in group if p.timer != Timer.NONE})
        times = f"Timer: {', '.join(timers)}. Band: 95 % interval of the median."
        st.caption(f"Runs, oldest left: {len(group)}. {times if timers else 'None has a time.'}")


def runs_section(database: data.Database, runs: list[Run]) -> None:
    st.header("Newest runs", anchor="runs")
    counts = {run.id: data.counts(database, run) for run in runs}
    st.dataframe(
        frames.runs_frame(runs, counts),
        hide_index=True,
        column_config={"kind": st.column_config.Column(width=_KIND_PX)},
    )
    known = {run.id: run for run in runs}
    chosen = choose("Results of", "run", list(known), show=lambda key: run_label(known[key]))
    run = known[chosen]
    results, times = data.results(database, run)
    st.markdown(escape(run_answer(results)))
    note = machine_note(run, results)
    if note:
        st.warning(escape(note))
    st.dataframe(
        frames.results_frame(results, times),
        hide_index=True,
        column_config=dict.fromkeys(("median (µs)", "low (µs)", "high (µs)"), _TIME),
    )
    st.caption(escape(f"{run.environment.label} · profile {run.profile} · {run.repository}"))


def _comparison_label(comparison: Comparison) -> str:
    state = "" if comparison.finished_at else " · unfinished"
    return (
        f"{comparison.head.commit.label} against {comparison.base.commit.label} · "
        f"{utc(comparison.started_at)}{state}"
    )


if __name__ == "__main__":
    main()
