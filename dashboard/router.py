"""Follows links inside the running page: a new page load would take a second, this a tenth of it."""

from __future__ import annotations

import streamlit as st

LINK = "ps"
"""Class of the links that are ours to follow."""

_FOLLOW = """
// Streamlit puts the address of a page into the history when its first words arrive: too late where the
// visitor has gone on, or back, meanwhile. The page is changed here alone; Streamlit may change its query.
const ours = Symbol.for("perfsuite");
if (!history[ours]) {
  const push = history[ours] = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    if (new URL(url ?? "", location.href).pathname === location.pathname) push(state, title, url);
  };
}

export default function() {
  const follow = (event) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest && event.target.closest("a.ps");
    if (!link || new URL(link.href).origin !== location.origin) return;
    event.preventDefault();
    event.stopPropagation();
    if (link.href !== location.href) {
      history[ours]({}, "", link.href);
    }
    window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    window.scrollTo(0, 0);
  };
  document.addEventListener("click", follow, true);
  return () => document.removeEventListener("click", follow, true);
}
"""


def follow_links() -> None:
    """Lets links of class `LINK` change the page as the browser's back button does: one entry of its history
    each, with path and query at once. (`st.switch_page` would first write the new query to the old page.)

    Clicks with a modifier key, which open tabs and windows, are the browser's.
    """
    st.components.v2.component("perfsuite_router", js=_FOLLOW)(key="router", height=0)
