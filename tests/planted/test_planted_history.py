"""The planted history itself, with a toy change in the place of the kernels'."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_example import commit, git, repository
from history import build


def change(tree: Path, slow: bool) -> None:
    kernel = tree / "kernels" / "k.py"
    kernel.write_text(kernel.read_text() + f"# slow: {slow}\n")
    if "old" in kernel.read_text():
        raise SystemExit("an old kernel")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = repository(tmp_path / "clone", "before", docs="1\n")
    commit(root, "old", kernels__k="old\n", **{"README.md": "words\n", "kernels__k.py": "old\n"})
    for number in range(4):
        commit(root, f"commit {number}", **{"kernels__k.py": f"{number}\n", ".gitignore": "*.x\n"})
    return root


def test_real_commits_get_the_change_and_keep_who_and_what(clone: Path) -> None:
    status = git(clone, "status", "--porcelain")
    made = build(clone, 3, 1, change)
    assert git(clone, "log", "--format=%s %an", "planted").splitlines()[:3] == [
        "commit 3 A",
        "commit 2 A",
        "commit 1 A",
    ]
    assert [git(clone, "show", f"{sha}:kernels/k.py") for sha in made] == [
        "1\n# slow: False",
        "2\n# slow: True",
        "3\n# slow: True",
    ]
    assert git(clone, "rev-parse", f"{made[0]}^") == git(clone, "rev-parse", "main~3")
    assert git(clone, "status", "--porcelain") == status


def test_a_history_that_is_too_short_says_so_or_is_made_up(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(build(clone, 9, 2, change)) == 4
    assert "what is older are left out: an old kernel" in capsys.readouterr().err
    made = build(clone, 9, 6, change, pad=True)
    assert len(made) == 9
    assert git(clone, "diff", "--name-only", made[4], made[5]) == "README.md"
    assert git(clone, "diff", "--name-only", made[5], made[6]).splitlines() == ["README.md", "kernels/k.py"]
    dates = git(clone, "log", "-9", "--format=%ct", "planted").splitlines()
    assert sorted(map(int, dates), reverse=True) == list(map(int, dates))


def test_the_same_input_makes_the_same_commits(clone: Path) -> None:
    assert build(clone, 6, 2, change, pad=True) == build(clone, 6, 2, change, pad=True, branch="again")
