"""The parts of the case page as HTML. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from markupsafe import Markup

from dashboard.charts.code import TOTAL, Step, named_kernels
from dashboard.charts.roofline import Roofs, Standing
from dashboard.derive.sass import Diff, Kind, Line, Row, differing, is_register, worded
from dashboard.markup import EMPTY, link, table, text, verdict_chip
from dashboard.reads.case import History, View
from dashboard.words import utc
from perfsuite.model import REUSED, Alert, Kernel, Launches, Result, Run, Status
from perfsuite.report.words import commit_line, explained, plain, time_cell, timer_label
from perfsuite.units import format_bytes, format_ns, format_share

_CONTEXT = 3
"""Equal lines that are shown around what differs."""
_LEAST_FOLDED = 8
_MOST_ALERTS = 5
_MOST_WHY = 4
_MESSAGE = 4_000
"""Letters of a failure's message; a traceback without end helps nobody."""
_CLASSES = {
    Kind.EQUAL: "equal",
    Kind.REGISTERS: "registers",
    Kind.CHANGED: "changed",
    Kind.REMOVED: "removed",
    Kind.ADDED: "added",
}
_WORDS = {
    Kind.EQUAL: "equal",
    Kind.REGISTERS: "on other registers",
    Kind.CHANGED: "changed",
    Kind.REMOVED: "only in base",
    Kind.ADDED: "only in head",
}
_NONE = "–"


def parts_menu(view: View, parts: Mapping[str, str], current: str) -> Markup:
    """Links to the sections, as a row."""
    entries = [
        Markup("<span{}>{}</span>").format(
            Markup(' aria-current="true"') if key == current else EMPTY,
            link(title, "case", **{**view.address, "part": key}),
        )
        for key, title in parts.items()
    ]
    return Markup('<nav class="ps-choices" aria-label="Sections">{}</nav>').format(EMPTY.join(entries))


def answer(view: View, alerts: Sequence[Alert]) -> Markup:
    """What is known of the case: the verdict in words, or its time, and the ways on."""
    sides = view.sides
    return EMPTY.join(
        [
            Markup("<h1>{}</h1>").format(plain(view.case)),
            _verdict(view),
            *(_message(name, result) for name, result in sides.items()),
            Markup('<dl class="ps-kv">{}</dl>').format(EMPTY.join(_facts(view, sides))),
            _ways(view, alerts),
        ]
    )


def _verdict(view: View) -> Markup:
    compared = view.compared
    if compared is None:
        return EMPTY
    parts = [verdict_chip(compared.verdict)]
    if compared.change is not None:
        parts.append(Markup(" <b>{}</b>").format(format_share(compared.change)))
    if compared.low is not None and compared.high is not None:
        interval = f"{format_share(compared.low)} … {format_share(compared.high)}"
        parts.append(Markup(' <span title="95 % interval">[{}]</span>').format(interval))
    elif compared.change is not None:
        parts.append(Markup(' <span class="ps-muted">no interval</span>'))
    if compared.base_ns is not None and compared.head_ns is not None:
        medians = f"{format_ns(compared.base_ns)} → {format_ns(compared.head_ns)}"
        parts.append(Markup(" · median {}").format(medians))
    note = EMPTY
    if not view.lockstep:
        note = Markup('<p class="ps-muted">{}</p>').format(
            "Two runs of different moments, judged with the noise between runs."
        )
    return Markup("<p>{}</p>{}{}").format(EMPTY.join(parts), _why(explained(compared)), note)


def _why(sentences: Sequence[str]) -> Markup:
    """A list, of which the rest is folded away: the section below is what the visitor came for."""
    items = [Markup("<li>{}</li>").format(plain(each)) for each in sentences]
    if len(items) <= _MOST_WHY + 1:
        return Markup("<ul>{}</ul>").format(EMPTY.join(items))
    first, rest = items[:_MOST_WHY], items[_MOST_WHY:]
    return Markup(
        '<ul>{}</ul><details class="ps-fold"><summary>{} more reasons</summary><ul>{}</ul></details>'
    ).format(EMPTY.join(first), len(rest), EMPTY.join(rest))


def _message(side: str, result: Result) -> Markup:
    if result.status is Status.OK or not result.message:
        return EMPTY
    first, _, rest = result.message.strip()[:_MESSAGE].partition("\n")
    details = EMPTY
    if rest:
        details = Markup('<details class="ps-fold"><summary>details</summary><pre>{}</pre></details>').format(
            "\n".join(plain(line) for line in rest.splitlines())
        )
    return Markup("<p><b>{} at {}:</b> {}</p>{}").format(result.status.value, side, plain(first), details)


