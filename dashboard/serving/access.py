"""Who may write: what the command line and the environment said when this process was started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfsuite.config import process_environ

SECRET = "PERFSUITE_DASHBOARD_SECRET"
"""Whoever knows it may triage. In the environment: arguments are shown to every user of the machine."""
USER_HEADER = "PERFSUITE_DASHBOARD_USER_HEADER"
"""Set by `perfsuite dashboard --user-header`, for the pages of its own process."""
DEMO = "PERFSUITE_DASHBOARD_DEMO"
"""Set by `perfsuite dashboard --demo`: the store is a copy that ends with the process."""


@dataclass(frozen=True, slots=True)
class Access:
    """Without a secret, a header or a demo everything is read-only, which is the default."""

    secret: str | None = None
    """A shared secret; None where none is set."""
    user_header: str | None = None
    """Request header in which a proxy names the visitor whom it let in, in small letters. It is taken out of
    requests that no trusted proxy sent before they arrive here."""
    demo: bool = False
    """Anybody may triage, under any name: nothing that lasts is written."""

    @staticmethod
    def current(environ: Mapping[str, str] | None = None) -> Access:
        """As this process was started."""
        given = process_environ() if environ is None else environ
        demo = given.get(DEMO) == "1"
        return Access(
            # Whoever tries the demo need not know what guards the real thing.
            None if demo else given.get(SECRET) or None,
            (given.get(USER_HEADER) or "").lower() or None,
            demo,
        )
