"""The text of the one comment: a view goes in, Markdown comes out. Pure, and the same for the same view."""

from __future__ import annotations

from ci.body.markers import MARKER
from ci.body.page import pull_body
from ci.body.view import APPROVAL_LABEL, Extra, Stage, View

__all__ = ["APPROVAL_LABEL", "MARKER", "Extra", "Stage", "View", "pull_body"]