def _facts(view: View, sides: Mapping[str, Result]) -> Iterator[Markup]:
    runs = {"base": view.base, "head": view.head}
    for name, run in runs.items():
        if run is not None:
            yield _fact(name if view.base else "run", _side(run, sides.get(name)))
    result = sides.get("head") or sides.get("base")
    if result is not None:
        yield _fact("time is", text(timer_label(result.timer)))
        reused = result.extra.get(REUSED)
        if reused:
            where = {"case": view.case, "comparison": str(reused)}
            yield _fact("timed in", link(str(reused)[:12], "case", **where))
    yield _fact("machine", text(view.head.environment.label))


def _fact(name: str, words: Markup) -> Markup:
    return Markup("<dt>{}</dt><dd>{}</dd>").format(name, words)


def _side(run: Run, result: Result | None) -> Markup:
    state = "not measured" if result is None else time_cell(result)
    if result is not None and result.status is not Status.OK:
        state = result.status.value
    where = {"sha": run.commit.sha, "repository": run.repository}
    return Markup('{} <span class="ps-muted">· {} · {}</span>').format(
        link(commit_line(run.commit)[:80], "commit", **where), utc(run.started_at), state
    )


def _ways(view: View, alerts: Sequence[Alert]) -> Markup:
    ways = [link("Trend of this case", "trends", case=view.case, **view.where)]
    if view.report is not None:
        whole = {name: value for name, value in view.address.items() if name != "case"}
        ways.append(link("The whole comparison", "compare", **whole))
    ways += [
        Markup('{} <span class="ps-chip ps-a-{}">{}</span>').format(
            link(f"Alert: {alert.kind}", "alerts", alert=alert.id, repository=alert.repository),
            alert.state.value,
            alert.state.value,
        )
        for alert in alerts[:_MOST_ALERTS]
    ]
    if len(alerts) > _MOST_ALERTS:
        ways.append(text(f"{len(alerts) - _MOST_ALERTS} more alerts"))
    return Markup("<p>{}</p>").format(Markup(" · ").join(ways))


def kernels(base: Launches | None, head: Launches) -> Markup:
    """Resources of each kernel; where base differs, `base → head`."""
    before = named_kernels(base) if base else {}
    after = named_kernels(head)
    rows = []
    for name in dict.fromkeys((*after, *before)):
        old, new = before.get(name), after.get(name)
        rows.append([text(name), *_kernel_cells(old, new, compared=base is not None)])
    headings = ["kernel", "machine code", "registers", "spills", "stack", "shared", "warps", "instructions"]
    return table(headings, rows, numbers=range(2, 8), label="Kernels of this case")


def _kernel_cells(old: Kernel | None, new: Kernel | None, *, compared: bool) -> Iterator[Markup]:
    some = new or old
    assert some is not None, "a kernel of either side"
    if not compared:
        yield text(some.hash[:8])
    elif old is None or new is None:
        yield Markup('<b class="ps-moved">{}</b>').format("removed" if new is None else "added")
    else:
        yield text("same") if old.hash == new.hash else Markup('<b class="ps-moved">other</b>')
    for name in ("registers", "spills", "stack_bytes", "shared_bytes", "warps", TOTAL):
        values = [_attribute(one, name) for one in (old, new) if one is not None]
        if len(set(values)) > 1:
            yield Markup('<b class="ps-moved">{}</b>').format(" → ".join(values))
        else:
            yield text(values[-1])


def _attribute(kernel: Kernel, name: str) -> str:
    value = kernel.instructions.get(TOTAL) if name == TOTAL else getattr(kernel, name)
    if value is None:
        return _NONE
    return format_bytes(value) if name.endswith("bytes") else str(value)


def changes(view: View, known: History, steps: Sequence[Step], most: int = 10) -> Markup:
    """The newest changes of machine code, each a link to its two sides."""
    entries = []
    for step in steps[:0:-1][:most]:
        sides = {"base": known.places[step.at - 1].run_id, "head": known.places[step.at].run_id}
        address = {"case": view.case, **sides, **view.where, "part": "code"}
        when = utc(known.places[step.at].started_at)
        entries.append(Markup("<li>{} · {}</li>").format(when, link(step.commit[:90], "case", **address)))
    return Markup("<ul>{}</ul>").format(EMPTY.join(entries)) if entries else EMPTY


def counted(base: Mapping[str, int], head: Mapping[str, int]) -> Markup:
    """Operations of two loops, those whose number differs first."""
    names = sorted(
        {**base, **head}, key=lambda name: (base.get(name, 0) == head.get(name, 0), -head.get(name, 0))
    )
    rows = []
    for name in names:
        before, after = base.get(name, 0), head.get(name, 0)
        shown = str(after) if before == after else Markup("<b>{} → {}</b>").format(before, after)
        rows.append([text(name), shown])
    return table(["operation", "base → head"], rows, numbers=(1,), label="Operations in the main loop")


