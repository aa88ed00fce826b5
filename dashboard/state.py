"""Choices that live in the address, so that a link shows what its sender saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st


def choose(
    label: str,
    key: str,
    options: Sequence[str],
    *,
    default: str | None = None,
    show: Callable[[str], str] = str,
) -> str:
    """A select box whose value is the query parameter `key`.

    Only what a person chose is written there: an address without it keeps showing the newest.

    Args:
        options: at least one.
        default: what is shown without the parameter; the first option when None.
    """
    fallback = default if default in options else options[0]
    wanted = st.query_params.get(key)
    if wanted is not None and wanted not in options:
        st.warning(f"The address asks for {key} `{_quoted(wanted)}`, which is not here. Showing another.")
        wanted = None
    # Set before the widget is made: otherwise the browser's back button would change the address only.
    st.session_state[key] = wanted if wanted is not None else fallback

    def chosen() -> None:
        st.query_params[key] = st.session_state[key]

    st.selectbox(label, options, key=key, format_func=show, on_change=chosen)
    return str(st.session_state[key])


def _quoted(text: str) -> str:
    # Anybody can write an address: no markdown of theirs, and not without end.
    return text.replace("`", "'").replace("\n", " ")[:80]
