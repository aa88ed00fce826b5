"""The pages. A new one is a module with `show(database)` beside this file, and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from dashboard.data import Database


@dataclass(frozen=True, slots=True)
class Page:
    """One address of the dashboard."""

    key: str
    """Its path; of the first page empty."""
    title: str
    module: str
    """Imported when it is first shown: the first page must not wait for Plotly and pandas."""
    in_menu: bool = True

    def show(self, database: Database) -> None:
        """Draws it from what the address says."""
        import_module(f"dashboard.pages.{self.module}").show(database)


PAGES = (
    Page("", "Overview", "overview"),
    Page("trends", "Trends", "trends"),
    Page("compare", "Compare", "compare"),
    Page("case", "Case", "case"),
    Page("alerts", "Alerts", "alerts"),
    Page("noise", "Noise", "noise"),
    Page("commit", "Commit", "commit"),
)
