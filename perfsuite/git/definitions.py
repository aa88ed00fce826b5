"""Where functions are defined at a commit: for annotations on lines."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection

from perfsuite.git.running import GitError

Place = tuple[str, int, int]
"""Path, first line, last line."""
_LONGEST_FILE = 2_000_000
"""Bytes: what is longer was generated, and its author may be hostile."""


def find_definitions(
    run: Callable[..., str], read: Callable[[str], bytes | None], sha: str, names: Collection[str]
) -> dict[str, Place]:
    """Name → place, of functions in `*.py`; of several of one name the first by path and line.

    Args:
        run: runs git.
        read: content of a file at that commit.
    """
    wanted = sorted(name for name in names if name.isascii() and name.isidentifier())
    if not wanted:
        return {}
    # Classes of POSIX: `\\s` and `\\b` are not known everywhere.
    pattern = rf"^[[:space:]]*(async[[:space:]]+)?def[[:space:]]+({'|'.join(wanted)})[[:space:]]*[(\[]"
    try:
        out = run("grep", "-E", "--line-number", "-z", "--no-color", pattern, sha, "--", "*.py")
    except GitError:
        # What finds nothing ends with 1.
        return {}
    found: dict[str, Place] = {}
    for path, line, text in re.findall(r"(?m)^[0-9a-f]+:([^\0]+)\0(\d+)\0(.*)$", out):
        name = re.split(r"[(\[]", text.partition("def")[2], maxsplit=1)[0].strip()
        if name not in found:
            found[name] = (path, int(line), _last_line(read(path), name, int(line)))
    return found


def _last_line(content: bytes | None, name: str, first: int) -> int:
    """Of the function that begins there; the same line where the file is no Python that we can read."""
    if content is None or len(content) > _LONGEST_FILE:
        return first
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return first
    return next(
        (
            node.end_lineno or first
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.name, node.lineno) == (name, first)
        ),
        first,
    )
