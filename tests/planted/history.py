"""Build a branch of real commits in which a slow-down begins somewhere: what a bisect is proven on.

`python tests/planted/history.py CLONE --commits 64 --at 41 --share 0.02 --pad` makes the branch `planted` in
a clone: the newest commits of its first-parent line whose kernels can take the slow-down, their authors,
dates and subjects kept, with the planted machinery added to each tree. Before commit `--at` (counted from 0)
the machinery does nothing; from there on every case of `moe_w4a8` is slower by the share (`plant.py`). So the
step is the share, not the share and the machinery. The last line of the output is JSON: the commits, the
oldest first, and which is the first bad one. Only objects and one branch are written: the working tree stays.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

KERNELS = "kernels"
README = "README.md"
Change = Callable[[Path, bool], None]
"""Changes a checkout of `kernels`; whether the slow-down is in it."""


def build(
    clone: Path,
    count: int,
    at: int,
    change: Change,
    *,
    revision: str = "HEAD",
    branch: str = "planted",
    pad: bool = False,
) -> list[str]:
    """Makes the branch; its commits, the oldest first.

    Args:
        count: how many commits.
        at: the first that is slower, counted from 0; 0 for none before it.
        change: how a tree is changed.
        pad: make up what the history lacks with newest commits that change only a comment in the README.

    Raises:
        SystemExit: not a single commit can be changed.
    """
    real, parent = _real(clone, revision, count, change)
    if not real:
        raise SystemExit(f"{revision}: no commit whose kernels can take the change")
    wanted = count if pad else len(real)
    made: list[str] = []
    for number in range(wanted):
        source = real[min(number, len(real) - 1)]
        comment = max(0, number - len(real) + 1)
        tree = _tree(clone, source, change, slow=number >= at, comment=comment)
        parent = _commit(clone, source, tree, parent, comment)
        made.append(parent)
    git(clone, "update-ref", f"refs/heads/{branch}", made[-1])
    return made


def git(clone: Path, *command: str, environ: dict[str, str] | None = None, text: str | None = None) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ("git", "-c", "core.hooksPath=/dev/null", *command),
        cwd=clone,
        env={**clean, **(environ or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"git {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


def _real(clone: Path, revision: str, count: int, change: Change) -> tuple[list[str], str]:
    """The newest commits in a row that can be changed, the oldest first, and the parent of the oldest."""
    found: list[str] = []
    line = git(clone, "rev-list", "--first-parent", f"--max-count={count}", revision).split()
    # Most commits change no kernel: trees that were tried need not be tried again.
    tried: dict[str, bool] = {}
    for sha in line:
        kernels = git(clone, "ls-tree", sha, "--", KERNELS)
        if kernels not in tried:
            tried[kernels] = bool(kernels) and _can(clone, sha, change)
        if not tried[kernels]:
            break
        found.append(sha)
    parents = git(clone, "rev-list", "--parents", "--max-count=1", found[-1]).split()[1:] if found else []
    return found[::-1], parents[0] if parents else ""


def _can(clone: Path, sha: str, change: Change) -> bool:
    try:
        _tree(clone, sha, change, slow=True, comment=0)
    except (SystemExit, OSError) as error:
        print(f"{sha[:10]} and what is older are left out: {error}", file=sys.stderr)
        return False
    return True


def _tree(clone: Path, sha: str, change: Change, *, slow: bool, comment: int) -> str:
    """The commit's tree with its kernels changed, and a comment in the README where asked for."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        tree = Path(folder, "tree")
        environ = {
            "GIT_DIR": git(clone, "rev-parse", "--absolute-git-dir"),
            "GIT_INDEX_FILE": str(Path(folder, "index")),
            "GIT_WORK_TREE": str(tree),
        }
        tree.mkdir()
        git(tree, "read-tree", sha, environ=environ)
        git(tree, "checkout-index", "--all", environ=environ)
        change(tree, slow)
        if comment:
            with (tree / README).open("a") as readme:
                readme.write(f"\n<!-- {comment} -->\n")
        # Forced: what is tracked stays tracked whatever .gitignore says.
        git(tree, "add", "--all", "--force", "--", ".", environ=environ)
        return git(tree, "write-tree", environ=environ)


def _commit(clone: Path, source: str, tree: str, parent: str, comment: int) -> str:
    """Like its source, but for its tree and its parent."""
    shown = git(clone, "show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%ct%x00%B", source)
    *people, stamp, message = shown.split("\0")
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "AUTHOR_DATE", "COMMITTER_NAME", "COMMITTER_EMAIL")
    environ = {f"GIT_{name}": value for name, value in zip(names, people, strict=True)}
    # A second later each: histories are in the order of their commits' dates.
    environ["GIT_COMMITTER_DATE"] = f"{int(stamp) + comment} +0000"
    if comment:
        message = f"README: comment {comment}\n"
    above = ["-p", parent] if parent else []
    return git(clone, "commit-tree", tree, *above, "-F", "-", environ=environ, text=message)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("--commits", type=int, default=64)
    parser.add_argument("--at", type=int, required=True, help="the first slower commit, counted from 0")
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--branch", default="planted")
    parser.add_argument("--pad", action="store_true")
    given = parser.parse_args(arguments)
    from plant import plant

    made = build(
        given.clone.absolute(),
        given.commits,
        given.at,
        lambda tree, slow: plant(tree, given.share if slow else 0.0),
        revision=given.revision,
        branch=given.branch,
        pad=given.pad,
    )
    if len(made) < given.commits:
        print(f"the history has only {len(made)} such commits: --pad makes up the rest", file=sys.stderr)
    first_bad = made[given.at] if given.at < len(made) else None
    print(json.dumps({"branch": given.branch, "commits": made, "first_bad": first_bad}))


if __name__ == "__main__":
    main()
