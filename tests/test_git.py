"""The git seam against the real git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from git_example import commit, git

from perfsuite.errors import MachineError, UsageError
from perfsuite.git import UNVERSIONED, GitError, NotARepository, Repository, remote_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with two commits on main: `one` and `two`."""
    root = tmp_path / "fast kernels"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "one", a="1\n", sub__b="1\n", gone="1\n")
    commit(root, "two", a="2\n")
    return root


@pytest.fixture
def repository(folder: Path) -> Repository:
    return Repository.discover(folder)


def test_discovers_from_below(folder: Path) -> None:
    assert Repository.discover(folder / "sub").root == folder


def test_outside_a_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="not in a git repository"):
        Repository.discover(tmp_path)


def test_without_git_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MachineError, match="git is not installed"):
        Repository.discover(folder)


def test_git_variables_of_a_hook_do_not_redirect(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert Repository.discover(folder).head().subject == "two"


def test_resolves_with_what_git_tells(repository: Repository) -> None:
    found = repository.resolve("main~1")
    assert (found.subject, found.author, found.branch, found.dirty) == ("one", "A", None, "")
    assert found.committed_at is not None and found.committed_at.tzinfo is not None
    assert repository.resolve("main").branch == "main"


def test_resolves_branches_with_slashes_and_tags(repository: Repository, folder: Path) -> None:
    git(folder, "branch", "feature/x")
    git(folder, "tag", "-a", "v1", "-m", "first")
    assert repository.resolve("feature/x").branch == "feature/x"
    assert repository.resolve("v1").sha == repository.resolve("main").sha
    assert repository.resolve("v1").branch is None


@pytest.mark.parametrize("revision", ["mian", "", "--all", "main..main~1", "deadbeef", "main:a"])
def test_an_unknown_revision_is_a_usage_error_with_its_name(repository: Repository, revision: str) -> None:
    with pytest.raises(UsageError) as caught:
        repository.resolve(revision)
    assert repr(revision) in caught.value.what
    assert caught.value.next_step


def test_an_unknown_revision_names_the_nearest(repository: Repository, folder: Path) -> None:
    git(folder, "branch", "tune-decode")
    with pytest.raises(UsageError, match="did you mean tune-decode"):
        repository.resolve("tune-decod")


def test_merge_base_and_default_branch(repository: Repository, folder: Path) -> None:
    base = git(folder, "rev-parse", "HEAD")
    git(folder, "switch", "--quiet", "-c", "work")
    commit(folder, "mine", a="3\n")
    git(folder, "switch", "--quiet", "main")
    commit(folder, "theirs", sub__b="3\n")
    assert repository.default_branch() == "main"
    assert repository.merge_base("main", "work").sha == base
    assert repository.default_branch("work") == "work"


def test_the_default_branch_is_what_origin_says(folder: Path, tmp_path: Path) -> None:
    git(folder, "branch", "-m", "trunk")
    git(tmp_path, "clone", "--quiet", str(folder), "clone")
    assert Repository.discover(tmp_path / "clone").default_branch() == "origin/trunk"


def test_no_default_branch_says_how_to_name_one(repository: Repository, folder: Path) -> None:
    git(folder, "branch", "-m", "trunk")
    with pytest.raises(UsageError, match="default_branch"):
        repository.default_branch()


def test_no_common_ancestor(repository: Repository, folder: Path) -> None:
    git(folder, "checkout", "--quiet", "--orphan", "alone")
    commit(folder, "alone")
    with pytest.raises(UsageError, match="no common ancestor"):
        repository.merge_base("main", "alone")


def test_a_shallow_clone_says_how_to_deepen(folder: Path, tmp_path: Path) -> None:
    git(folder, "switch", "--quiet", "-c", "work", "main~1")
    commit(folder, "mine", a="3\n")
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{folder}", "clone")
    with pytest.raises(UsageError, match="--unshallow"):
        Repository.discover(tmp_path / "clone").merge_base("origin/main", "origin/work")


def test_an_edit_in_the_same_tick_of_the_clock_is_seen(repository: Repository, folder: Path) -> None:
    """Same size, same time as what git knows of the file: only the index's own time tells git to look."""
    git(folder, "config", "core.checkStat", "minimal")
    git(folder, "config", "core.trustctime", "false")
    moment = 1_700_000_000
    os.utime(folder / "a", (moment, moment))
    git(folder, "update-index", "--refresh")
    (folder / "a").write_text("3\n")
    for path in (folder / "a", folder / ".git" / "index"):
        os.utime(path, (moment, moment))
    assert repository.head().dirty


def test_a_clean_tree_is_not_dirty(repository: Repository) -> None:
    assert repository.head().dirty == ""
    assert repository.head().branch == "main"


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a").write_text("3\n"),
        lambda root: (root / "new").write_text("1\n"),
        lambda root: (root / "gone").unlink(),
        lambda root: (root / "a").chmod(0o755),
        lambda root: git(root, "rm", "--quiet", "--cached", "a") or (root / "a").unlink(),
    ],
)
def test_changes_make_it_dirty(repository: Repository, folder: Path, change: object) -> None:
    assert callable(change)
    change(folder)
    dirty = repository.dirty_hash()
    assert len(dirty) == 16
    assert repository.dirty_hash() == dirty
    (folder / "another").write_text("x")
    assert repository.dirty_hash() not in ("", dirty)