def sass(diff: Diff, base: str, head: str) -> Markup:
    """Two listings side by side; on a narrow screen one below the other. Long equal stretches are folded."""
    pieces = [
        Markup(
            '<div class="r head"><i></i><span class="b">base {}</span><span class="h">head {}</span></div>'
        ).format(plain(base), plain(head))
    ]
    for quiet, group in groupby(diff.rows, key=lambda row: row.kind is Kind.EQUAL):
        rows = list(group)
        pieces.append(_folded(rows) if quiet else EMPTY.join(map(_row, rows)))
    return Markup(
        '<div class="ps-sass" tabindex=0 role=region aria-label="Machine code of both sides">{}</div>'
    ).format(EMPTY.join(pieces))


def _folded(rows: Sequence[Row]) -> Markup:
    if len(rows) < 2 * _CONTEXT + _LEAST_FOLDED:
        return EMPTY.join(map(_row, rows))
    inner = rows[_CONTEXT:-_CONTEXT]
    return Markup("{}<details><summary>{} equal instructions</summary>{}</details>{}").format(
        EMPTY.join(map(_row, rows[:_CONTEXT])),
        len(inner),
        EMPTY.join(map(_row, inner)),
        EMPTY.join(map(_row, rows[-_CONTEXT:])),
    )


_ROW = Markup(
    '<div class="r {}"><i title="{}">{}</i><span class="b">{}</span><span class="h">{}</span></div>'
)
_LINE = Markup('<span class="a">{}</span><span class="p">{}</span>{}')
_TAGS = {
    "": (EMPTY, EMPTY),
    "b": (Markup("<b>"), Markup("</b>")),
    "mark b": (Markup("<mark><b>"), Markup("</b></mark>")),
    "mark": (Markup("<mark>"), Markup("</mark>")),
    "u": (Markup("<u>"), Markup("</u>")),
}


def _row(row: Row) -> Markup:
    return _ROW.format(
        _CLASSES[row.kind],
        _WORDS[row.kind],
        row.kind.value,
        _line(row.base, row.head),
        _line(row.head, row.base),
    )


def _line(line: Line | None, other: Line | None) -> Markup:
    """The instruction, its operation set off; what the other side writes otherwise is marked."""
    if line is None:
        return EMPTY
    lead, words = worded(plain(line.text))
    changed = other is not None and other.text != line.text
    marked = differing(words, worded(plain(other.text))[1]) if other is not None and changed else frozenset()
    shown = EMPTY
    tagged = ((_tag(at, word, marked), word) for at, word in enumerate(words))
    for tag, run in groupby(tagged, itemgetter(0)):
        # What is added to Markup is escaped, for less than a format takes: ten thousand words a page.
        before, after = _TAGS[tag]
        shown += before + "".join(word for _, word in run) + after
    return _LINE.format(line.address, lead, shown)


def _tag(place: int, word: str, marked: Collection[int]) -> str:
    """How a word is set: the operation, what differs, and, quietly, registers: the allocator's choice."""
    differs = place in marked and not word.isspace()
    if not place:
        return "mark b" if differs else "b"
    return ("u" if is_register(word) else "mark") if differs else ""


def diff_words(diff: Diff) -> str:
    """What differs, in a sentence."""
    if diff.equal:
        return "Both loops are the same, instruction by instruction."
    if diff.renamed:
        return "Only registers differ: the same instructions in the same order, each renamed to one other."
    if diff.only_registers:
        return "Only registers differ: the same instructions in the same order, allocated otherwise."
    counts = diff.counts
    return ", ".join(f"{counts[kind]} {_WORDS[kind]}" for kind in Kind if counts[kind]) + "."


def peers(standings: Sequence[Standing], roofs: Roofs, view: View) -> Markup:
    """The family's cases, the nearest to its roof first."""
    ordered = sorted(standings, key=lambda each: (-(each.fraction or 0), each.case))
    run = {"run": view.head.id} if view.report is None else {}
    rows = [
        [
            link(each.case, "case", **{**view.address, **run, "case": each.case, "part": "roofline"}),
            format_ns(each.median_ns),
            f"{each.intensity:.3g}" if each.drawable else _NONE,
            f"{each.operations_per_s / 1e12:.4g}" if each.operations else _NONE,
            f"{each.bytes_per_s / 1e12:.3g}" if each.bytes else _NONE,
            f"{each.fraction * 100:.1f} %" if each.fraction else _NONE,
            roofs.bound_by(each) or _NONE,
        ]
        for each in ordered
    ]
    headings = [
        "case",
        "median",
        "operations a byte",
        "T operations/s",
        "TB/s",
        "of the roofline",
        "bound by",
    ]
    return table(headings, rows, numbers=range(1, 6), label="Cases of the family below the roofline")
