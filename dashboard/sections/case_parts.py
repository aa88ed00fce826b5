"""The sections of the case page. A new one is a function here and a line in `PARTS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from markupsafe import Markup

from dashboard import markup
from dashboard.charts import code, roofline, samples, telemetry
from dashboard.charts.palette import chart_config
from dashboard.derive import reproduce, sass
from dashboard.export import exports, image_format
from dashboard.markup import table, text
from dashboard.reads import case as reads
from dashboard.reads.case import MOST_CHANGES, View
from dashboard.sections import case as sections
from dashboard.state import choose
from dashboard.words import escape
from perfsuite.model import Kernel, Launches, Timer
from perfsuite.stats.paired import block_values

LISTING_SINCE = "0.4"
"""First version of perfsuite that keeps the machine code of main loops."""
KERNEL = "kernel"
_LEAST_PLACES = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One section."""

    title: str
    show: Callable[[View], None]
    charts: bool = True


def _samples(view: View) -> None:
    line = _timeline(view)
    if line is None:
        return
    _chart(samples.in_order(line), "samples in order of time")
    drawn = sum(len(line.of(side)) for side in line.sides)
    if drawn < len(line.samples):
        st.caption(f"{drawn} of {len(line.samples)} rounds are drawn, spread evenly.")
    _chart(samples.distribution(line), "distribution of samples")
    sides, compared = view.sides, view.compared
    if view.lockstep and len(sides) == 2 and compared is not None:
        values = block_values(sides["base"], sides["head"])
        if values:
            known = compared.low is not None and compared.high is not None
            interval = (compared.low or 0.0, compared.high or 0.0) if known else None
            _chart(samples.block_ratios(values, interval, compared.threshold), "change by block")
            st.caption(
                "Head against base in each block, paired round by round: purple the interval of all blocks, "
                "grey below the threshold."
            )
    exports("samples", lambda: _samples_frame(line))


def _samples_frame(line: samples.Timeline) -> pd.DataFrame:
    rows = [
        {
            **{"side": one.side, "pair": one.pair, "block": one.block, "index": one.round.index},
            **{"order": one.round.order, "sample_ns": one.round.sample_ns, "throttled": one.round.throttled},
            **{
                q.name: q.read(one.round.telemetry) if one.round.telemetry else None
                for q in telemetry.QUANTITIES
            },
        }
        for one in line.samples
    ]
    return pd.DataFrame(rows)


def _clocks(view: View) -> None:
    line = _timeline(view)
    if line is None:
        return
    known, missing = telemetry.told(line)
    if not known:
        st.info(
            "No clocks, power or temperature were recorded beside these rounds: NVML tells them, of a GPU."
        )
        return
    _chart(telemetry.beside(line), "clocks, power and temperature")
    reasons = telemetry.throttle_reasons(line)
    words = ", ".join(f"{reason} ({count} readings)" for reason, count in reasons.items())
    notes = [
        f"The GPU held itself back: {words}." if words else "No reading shows the GPU holding itself back."
    ]
    if missing:
        notes.append(f"NVML did not tell: {', '.join(quantity.name for quantity in missing)}.")
    st.caption(escape(" ".join(notes)))


def _timeline(view: View) -> samples.Timeline | None:
    """None, and a word why, where there are no samples."""
    blocks = {name: result.blocks for name, result in view.sides.items() if result.blocks}
    if not blocks:
        st.info("There are no samples: the case was not timed. Where code is identical, nothing is measured.")
        return None
    if any(result.timer is Timer.REFERENCE for result in view.sides.values()):
        st.caption("These are times of the reference on the CPU: they say nothing about the kernel.")
    return samples.timeline(blocks, lockstep=view.lockstep)


def _roofline(view: View) -> None:
    result = view.sides.get("head")
    here = roofline.standing_of(result) if result else None
    if result is None or here is None:
        st.info(
            "There is no place for this case below a roofline: its bytes and operations, or its time, are "
            "not known. A benchmark gives them as `bytes=` and `operations=`."
        )
        return
    all_here = reads.standings(view.database, view.head, result.family)
    rest = [each for each in all_here if each.case != view.case]
    peers = [each for each in rest if each.family == result.family]
    others = [each for each in rest if each.family != result.family]
    roofs = roofline.roofs_of([here, *rest])
    base_result = view.sides.get("base")
    before = roofline.standing_of(base_result) if base_result else None
    sides = [*([("base", before)] if before else []), ("head" if before else "", here)]
    if here.drawable:
        _chart(roofline.roofline(sides, peers, others, roofs), "roofline")
    else:
        st.info("The case counts no operations, or no bytes: it has no place on the plot, but in the table.")
    st.caption(_roof_words(roofs))
    markup.show(sections.peers([here, *peers], roofs, view))


def _roof_words(roofs: roofline.Roofs) -> str:
    if not (roofs.bytes_per_s or roofs.operations_per_s):
        return (
            "No roof is drawn: these results do not tell bandwidth or rates of this GPU for certain. They "
            "are derived from the stored shares of the roofline, bytes, operations and medians."
        )
    return (
        "The roofs are the data-sheet rates that the measurement went by, derived from the stored shares of "
        "the roofline, bytes, operations and medians. A roof that no case of the run reaches is not known."
    )


