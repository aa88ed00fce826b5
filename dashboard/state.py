"""Choices that live in the address, so that a link shows what its sender saw.

Only what a person chose is written there: an address without it keeps showing the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

_SHOWN = 80


def choose(
    label: str,
    key: str,
    options: Sequence[str],
    *,
    default: str | None = None,
    show: Callable[[str], str] = str,
    alone: bool = True,
    kind: str = "select",
) -> str:
    """A box whose value is the query parameter `key`.

    Args:
        options: at least one.
        default: what is shown without the parameter; the first option when None.
        alone: whether the box is shown where there is but one option.
        kind: `select` (a list that can be searched) or `segments` (a few, side by side).
    """
    fallback = default if default is not None and default in options else options[0]
    wanted = _known(key, st.query_params.get(key), options)
    # Set before the widget is made: otherwise the browser's back button would change the address only.
    st.session_state[key] = wanted if wanted is not None else fallback
    if len(options) == 1 and not alone:
        return str(options[0])

    def chosen() -> None:
        st.query_params[key] = st.session_state[key] or fallback

    if kind == "segments":
        st.segmented_control(label, options, key=key, format_func=show, on_change=chosen, required=True)
    else:
        st.selectbox(label, options, key=key, format_func=show, on_change=chosen)
    return str(st.session_state[key] or fallback)


def choose_many(
    label: str,
    key: str,
    options: Sequence[str],
    *,
    default: Sequence[str] = (),
    most: int | None = None,
    show: Callable[[str], str] = str,
) -> list[str]:
    """A box of several values, each a query parameter `key` of its own."""
    known = set(options)
    asked = dict.fromkeys(st.query_params.get_all(key))
    wanted = [name for name in asked if _known(key, name, known) is not None]
    st.session_state[key] = (wanted or list(default))[:most]

    def chosen() -> None:
        st.query_params[key] = st.session_state[key]

    # Names are looked for by their parts; and Return takes the first, not "all that match".
    st.multiselect(
        label, options, key=key, format_func=show, on_change=chosen, max_selections=most,
        filter_mode="contains", select_all=False,
    )  # fmt: skip
    return [str(name) for name in st.session_state[key]]


def flag(label: str, key: str, *, help: str | None = None) -> bool:
    """A switch, off unless the address says `key=1`."""
    st.session_state[key] = st.query_params.get(key) == "1"

    def chosen() -> None:
        if st.session_state[key]:
            st.query_params[key] = "1"
        else:
            st.query_params.pop(key, None)

    st.toggle(label, key=key, on_change=chosen, help=help)
    return bool(st.session_state[key])


def remember(**params: str | Sequence[str] | None) -> None:
    """Writes values that no widget holds (a zoomed range) into the address; None takes one out."""
    kept = {key: st.query_params.get_all(key) for key in st.query_params if key not in params}
    new = {key: [value] if isinstance(value, str) else list(value or ()) for key, value in params.items()}
    # At once: the browser would keep each step between as a page to go back to.
    st.query_params.from_dict({**kept, **{key: values for key, values in new.items() if values}})


def _known(key: str, wanted: str | None, options: Sequence[str] | set[str]) -> str | None:
    """What the address asks for, if it is here; else a word about it."""
    if wanted is None or wanted in options:
        return wanted
    # Anybody can write an address: no markdown of theirs, and not without end.
    quoted = wanted.replace("`", "'").replace("\n", " ")[:_SHOWN]
    st.warning(f"The address asks for {key} `{quoted}`, which is not here. Showing another.")
    return None
