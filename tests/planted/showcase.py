"""Build the branch whose runs the dashboard's demo shows: real commits, among them a few planted ones.

`python tests/planted/showcase.py CLONE --commits 36` makes the branch `showcase` in a clone from the newest
commits of its first-parent line: their authors, dates and subjects kept, each with the newest kernels, so
that nothing but what is planted moves a case. The planted commits say in their subject what they change:

- the blocks of one prefill are small at first, and swept anew later (faster),
- the activation quantization goes into the K-loop (slower), and out again,
- one scale of each group is folded twice (wrong), and mended,
- every case of the whole op becomes 2 % slower, and stays so.

The last line of the output is JSON: the commits, the oldest first, and what was planted where.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from history import git
from plant import plant

Edit = tuple[str, str, str]
"""File of `kernels`, what becomes what."""

_IN_LOOP: Sequence[Edit] = (
    ("moe_w4a8.py", "    problem = _checked(x, w1", '    variant = "in_loop"\n    problem = _checked(x, w1'),
)
_GROUP_SCALES = (
    ("_decode.py", "s_low.to(tl.float32)"),
    ("_moe_w4a8.py", "tl.load(ws_ptrs + (low_at // GROUP) * N).to(tl.float32)[:, None]"),
    ("_ring_loops.py", ".load(gl.SliceLayout(1, LAYOUT)).to(gl.float32)[:, None]"),
    ("_ring_loops.py", ".load(OF_ROW).to(gl.float32)[:, None]"),
)
"""Where each path takes the scales of the first group of a step."""
_SCALE_TWICE: Sequence[Edit] = [(name, scale, f"{scale} * 2") for name, scale in _GROUP_SCALES]
_NARROW = {"m": 1696, "group": 128, "variant": "hoisted"}
_NARROW_BLOCKS = {"block_m": 16}
_SLOWER = 0.02


@dataclass(frozen=True, slots=True)
class Event:
    """One planted commit: at which share of the history, and what it does from there on."""

    at: float
    subject: str
    name: str
    on: bool


EVENTS = (
    Event(0.17, "Quantize activations inside the K-loop", "in_loop", True),
    Event(0.31, "Quantize activations before the GEMM again", "in_loop", False),
    Event(0.42, "Fold each group's scale where it is loaded", "scale", True),
    Event(0.45, "Fold each group's scale once", "scale", False),
    Event(0.58, "Sweep the prefill tiles for m=1696 anew", "narrow", False),
    Event(0.75, "Mix the slot order (planted: 2 % of each case's time)", "slower", True),
)


def build(clone: Path, count: int, revision: str, branch: str) -> tuple[list[str], dict[str, str]]:
    """Makes the branch; its commits, the oldest first, and subject → sha of the planted ones."""
    line = git(clone, "rev-list", "--first-parent", f"--max-count={count}", revision).split()[::-1]
    newest = line[-1]
    events = {round(event.at * len(line)): event for event in EVENTS}
    active = {"narrow"}
    parent, made, planted = "", [], {}
    for place, source in enumerate(line):
        event = events.get(place)
        if event is not None:
            (active.add if event.on else active.discard)(event.name)
        tree = _tree(clone, newest, source, frozenset(active))
        parent = _commit(clone, source, tree, parent, event.subject if event else None)
        made.append(parent)
        if event is not None:
            planted[event.subject] = parent
    git(clone, "update-ref", f"refs/heads/{branch}", parent)
    return made, planted


def _tree(clone: Path, kernels_of: str, source: str, active: frozenset[str]) -> str:
    """The source's tree with another commit's kernels, changed by what is active."""
    with tempfile.TemporaryDirectory(prefix="showcase-") as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        environ = {
            "GIT_DIR": git(clone, "rev-parse", "--absolute-git-dir"),
            "GIT_INDEX_FILE": str(Path(folder, "index")),
            "GIT_WORK_TREE": str(tree),
        }
        git(tree, "read-tree", source, environ=environ)
        git(tree, "checkout-index", "--all", environ=environ)
        # The configuration too: it says which suite there is.
        for part in ("kernels", "pyproject.toml"):
            shutil.rmtree(tree / part, ignore_errors=True)
            git(tree, "checkout", kernels_of, "--", part, environ=environ)
        plant(tree, _SLOWER if "slower" in active else 0.0)
        for name, change in _CHANGES.items():
            if name in active:
                change(tree / "kernels")
        git(tree, "add", "--all", "--force", "--", ".", environ=environ)
        return git(tree, "write-tree", environ=environ)


def _edit(edits: Sequence[Edit]) -> Callable[[Path], None]:
    def change(kernels: Path) -> None:
        for name, before, after in edits:
            text = (kernels / name).read_text()
            if text.count(before) != 1:
                raise SystemExit(
                    f"kernels/{name} does not hold {before!r} once: mend tests/planted/showcase.py"
                )
            (kernels / name).write_text(text.replace(before, after))

    return change


def _narrow(kernels: Path) -> None:
    """Few tokens a block for one prefill, in every table."""
    for table in (kernels / "tuned").glob("*.json"):
        held = json.loads(table.read_text())
        for entry in held["moe_w4a8"]:
            if all(entry["problem"][key] == value for key, value in _NARROW.items()):
                entry.update(_NARROW_BLOCKS)
        table.write_text(json.dumps(held, indent=1) + "\n")


_CHANGES: dict[str, Callable[[Path], None]] = {
    "in_loop": _edit(_IN_LOOP),
    "scale": _edit(_SCALE_TWICE),
    "narrow": _narrow,
}


def _commit(clone: Path, source: str, tree: str, parent: str, subject: str | None) -> str:
    """Like its source, but for its tree and its parent, and of a planted one its subject."""
    shown = git(clone, "show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B", source)
    *people, message = shown.split("\0")
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "AUTHOR_DATE", "COMMITTER_NAME", "COMMITTER_EMAIL")
    environ = {f"GIT_{name}": value for name, value in zip((*names, "COMMITTER_DATE"), people, strict=True)}
    above = ["-p", parent] if parent else []
    text = f"{subject}\n" if subject else message
    return git(clone, "commit-tree", tree, *above, "-F", "-", environ=environ, text=text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("--commits", type=int, default=36)
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--branch", default="showcase")
    given = parser.parse_args(arguments)
    made, planted = build(given.clone.absolute(), given.commits, given.revision, given.branch)
    json.dump({"branch": given.branch, "commits": made, "planted": planted}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
