"""The form of the alerts page: who the visitor is, and what they say of alerts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import streamlit as st

from dashboard import triage
from dashboard.data import Database
from dashboard.reads.alerts import alerts as read_alerts
from dashboard.reads.overview import overview as read_overview
from dashboard.serving.access import Access
from dashboard.words import escape
from perfsuite.errors import PerfsuiteError, StoreUnwritable
from perfsuite.model import Alert, AlertState

_log = logging.getLogger(__name__)
_STATE, _REASON = "triage_state", "triage_reason"
_NAME, _SECRET = "triage_name", "triage_secret"
_DRAFT, _SAID = "triage draft", "triage said"
_LABELS = {
    AlertState.ACKNOWLEDGED: "Acknowledged: somebody looks at it",
    AlertState.EXPECTED: "Expected: wanted, or accepted",
    AlertState.FIXED: "Fixed: it is gone",
    AlertState.NOISE: "Noise: it never was there",
    AlertState.OPEN: "Open again",
}
_READ_ONLY = """This dashboard is read-only. From a terminal:
`perfsuite alerts set ID STATE --reason "…"`. To triage here, whoever runs it starts it with a shared secret
in `PERFSUITE_DASHBOARD_SECRET`, or behind a proxy that names its users (`--user-header`)."""


def tell() -> None:
    """What came of the last click."""
    said = st.session_state.pop(_SAID, None)
    if said is None:
        return
    good, text = said
    (st.success if good else st.error)(text)


def draw(database: Database, shown: Sequence[Alert]) -> None:
    """The form for these alerts, for who may write; for who may not, how one may."""
    access = Access.current()
    name = triage.visitor(access)
    if name is not None:
        _change_form(database, shown, name)
    elif triage.can_sign_in(access):
        _sign_in_form(access)
    else:
        st.caption(_READ_ONLY)


def _change_form(database: Database, shown: Sequence[Alert], name: str) -> None:
    states = {alert.state for alert in shown}
    # One more reason may be given for the same state; to open what is open says nothing.
    options = [state for state in _LABELS if not (state is AlertState.OPEN and states == {AlertState.OPEN})]
    state, reason = st.session_state.get(_DRAFT, (None, ""))
    # Set before the widgets are made; what a failed attempt said comes back even after a page that failed.
    if st.session_state.get(_STATE) not in options:
        st.session_state[_STATE] = state if state in options else options[0]
    st.session_state.setdefault(_REASON, reason)
    with st.form("triage", border=True):
        count = "this alert" if len(shown) == 1 else f"these {len(shown)} alerts"
        st.radio(
            f"What {'is' if len(shown) == 1 else 'are'} {count}?",
            options,
            key=_STATE,
            format_func=_LABELS.get,
        )
        st.text_area(
            "Why (needed but for an acknowledgement)", key=_REASON, max_chars=triage.LONGEST_REASON, height=68
        )
        # The arguments are what this page showed: an alert that changed since is not overwritten.
        st.form_submit_button(
            f"Save for {count}", type="primary", on_click=_save, args=(database, tuple(shown), name)
        )
        st.caption(f"You are {escape(name)}: it will stand beside what you say.")


def _sign_in_form(access: Access) -> None:
    with st.form("sign_in", border=True):
        st.text_input("Your name", key=_NAME, max_chars=triage.LONGEST_NAME, autocomplete="name")
        if access.secret is not None:
            st.text_input("Secret of this dashboard", key=_SECRET, type="password", autocomplete="off")
        st.form_submit_button("Sign in to triage", on_click=_sign_in)


def _sign_in() -> None:
    name, secret = (str(st.session_state.get(key, "")) for key in (_NAME, _SECRET))
    try:
        triage.sign_in(Access.current(), name, secret)
    except PerfsuiteError as error:
        st.session_state[_SAID] = (False, _told(error))
    # Never kept: neither here nor in what the browser is sent back.
    if _SECRET in st.session_state:
        st.session_state[_SECRET] = ""


def _save(database: Database, shown: Sequence[Alert], name: str) -> None:
    state, reason = AlertState(st.session_state[_STATE]), str(st.session_state[_REASON])
    st.session_state[_DRAFT] = (state, reason)
    try:
        # Asked again: the proxy may have signed the visitor out since the page was drawn.
        if triage.visitor(Access.current()) != name:
            st.session_state[_SAID] = (False, "Nothing was written: you are not signed in any more.")
            return
        triage.change(database, shown, state, reason, name)
    except PerfsuiteError as error:
        st.session_state[_SAID] = (False, f"Nothing was written: {_told(error)}")
        if not isinstance(error, StoreUnwritable):
            _forget()
    except Exception as error:
        # A bug: the log has the traceback, the visitor keeps what they typed.
        _log.exception("an alert could not be changed")
        st.session_state[_SAID] = (
            False,
            f"Saving failed with {type(error).__name__}. The log has the traceback.",
        )
    else:
        count = "1 alert is" if len(shown) == 1 else f"{len(shown)} alerts are"
        st.session_state[_SAID] = (True, f"{count} {state.value} now, as {escape(name)} says.")
        st.session_state.pop(_DRAFT)
        st.session_state[_REASON] = ""
        _forget()


def _forget() -> None:
    """Every page shows what was said at once."""
    read_alerts.clear()
    read_overview.clear()


def _told(error: PerfsuiteError) -> str:
    next_step = f" Next: {escape(error.next_step)}." if error.next_step else ""
    return f"{escape(error.what)}.{next_step}"