def test_the_hash_is_of_content_and_leaves_index_and_objects_alone(
    repository: Repository, folder: Path
) -> None:
    (folder / "new").write_text("secret\n")
    before = git(folder, "count-objects"), git(folder, "status", "--porcelain")
    first = repository.dirty_hash()
    (folder / "new").write_text("other\n")
    assert repository.dirty_hash() != first
    assert (git(folder, "count-objects"), git(folder, "status", "--porcelain")) == before
    (folder / "new").write_text("secret\n")
    git(folder, "add", "--intent-to-add", "new")
    assert repository.dirty_hash() == first


@pytest.mark.parametrize("ours", ["", "/.perfsuite/\n", ".perfsuite\n"], ids=["unlisted", "folder", "name"])
def test_ignored_files_and_our_own_do_not_count(repository: Repository, folder: Path, ours: str) -> None:
    commit(folder, "ignore", **{".gitignore": f"*.log\n{ours}"})
    (folder / "x.log").write_text("x")
    (folder / ".perfsuite").mkdir()
    (folder / ".perfsuite" / "perfsuite.db").write_text("x")
    assert repository.dirty_hash() == ""


def test_a_repository_without_commits_is_unversioned(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a").write_text("1")
    head = Repository.discover(tmp_path).head()
    assert head.sha == UNVERSIONED.sha and head.dirty


def test_changed_paths_name_both_sides_of_a_rename(repository: Repository, folder: Path) -> None:
    git(folder, "mv", "gone", "sub/grüße")
    commit(folder, "three")
    assert set(repository.changed_paths("main~1", "main")) == {"gone", "sub/grüße"}


def test_a_worktree_holds_the_revision_and_goes_away(repository: Repository, folder: Path) -> None:
    with repository.worktree("main~1") as path:
        assert (path / "a").read_text() == "1\n"
        assert path.parent == folder / ".perfsuite" / "worktrees"
        assert git(path, "rev-parse", "HEAD") == repository.resolve("main~1").sha
        assert repository.dirty_hash() == ""
    assert not path.exists()
    assert git(folder, "worktree", "list", "--porcelain").count("worktree ") == 1


def test_a_worktree_goes_away_after_an_interrupt(repository: Repository, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), repository.worktree("main") as path:
        raise KeyboardInterrupt
    assert not path.exists()
    assert git(folder, "worktree", "list", "--porcelain").count("worktree ") == 1


def test_two_worktrees_of_one_commit_do_not_meet(repository: Repository) -> None:
    with repository.worktree("main") as first, repository.worktree("main") as second:
        assert first != second
        (first / "a").write_text("x")
        assert (second / "a").read_text() == "2\n"


def test_what_a_killed_process_left_is_removed(repository: Repository, folder: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from perfsuite.git import Repository\n"
        "with Repository(Path(sys.argv[1])).worktree('main~1') as path:\n"
        "    print(path, flush=True); os.kill(os.getpid(), 9)"
    )
    left = subprocess.run(
        (sys.executable, "-c", script, str(folder)), capture_output=True, text=True, check=False
    ).stdout.strip()
    assert Path(left).is_dir()
    with repository.worktree("main"):
        assert not Path(left).exists()
    assert not list((folder / ".perfsuite" / "worktrees").glob("*.lock"))


def test_a_hook_does_not_run_for_a_worktree(repository: Repository, folder: Path) -> None:
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with repository.worktree("main") as path:
        assert path.is_dir()


def test_a_snapshot_holds_the_uncommitted_changes_and_no_later_ones(
    repository: Repository, folder: Path
) -> None:
    (folder / "a").write_text("mine\n")
    git(folder, "add", "a")
    (folder / "sub" / "b").write_text("mine too\n")
    (folder / "new folder").mkdir()
    (folder / "new folder" / "new").write_text("new\n")
    (folder / "link").symlink_to("a")
    (folder / "gone").unlink()
    with repository.snapshot() as path:
        (folder / "a").write_text("later\n")
        assert (path / "a").read_text() == "mine\n"
        assert (path / "sub" / "b").read_text() == "mine too\n"
        assert (path / "new folder" / "new").read_text() == "new\n"
        assert (path / "link").is_symlink()
        assert not (path / "gone").exists()
        assert git(path, "rev-parse", "HEAD") == repository.resolve("HEAD").sha
    assert not path.exists()
    assert (folder / "a").read_text() == "later\n"


def test_a_snapshot_has_the_hash_of_the_tree_it_copied(repository: Repository, folder: Path) -> None:
    (folder / "gone").unlink()
    (folder / "new").write_text("new\n")
    with repository.snapshot() as path:
        assert Repository.discover(path).dirty_hash() == repository.dirty_hash()


def test_a_failure_carries_the_command_and_its_output(repository: Repository) -> None:
    with pytest.raises(GitError) as caught:
        repository.changed_paths("main", "nowhere")
    assert "git diff" in caught.value.what and "nowhere" in caught.value.output


def test_the_name_comes_from_origin_else_from_the_folder(repository: Repository, folder: Path) -> None:
    assert repository.name == "fast kernels"
    git(folder, "remote", "add", "origin", "https://user:token@git.example.org/owner/name.git")
    assert repository.name == "owner/name"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:owner/name.git", "owner/name"),
        ("ssh://git@example.org:2222/owner/na.me.git", "owner/na.me"),
        ("https://example.org/group/owner/name/", "owner/name"),
        ("https://example.org/name", ""),
        ("file:///srv/owner/name.git", ""),
        ("/srv/owner/name.git", ""),
        ("../owner/name", ""),
        ("", ""),
    ],
)
def test_remote_names(url: str, name: str) -> None:
    assert remote_name(url) == name
