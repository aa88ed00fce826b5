"""HTML of the pages. `Markup.format` escapes whatever is put in: names come from others' repositories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st
from markupsafe import Markup

from dashboard.links import Value, href
from dashboard.router import LINK
from dashboard.words import VERDICT_SIGNS
from perfsuite.model import Verdict
from perfsuite.report.words import plain

EMPTY = Markup("")


def show(*parts: Markup | str) -> None:
    """Puts HTML on the page; plain strings are escaped."""
    st.html(str(EMPTY.join(parts)))


def text(words: str) -> Markup:
    """Anybody's words, on one line, without control or direction characters."""
    return Markup("{}").format(plain(words))


def link(label: str | Markup, page: str, /, title: str = "", **params: Value) -> Markup:
    """A link to a view."""
    shown = label if isinstance(label, Markup) else text(label)
    return Markup('<a class="{}" href="{}" title="{}">{}</a>').format(
        LINK, href(page, **params), plain(title), shown
    )


def wide(pattern: str, *values: str | Markup) -> Markup:
    """Words of a cell that stay on one line, as `Markup.format` puts them together."""
    return Markup('<span class="ps-wide">{}</span>').format(Markup(pattern).format(*values))


def verdict_chip(verdict: Verdict, label: str = "") -> Markup:
    """A verdict as a sign and a word on its colour; `label` in place of the word."""
    kind = verdict.value.replace(" ", "-")
    return Markup('<span class="ps-chip ps-v-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        kind, VERDICT_SIGNS[verdict], plain(label) or verdict.value
    )


def table(
    headings: Sequence[str | Markup],
    rows: Iterable[Sequence[str | Markup]],
    *,
    numbers: Sequence[int] = (),
    label: str = "",
) -> Markup:
    """A table that scrolls inside itself on narrow screens.

    Args:
        headings: one a column.
        rows: cells; strings are escaped.
        numbers: columns of numbers, set right.
        label: what it is, for screen readers.
    """
    kinds = [' class="n"' if place in numbers else "" for place in range(len(headings))]
    head = EMPTY.join(
        Markup("<th scope=col{}>{}</th>").format(Markup(kind), cell)
        for kind, cell in zip(kinds, headings, strict=True)
    )
    body = EMPTY.join(
        Markup("<tr>{}</tr>").format(
            EMPTY.join(
                Markup("<td{}>{}</td>").format(Markup(kind), cell)
                for kind, cell in zip(kinds, row, strict=True)
            )
        )
        for row in rows
    )
    return Markup(
        '<div class="ps-scroll" tabindex=0 role=region aria-label="{}">'
        '<table class="ps-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(label, head, body)
