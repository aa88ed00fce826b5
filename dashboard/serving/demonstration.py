"""`perfsuite dashboard --demo`: the measurements that come with perfsuite, in a store that ends with it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from perfsuite.codec import decode
from perfsuite.errors import MachineError
from perfsuite.model import Alert
from perfsuite.store import import_document, open_store

FOLDER = Path(__file__).parents[1] / "demo"
"""What `perfsuite export` wrote, compressed, and `alerts.json`: what was said about it."""
_ALERTS = "alerts.json"


@contextmanager
def demonstration(folder: Path = FOLDER) -> Iterator[str]:
    """The path of a store with all of it, for as long as the context lasts.

    Raises:
        MachineError: this installation came without the measurements.
    """
    documents = sorted(folder.glob("*.json.gz"))
    if not documents:
        raise MachineError(f"there are no measurements in {folder}", "install perfsuite anew")
    with TemporaryDirectory(prefix="perfsuite-demo-") as made:
        path = str(Path(made, "perfsuite.db"))
        with open_store(path) as store:
            for document in documents:
                import_document(store, gzip.decompress(document.read_bytes()), document.name)
            store.save_alerts(_alerts(folder / _ALERTS))
        yield path


def _alerts(file: Path) -> list[Alert]:
    if not file.exists():
        return []
    return [decode(Alert, plain) for plain in json.loads(file.read_text(encoding="utf-8"))]
