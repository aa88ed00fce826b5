"""The store: everything measured, in SQLite or PostgreSQL. Rows stay inside; model values come out."""

from perfsuite.store.check import check
from perfsuite.store.exchange import ImportSummary, export_document, import_document
from perfsuite.store.read_only import open_reader
from perfsuite.store.reader import LATEST, Reader, SeriesPoint
from perfsuite.store.writer import Store, open_store

__all__ = [
    "LATEST",
    "ImportSummary",
    "Reader",
    "SeriesPoint",
    "Store",
    "check",
    "export_document",
    "import_document",
    "open_reader",
    "open_store",
]
