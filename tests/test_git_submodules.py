"""Worktrees with submodules, by the real git: filled at the recorded commits, hostile addresses refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_example import commit, git, repository

from perfsuite.errors import UsageError
from perfsuite.git import Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a submodule `lib`, in which there is `deep/inner`, by a relative address."""
    repository(tmp_path / "remotes" / "inner", text="inner 1\n")
    lib = repository(tmp_path / "remotes" / "lib", text="lib 1\n")
    git(lib, "submodule", "--quiet", "add", "../inner", "deep/inner")
    commit(lib, "with inner")
    root = repository(tmp_path / "remotes" / "watched", a="1\n")
    git(root, "submodule", "--quiet", "add", str(lib), "lib")
    commit(root, "with lib")
    commit(lib, "two", text="lib 2\n")
    git(root / "lib", "pull", "--quiet")
    commit(root, "lib 2")
    git(tmp_path, "clone", "--quiet", str(root), "clone")
    git(tmp_path / "clone", "submodule", "--quiet", "init")
    return tmp_path / "clone"


def test_a_worktree_has_its_submodules_at_the_recorded_commits(folder: Path) -> None:
    repo = Repository(folder)
    with repo.worktree("main") as new, repo.worktree("main~1") as old:
        assert [(path / "lib" / "text").read_text() for path in (old, new)] == ["lib 1\n", "lib 2\n"]
        assert (new / "lib" / "deep" / "inner" / "text").read_text() == "inner 1\n"
        assert git(new, "status", "--porcelain") == ""
    assert not new.exists() and not old.exists()
    assert git(folder, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert git(folder, "status", "--porcelain") == ""


def test_a_second_worktree_needs_no_remote(folder: Path, tmp_path: Path) -> None:
    repo = Repository(folder)
    with repo.worktree("main"):
        pass
    (tmp_path / "remotes").rename(tmp_path / "gone")
    with repo.worktree("main") as path:
        assert (path / "lib" / "deep" / "inner" / "text").is_file()


def test_what_the_clone_has_already_is_not_asked_of_a_remote(folder: Path, tmp_path: Path) -> None:
    git(folder, "submodule", "--quiet", "update", "--init")
    commit(folder / "lib", "not pushed", text="lib 3\n")
    git(folder / "lib", "submodule", "--quiet", "deinit", "--all")
    commit(folder, "lib 3")
    with Repository(folder).worktree("main") as path:
        assert (path / "lib" / "text").read_text() == "lib 3\n"


def test_a_snapshot_has_the_submodules_of_the_working_tree(folder: Path) -> None:
    git(folder, "submodule", "--quiet", "update", "--init")
    git(folder / "lib", "checkout", "--quiet", "HEAD~1")
    (folder / "a").write_text("mine\n")
    with Repository(folder).snapshot() as path:
        assert (path / "lib" / "text").read_text() == "lib 1\n"
        assert (path / "a").read_text() == "mine\n"


def test_what_the_working_tree_does_without_a_worktree_does_without(folder: Path) -> None:
    git(folder, "config", "--remove-section", "submodule.lib")
    with Repository(folder).worktree("main") as path:
        assert list((path / "lib").iterdir()) == []
    assert not list((folder / ".perfsuite" / "submodules").glob("*.git"))


def test_a_commit_without_submodules_beside_one_with(folder: Path) -> None:
    with Repository(folder).worktree("main~2") as path:
        assert not (path / "lib").exists()


def test_an_address_that_is_not_trusted_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    repo = Repository(folder)
    lib, inner = (str(tmp_path / "remotes" / name) for name in ("lib", "inner"))
    with repo.worktree("main", allowed_submodules=[f"{lib}.git", inner]) as path:
        assert (path / "lib" / "text").is_file()
    with pytest.raises(UsageError, match=r"'lib/deep/inner' .*not trusted"):
        repo.worktree("main", allowed_submodules=[lib]).__enter__()
    with (
        pytest.raises(UsageError, match=r"'lib' .*not trusted"),
        repo.worktree("main", allowed_submodules=()),
    ):
        pass
    assert not list((folder / ".perfsuite" / "worktrees").glob("[0-9a-f]*"))


@pytest.mark.parametrize("address", ["ext::sh -c 'touch owned'", "-upload-pack=touch owned", "file:///tmp/x"])
def test_an_address_that_runs_a_command_or_reads_this_machine_is_refused(folder: Path, address: str) -> None:
    git(folder, "remote", "set-url", "origin", "https://example.org/owner/name.git")
    git(folder, "config", "--file", ".gitmodules", "submodule.lib.url", address)
    commit(folder, "hostile")
    with (
        pytest.raises(UsageError, match="by a protocol that is not used"),
        Repository(folder).worktree("main"),
    ):
        pass
    assert not list(folder.rglob("owned"))


@pytest.mark.parametrize("name", ["../../../outside", "/etc"])
def test_the_name_of_a_submodule_is_no_path(folder: Path, name: str) -> None:
    lib = git(folder, "config", "--file", ".gitmodules", "submodule.lib.url")
    git(folder, "config", f"submodule.{name}.url", lib)
    text = f'[submodule "{name}"]\n\tpath = lib\n\turl = {lib}\n\tupdate = !touch owned\n'
    (folder / ".gitmodules").write_text(text)
    commit(folder, "hostile")
    with Repository(folder).worktree("main") as path:
        assert (path / "lib" / "text").is_file()
    assert not list(folder.rglob("owned"))


def test_a_commit_that_the_remote_does_not_have_is_named(folder: Path) -> None:
    git(folder, "update-index", "--cacheinfo", f"160000,{'1' * 40},lib")
    git(folder, "commit", "--quiet", "-m", "lost")
    with (
        pytest.raises(UsageError, match=r"does not have commit 1111111111 of submodule 'lib'"),
        Repository(folder).worktree("main"),
    ):
        pass


def test_a_hook_of_a_submodule_does_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "settings").write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    with Repository(folder).worktree("main") as path:
        assert (path / "lib" / "text").is_file()
