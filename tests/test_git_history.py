"""Ranges, ancestors, changed paths and merge bases of shallow clones, by the real git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from git_example import commit, git, repository

from perfsuite.errors import MachineError, UsageError
from perfsuite.git import Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """main: one, two, a merge of `side` (which has `aside`), four."""
    root = repository(tmp_path / "watched", kernels__a="1\n", docs__b="1\n")
    commit(root, "two", kernels__a="2\n")
    git(root, "switch", "--quiet", "-c", "side", "main~1")
    commit(root, "aside", **{"docs__c": "1\n"})
    git(root, "switch", "--quiet", "main")
    git(root, "merge", "--quiet", "--no-ff", "-m", "three: merge", "side")
    commit(root, "four", **{"kernels__deep__er__x[1]": "4\n", "docs__b": "4\n"})
    return root


def subjects(folder: Path, *arguments: object, **options: object) -> list[str]:
    return [one.subject for one in Repository(folder).commits(*arguments, **options)]  # type: ignore[arg-type]


def test_commits_are_told_oldest_first_along_the_main_line(folder: Path) -> None:
    assert subjects(folder, "main") == ["one", "two", "three: merge", "four"]
    assert subjects(folder, "main~3..main") == ["two", "three: merge", "four"]
    assert subjects(folder, "main~2..") == ["three: merge", "four"]
    assert subjects(folder, ("main~1", "main")) == ["four"]
    assert subjects(folder, "main..main~1") == []
    assert subjects(folder, "main", limit=2) == ["three: merge", "four"]


def test_the_position_of_a_commit_is_that_on_its_main_line(folder: Path) -> None:
    history = Repository(folder)
    places = {one.subject: history.position(one.sha) for one in history.commits("main", first_parent=False)}
    assert places == {"one": 1, "two": 2, "aside": 2, "three: merge": 3, "four": 4}
    assert history.position("0" * 40) is None


def test_with_all_parents_the_merged_line_is_there_too(folder: Path) -> None:
    assert sorted(subjects(folder, "main~3..main", first_parent=False)) == [
        "aside",
        "four",
        "three: merge",
        "two",
    ]


def test_commits_that_changed_certain_paths(folder: Path) -> None:
    assert subjects(folder, "main", globs=["kernels/**"]) == ["one", "two", "four"]
    # What a merge brought is its change.
    assert subjects(folder, "main", globs=["docs/c"]) == ["three: merge"]


def test_a_subject_may_hold_any_character_but_a_line_end(folder: Path) -> None:
    commit(folder, "a\x0bb\u2028c")
    found = Repository(folder).commits("main~1..main")
    assert [one.subject for one in found] == ["a\x0bb\u2028c"]


@pytest.mark.parametrize("revisions", ["nowhere", "main..nowhere", "--all", "--all..main", "main...side"])
def test_a_range_of_what_is_not_there_is_refused(folder: Path, revisions: str) -> None:
    with pytest.raises(UsageError, match="there is no revision"):
        Repository(folder).commits(revisions)


def test_ancestors(folder: Path) -> None:
    repo = Repository(folder)
    assert repo.is_ancestor("side", "main") and repo.is_ancestor("main", "main")
    assert not repo.is_ancestor("main", "side")
    with pytest.raises(UsageError):
        repo.is_ancestor("main", "nowhere")


def test_changed_paths_by_globs_of_the_top_folder(folder: Path) -> None:
    repo = Repository(folder / "docs")
    assert repo.changed_paths("main~1", "main") == ("docs/b", "kernels/deep/er/x[1]")
    assert repo.changed_paths("main~1", "main", ["kernels/**"]) == ("kernels/deep/er/x[1]",)
    assert repo.changed_paths("main~1", "main", ["*"]) == ()
    assert repo.changed_paths("main~1", "main", ["**"]) == ("docs/b", "kernels/deep/er/x[1]")
    assert repo.changed_paths("main~1", "main", ["docs/*", "nothing/**"]) == ("docs/b",)


def test_reads_plain_files_of_a_revision(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "bytes").write_bytes(b"\xff\r\n\0")
    commit(folder, "five")
    repo = Repository(folder)
    assert repo.read("main", "bytes") == b"\xff\r\n\0"
    assert repo.read("main~3", "kernels/a") == b"2\n"
    assert [repo.read("main", path) for path in ("link", "docs", "nothing", "docs/../docs/b")] == [None] * 4
    with pytest.raises(UsageError):
        repo.read("nowhere", "a")


def test_a_name_given_to_git_wins_over_the_remote(folder: Path) -> None:
    git(folder, "remote", "add", "origin", "git@example.org:owner/mirror.git")
    assert Repository(folder).name == "owner/mirror"
    git(folder, "config", "perfsuite.name", "owner/name")
    assert Repository(folder).name == "owner/name"


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A clone of depth 1 whose branches parted 130 commits ago."""
    root = repository(tmp_path / "origin")
    git(root, "branch", "work")
    for branch in ("main", "work"):
        stream = "".join(
            f"commit refs/heads/{branch}\ncommitter A <a@example.org> {1_700_000_000 + number} +0000\n"
            f"data 8\n{branch}{number:04d}\n" + ("" if number else f"from refs/heads/{branch}^0\n")
            for number in range(130)
        )
        command = ("git", "fast-import", "--quiet", "--force")
        subprocess.run(command, cwd=root, input=stream, text=True, check=True)
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{root}", "clone")
    return tmp_path / "clone"


def test_a_shallow_clone_is_deepened_until_the_merge_base_is_there(far: Path) -> None:
    repo = Repository(far)
    with pytest.raises(UsageError, match="shallow"):
        repo.merge_base("origin/main", "origin/work")
    found = repo.ensure_merge_base("origin/main", "origin/work")
    assert found.subject == "one"
    assert repo.ensure_merge_base("origin/main", "origin/work") == found


def test_a_shallow_clone_knows_no_positions(far: Path) -> None:
    assert Repository(far).position(git(far, "rev-parse", "HEAD")) is None


def test_a_commit_that_only_the_shallow_clone_has_is_no_obstacle(far: Path) -> None:
    git(far, "switch", "--quiet", "-c", "mine", "origin/work")
    commit(far, "mine", new="1")
    assert Repository(far).ensure_merge_base("origin/main", "mine").subject == "one"


def test_a_remote_that_is_gone_is_the_machines_fault(far: Path) -> None:
    git(far, "remote", "set-url", "origin", "http://127.0.0.1:9/none.git")
    with pytest.raises(MachineError, match="git fetch failed"):
        Repository(far).ensure_merge_base("origin/main", "origin/work")
