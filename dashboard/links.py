"""Links between pages: real ones, to copy and to open in tabs, followed without a new page load."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

Value = str | int | float | Sequence[str] | None

COMMON = ("repository", "machine")
"""Parameters that follow a visitor from page to page."""


def href(page: str, /, **params: Value) -> str:
    """The relative address of a page's view; empty and None parameters are left out, lists are repeated.

    Relative, so that it holds behind a reverse proxy's prefix too.
    """
    pairs = [
        (name, str(item))
        for name, value in params.items()
        for item in ([value] if isinstance(value, str | int | float) else value or ())
        if item != ""
    ]
    return (page or "./") + (f"?{urlencode(pairs)}" if pairs else "")
