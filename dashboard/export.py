"""Taking away what a page shows: a table as CSV, a chart as a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st
from markupsafe import Markup

from dashboard.links import href
from dashboard.router import LINK

if TYPE_CHECKING:
    import pandas as pd

IMAGE = "image"
"""Key in the address."""
IMAGES = ("png", "svg")
"""What a browser makes of a chart, the first unless the address says another."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How cells begin that a spreadsheet would calculate (OWASP, "CSV Injection")."""


def exports(name: str, frame: pd.DataFrame | Callable[[], pd.DataFrame]) -> None:
    """A small button that saves a table, which is made when it is clicked.

    Args:
        name: of the file, without an ending; unique on its page.
        frame: the table, or what makes it.
    """
    st.download_button(
        "CSV ↓",
        data=lambda: to_csv(frame() if callable(frame) else frame),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=f"csv {name}",
        help="Save this table",
        on_click="ignore",
        type="tertiary",
    )


def image_choice(page: str) -> Markup:
    """Links that choose what the camera button of a page's charts saves."""
    kept = {name: st.query_params.get_all(name) for name in st.query_params if name != IMAGE}
    now = image_format()
    shown = [
        Markup("<b>{}</b>").format(kind.upper())
        if kind == now
        else Markup('<a class="{}" href="{}">{}</a>').format(
            LINK, href(page, **kept, **{IMAGE: kind}), kind.upper()
        )
        for kind in IMAGES
    ]
    return Markup('<p class="ps-muted">The camera above a chart saves it as {}.</p>').format(
        Markup(" · ").join(shown)
    )


def image_format() -> str:
    """What a chart's camera button saves, `png` or `svg`, as the address says."""
    wanted = st.query_params.get(IMAGE)
    return wanted if wanted in IMAGES else IMAGES[0]


def to_csv(frame: pd.DataFrame) -> bytes:
    """UTF-8 with a byte order mark, without which spreadsheets take it for something else."""
    return frame.map(_harmless).to_csv(index=False).encode("utf-8-sig")


def _harmless(cell: Any) -> Any:
    # Names come from others' repositories; numbers are numbers.
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