def _code(view: View) -> None:
    sides = {name: result.launches for name, result in view.sides.items() if result.launches.kernels}
    if sides:
        base, head = sides.get("base"), sides.get("head") or sides["base"]
        markup.show(sections.kernels(base if "head" in sides else None, head))
        _loops(view, base if "head" in sides else None, head)
    else:
        st.info("No machine code is known of this case: no kernel was compiled, or nothing was captured.")
    known = reads.history(view.database, view.head.repository, view.head.environment.fingerprint, view.case)
    steps = reads.steps(view.database, known)
    if not steps or len(known.places) < _LEAST_PLACES:
        st.caption(
            "Registers, spills and instructions as series need two runs of the history with machine code."
        )
        return
    _chart(code.resources(steps, known.commits), "resources of kernels")
    names = list(
        dict.fromkeys(name for step in reversed(steps) for name in code.named_kernels(step.launches))
    )
    wanted = st.query_params.get(KERNEL, "")
    chosen = wanted if wanted in names else names[0]
    _chart(code.mix(steps, chosen, known.commits), f"instructions of {chosen}")
    count = len(steps) - 1
    times = "once" if count == 1 else f"{count} times"
    limit = f", the newest {MOST_CHANGES}" if count >= MOST_CHANGES - 1 else ""
    st.caption(
        escape(
            f"Instructions of {chosen} by class. "
            f"The machine code changed {times} in {len(known.places)} runs{limit}."
        )
    )
    if count:
        markup.show(sections.changes(view, known, steps))


def _loops(view: View, base: Launches | None, head: Launches) -> None:
    """The main loop of one kernel on both sides."""
    before = code.named_kernels(base) if base else {}
    after = code.named_kernels(head)
    names = list(after)
    changed = [name for name in names if name in before and before[name].hash != after[name].hash]
    with_matrix = [name for name in names if any(k.startswith("matrix.") for k in after[name].instructions)]
    default = next(iter([*[name for name in with_matrix if name in changed], *changed, *with_matrix, *names]))
    name = choose("Kernel", KERNEL, names, default=default, alone=False)
    ours, theirs = before.get(name), after[name]
    listings = {side: _listing(view, kernel) for side, kernel in (("base", ours), ("head", theirs)) if kernel}
    lines = {side: sass.parse(listing) for side, listing in listings.items() if listing}
    if "head" not in lines or (ours is not None and "base" not in lines):
        missing = " and ".join(side for side in listings if side not in lines)
        st.info(
            f"The main loop of this kernel is not kept at {missing}: "
            f"perfsuite {LISTING_SINCE} and newer record it."
        )
        return
    if ours is None:
        markup.show(sections.counted(sass.operations(lines["head"]), sass.operations(lines["head"])))
        st.code("\n".join(f"{line.address}  {line.text}" for line in lines["head"]), language=None)
        return
    diff = sass.compare(lines["base"], lines["head"])
    markup.show(
        Markup("<h2>{} <code>{}</code></h2><p>{}</p>").format(
            "Main loop of", text(name), sections.diff_words(diff)
        ),
        Markup('<details class="ps-fold"><summary>Operations in the loop</summary>{}</details>').format(
            sections.counted(sass.operations(lines["base"]), sass.operations(lines["head"]))
        ),
        sections.sass(diff, view.base.commit.label if view.base else "", view.head.commit.label),
    )


def _listing(view: View, kernel: Kernel) -> str | None:
    return kernel.listing or reads.listing(view.database, kernel.target, kernel.hash)


def _accuracy(view: View) -> None:
    result = view.sides.get("head") or view.sides.get("base")
    if result is not None and result.error_rms is not None:
        limit = f", tolerance {result.tolerance:.3g}" if result.tolerance is not None else ""
        largest = f", largest {result.error_max:.4g}" if result.error_max is not None else ""
        st.caption(f"Error (RMS) {result.error_rms:.4g}{limit}{largest}.")
    where = (view.database, view.head.repository, view.head.environment.fingerprint, view.case)
    known = reads.history(*where)
    points = reads.errors(*where)
    if not points:
        st.info("No errors are known along the history: the benchmark has no reference, or no tolerance.")
        return
    _chart(code.margin(points, known.commits), "error against tolerance")
    exact = sum(point.share == 0 for point in points)
    if exact:
        st.caption(f"{exact} of {len(points)} runs were exact: they have no place on a logarithmic axis.")
    exports("accuracy", lambda: _errors_frame(points))


def _errors_frame(points: list[code.ErrorPoint]) -> pd.DataFrame:
    rows = [
        {"commit": p.commit, "error_rms": p.error_rms, "of_tolerance": p.share, "passed": p.passed}
        for p in points
    ]
    return pd.DataFrame(rows)


def _reproduce(view: View) -> None:
    comparison = view.report.comparison if view.report else None
    for what, command in reproduce.commands(view.case, view.base, view.head, comparison):
        st.caption(what)
        st.code(command, language=None)
    base = view.base.environment if view.base else None
    rows = reproduce.environment_table(base, view.head.environment)
    two = any(before for _, before, _ in rows)
    facts = [[text(name), *([text(before)] if two else []), text(after)] for name, before, after in rows]
    headings = ["environment", *(["base, where it differs", "head"] if two else [""])]
    markup.show(table(headings, facts, label="Environment"))


def _chart(figure: go.Figure, name: str) -> None:
    st.plotly_chart(figure, config=chart_config(name, image_format()), key=f"chart {name}")


PARTS: Mapping[str, Part] = {
    "samples": Part("Samples", _samples),
    "clocks": Part("Clocks and power", _clocks),
    "roofline": Part("Roofline", _roofline),
    "code": Part("Machine code", _code),
    "accuracy": Part("Correctness", _accuracy),
    "reproduce": Part("Reproduce", _reproduce, charts=False),
}
"""Key in the address → section; the first is the default."""
