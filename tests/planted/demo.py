"""Write what `perfsuite dashboard --demo` shows, from a store that measured the branch `showcase`.

`python tests/planted/demo.py STORE`: exports its runs and comparisons, with some comparisons of equal code of
`tests/data/h200/noise.json.gz`, into `dashboard/demo/`; beside them its alerts, and which
comparison is of which pull request.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from perfsuite.codec import encode
from perfsuite.store import Reader, export_document, open_reader

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "dashboard" / "demo"
NOISE = ROOT / "tests" / "data" / "h200" / "noise.json.gz"
_NOISE_COMPARISONS = 3
_FIRST_PULL = 41
_LEVEL = 9
"""Of gzip: the files are read at every start."""


def write(reader: Reader, folder: Path) -> None:
    """Writes all files, the same bytes for the same store."""
    folder.mkdir(exist_ok=True)
    comparisons = reader.comparisons(limit=100)
    # One file a kind: a few hundred kilobytes each.
    _dump(folder / "history.json.gz", export_document(reader, reader.runs(limit=None, kind="run")))
    _dump(folder / "comparisons.json.gz", export_document(reader, [], comparisons))
    _dump(folder / "noise.json.gz", _noise())
    repository = reader.repositories()[0]
    pulls = [one for one in reversed(comparisons) if one.kind == "compare"]
    _plain(folder / "pulls.json", {one.id: number for number, one in enumerate(pulls, _FIRST_PULL)})
    _plain(folder / "alerts.json", [encode(alert) for alert in reader.alerts(repository)])


def _noise() -> dict[str, object]:
    """The newest comparisons of equal code, which know what the earlier ones showed."""
    document = json.loads(gzip.decompress(NOISE.read_bytes()))
    chosen = sorted(document["comparisons"], key=lambda item: item["started_at"])[-_NOISE_COMPARISONS:]
    sides = {item[side] for item in chosen for side in ("base", "head")}
    runs = [run for run in document["runs"] if run["id"] in sides]
    return {**document, "runs": runs, "comparisons": chosen}


def _dump(file: Path, document: dict[str, object]) -> None:
    text = json.dumps(document, separators=(",", ":"))
    file.write_bytes(gzip.compress(text.encode("ascii"), _LEVEL, mtime=0))


def _plain(file: Path, values: object) -> None:
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store")
    with open_reader(parser.parse_args().store) as reader:
        write(reader, DEMO)


if __name__ == "__main__":
    main()
