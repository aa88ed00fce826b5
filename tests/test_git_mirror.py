"""A mirror of a real bare remote: force pushes, deleted branches, broken and interrupted copies."""

from __future__ import annotations

import http.server
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_example import commit, git, repository

from perfsuite.errors import MachineError, UsageError
from perfsuite.git import Mirror, Repository
from perfsuite.git.locking import locked

MODULE = """import torch


def helper():
    return 1


class A:
    @staticmethod
    async def kernel(
        x,
    ):
        def inner():
            return 2
        return inner


def helper(): return 3
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone of the bare remote beside it; main has `one` and `two`, pull request 7 has `mine`."""
    folder = repository(tmp_path / "work", kernels__k="1\n")
    commit(folder, "two", kernels__k="2\n")
    git(tmp_path, "clone", "--quiet", "--bare", str(folder), "remote.git")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(folder, "switch", "--quiet", "-c", "mine")
    commit(folder, "mine", kernels__k="3\n")
    git(folder, "push", "--quiet", "origin", "mine:refs/pull/7/head")
    git(folder, "switch", "--quiet", "main")
    return folder


@pytest.fixture
def mirror(work: Path, tmp_path: Path) -> Mirror:
    made = Mirror.open(tmp_path / "state" / "mirror.git", str(tmp_path / "remote.git"), "owner/name")
    made.fetch(pulls=[7])
    return made


def test_it_has_branches_and_the_pulls_that_were_asked_for(mirror: Mirror, work: Path) -> None:
    main, mine = git(work, "rev-parse", "main"), git(work, "rev-parse", "mine")
    assert mirror.resolve("main").sha == main and mirror.pull_head(7) == mine
    assert mirror.merge_base(main, mine).sha == main
    assert mirror.changed_paths(main, mine, ["kernels/**"]) == ("kernels/k",)
    assert [one.subject for one in mirror.commits("main")] == ["one", "two"]
    assert mirror.read(mine, "kernels/k") == b"3\n"
    assert mirror.has(mine) and not mirror.has("1" * 40) and not mirror.has("--all")
    assert mirror.size > 0


def test_a_pull_that_the_remote_does_not_have_is_told(mirror: Mirror) -> None:
    assert mirror.fetch(pulls=[8, 7, 9]) == (8, 9)
    assert mirror.fetch(branches=False) == ()


def test_force_pushes_deleted_branches_and_a_folder_in_a_branchs_place(mirror: Mirror, work: Path) -> None:
    git(work, "push", "--quiet", "origin", "mine:refs/heads/a", "mine:refs/heads/keep")
    mirror.fetch()
    before = mirror.pull_head(7)
    git(work, "commit", "--quiet", "--amend", "--allow-empty", "-m", "mine again")
    git(work, "push", "--quiet", "--force", "origin", "main:refs/pull/7/head", "main:main", ":a", ":keep")
    git(work, "push", "--quiet", "origin", "main:refs/heads/a/b")
    mirror.fetch(pulls=[7])
    assert mirror.pull_head(7) == mirror.resolve("main").sha == mirror.resolve("a/b").sha
    assert mirror.resolve("main").subject == "mine again"
    assert before is not None and mirror.has(before)
    with pytest.raises(UsageError):
        mirror.resolve("keep")


def test_the_default_branch_may_be_deleted(mirror: Mirror, work: Path) -> None:
    git(work, "push", "--quiet", "origin", "main:trunk")
    git(work, "--git-dir", mirror.url, "symbolic-ref", "HEAD", "refs/heads/trunk")
    git(work, "push", "--quiet", "origin", ":main")
    mirror.fetch()
    mirror.say_default("trunk")
    home = mirror.home(mirror.root.with_name("home"), "trunk")
    assert Repository.discover(home).default_branch() == "trunk"
    assert not mirror.has("main")


def test_a_working_tree_calls_itself_by_the_mirrors_name(mirror: Mirror, tmp_path: Path) -> None:
    home = mirror.home(tmp_path / "home", "main")
    found = Repository.discover(home)
    assert (found.root, found.name, found.head().dirty) == (home, "owner/name", "")
    with found.worktree(str(mirror.pull_head(7)), folder=home / ".perfsuite" / "worktrees") as path:
        assert (path / "kernels" / "k").read_text() == "3\n"


def test_a_home_is_brought_to_the_commit_whatever_happened_to_it(mirror: Mirror, tmp_path: Path) -> None:
    home = mirror.home(tmp_path / "home", "main")
    (home / ".perfsuite").mkdir()
    (home / ".perfsuite" / "cache").write_text("kept")
    (home / ".gitignore").write_text("ignored\n")
    (home / "ignored").write_text("x")
    (home / "kernels" / "k").write_text("dirty")
    git(home, "switch", "--quiet", "-c", "somebody")
    repository(home / "nested")
    Path(git(home, "rev-parse", "--git-dir"), "index.lock").write_text("")
    assert mirror.home(home, "main~1") == home
    assert (home / "kernels" / "k").read_text() == "1\n"
    assert sorted(path.name for path in home.iterdir()) == [".git", ".perfsuite", "kernels"]
    assert (home / ".perfsuite" / "cache").read_text() == "kept"
    assert git(home, "rev-parse", "HEAD") == mirror.resolve("main~1").sha
    assert mirror.resolve("somebody").subject == "two"


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: (home / ".git").unlink(),
        lambda home: (home / ".git").write_text("gitdir: /nowhere\n"),
        lambda home: shutil.rmtree(git(home, "rev-parse", "--git-dir")),
        lambda home: Path(git(home, "rev-parse", "--git-dir"), "index").write_text("broken"),
        lambda home: Path(git(home, "rev-parse", "--git-dir"), "HEAD").write_text(""),
        lambda home: home.rename(home.with_name("away")),
        lambda home: (home.rename(home.with_name("away")), home.symlink_to(home.with_name("away"))),
        lambda home: (shutil.rmtree(home), home.write_text("a file")),
    ],
)
def test_a_broken_home_is_made_anew_and_keeps_its_caches(
    mirror: Mirror, tmp_path: Path, damage: object
) -> None:
    home = mirror.home(tmp_path / "home", "main")
    (home / ".perfsuite").mkdir()
    (home / ".perfsuite" / "cache").write_text("kept")
    assert callable(damage)
    damage(home)
    kept = (home / ".perfsuite").is_dir() and not home.is_symlink()
    assert (mirror.home(home, "main~1") / "kernels" / "k").read_text() == "1\n"
    assert not home.is_symlink() and (home / ".perfsuite" / "cache").is_file() == kept
    assert Repository.discover(home).head().dirty == ""


def test_a_link_in_the_place_of_the_caches_is_not_followed(
    mirror: Mirror, work: Path, tmp_path: Path
) -> None:
    home = mirror.home(tmp_path / "home", "main")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    (home / ".perfsuite").symlink_to(tmp_path / "outside")
    mirror.home(home, "main")
    assert not (home / ".perfsuite").exists() and (tmp_path / "outside" / "file").is_file()
    (work / ".perfsuite").symlink_to(tmp_path / "outside")
    tracked = commit(work, "hostile")
    git(work, "push", "--quiet", "origin", "main")
    mirror.fetch()
    with pytest.raises(UsageError, match=r"tracks \.perfsuite"):
        mirror.home(home, tracked)


def test_a_mirror_that_is_no_repository_is_made_anew(mirror: Mirror, tmp_path: Path) -> None:
    # Inside another repository: git must not take that for the mirror.
    git(tmp_path, "init", "--quiet")
    (mirror.root / "HEAD").unlink()
    again = Mirror.open(mirror.root, mirror.url, "owner/other")
    again.fetch()
    assert again.resolve("main").subject == "two"
    assert git(tmp_path, "for-each-ref") == ""


def test_locks_that_a_killed_git_left_do_not_stop_it(mirror: Mirror, work: Path) -> None:
    commit(work, "three")
    git(work, "push", "--quiet", "origin", "main", "main:other")
    for name in ("refs/heads/main.lock", "packed-refs.lock", "config.lock"):
        (mirror.root / name).write_text("")
    again = Mirror.open(mirror.root, mirror.url, "owner/renamed")
    again.fetch(pulls=[7])
    again.gc()
    assert again.resolve("main").subject == "three"
    assert Repository.discover(again.home(mirror.root.with_name("home"), "main")).name == "owner/renamed"


def test_kill_at_any_moment_leaves_what_the_next_call_mends(work: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from perfsuite.git import Mirror\n"
        "folder, url = Path(sys.argv[1]), sys.argv[2]\n"
        "print('go', flush=True)\n"
        "mirror = Mirror.open(folder / 'mirror.git', url, 'owner/name')\n"
        "mirror.fetch(pulls=[7]); mirror.home(folder / 'home', sys.argv[3]); mirror.prune([7])"
    )
    moments = random.Random(4)
    for number in range(12):
        revision = ("main", "main~1")[number % 2]
        process = subprocess.Popen(
            (sys.executable, "-c", script, str(tmp_path / "state"), str(tmp_path / "remote.git"), revision),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None and process.stdout.readline() == b"go\n"
        time.sleep(moments.uniform(0, 0.08))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        if number % 4 == 3:
            # A git that outlived its parent holds the lock: the folder is nobody's when it is free.
            with locked(tmp_path / "state" / "mirror.git.lock"):
                shutil.rmtree(tmp_path / "state")
    mirror = Mirror.open(tmp_path / "state" / "mirror.git", str(tmp_path / "remote.git"), "owner/name")
    assert mirror.fetch(pulls=[7]) == ()
    home = mirror.home(tmp_path / "state" / "home", "main")
    assert (home / "kernels" / "k").read_text() == "2\n"
    git(mirror.root, "fsck", "--strict")


def test_a_lock_lasts_as_long_as_the_git_that_was_started_under_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    script = (
        "import os, subprocess, sys; from pathlib import Path; from perfsuite.git.locking import locked\n"
        "with locked(Path(sys.argv[1])) as lock:\n"
        "    child = subprocess.Popen(('sleep', '60'), pass_fds=[lock], stdout=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    command = (sys.executable, "-c", script, str(file))
    child = int(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
    try:
        with pytest.raises(MachineError, match="another process has held"):
            locked(file, wait_s=0).__enter__()
    finally:
        os.kill(child, signal.SIGKILL)
    with locked(file, wait_s=30):
        assert file.exists()


def test_pruning_forgets_pulls_and_old_downloads(mirror: Mirror) -> None:
    left = mirror.root / "objects" / "pack" / "tmp_pack_x"
    left.write_text("x")
    os.utime(left, (0, 0))
    mirror.prune([7])
    assert not left.exists() and mirror.pull_head(7)
    mirror.prune([])
    assert mirror.pull_head(7) is None


def test_functions_are_found_where_they_are_defined(mirror: Mirror, work: Path) -> None:
    sha = commit(
        work, "python", **{"kernels__b.py": MODULE, "kernels__a.py": "def broken(:\n", "c.txt": MODULE}
    )
    git(work, "push", "--quiet", "origin", "main")
    mirror.fetch()
    assert mirror.definitions(sha, ["helper", "kernel", "inner", "broken", "absent", "a|b", ".*"]) == {
        "helper": ("kernels/b.py", 4, 5),
        "kernel": ("kernels/b.py", 10, 15),
        "inner": ("kernels/b.py", 13, 14),
        "broken": ("kernels/a.py", 1, 1),
    }
    assert mirror.definitions(sha, []) == {}


def test_submodules_are_those_of_the_trusted_commit(mirror: Mirror, work: Path, tmp_path: Path) -> None:
    lib, other = (repository(tmp_path / name, text=f"{name}\n") for name in ("lib", "other"))
    git(work, "submodule", "--quiet", "add", str(lib), "lib")
    main = commit(work, "with lib")
    git(work, "submodule", "--quiet", "add", str(other), "other")
    foreign = commit(work, "with other")
    git(work, "push", "--quiet", "--force", "origin", f"{main}:main", f"{foreign}:refs/pull/7/head")
    mirror.fetch(pulls=[7])
    home = mirror.home(tmp_path / "home", "main")
    mirror.trust_submodules(home, main)
    mirror.cache_submodules(home, main)
    lib.rename(tmp_path / "gone")
    with Repository.discover(home).worktree(main) as path:
        assert (path / "lib" / "text").read_text() == "lib\n"
    with pytest.raises(UsageError, match="'other'"):
        mirror.cache_submodules(home, foreign)
    with pytest.raises(UsageError, match="'other'"):
        Repository.discover(home).worktree(foreign).__enter__()


class _Locked(http.server.BaseHTTPRequestHandler):
    """A remote that answers nobody."""

    headers_seen: list[str]
    status = 401

    def do_GET(self) -> None:
        type(self).headers_seen.append(self.headers.get("Authorization", ""))
        self.send_response(type(self).status)
        self.send_header("WWW-Authenticate", "Basic realm=x")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[tuple[str, type[_Locked]]]:
    handler = type("Handler", (_Locked,), {"headers_seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/owner/name.git", handler
        server.shutdown()


def test_a_token_reaches_the_remote_and_nothing_else(
    refusing: tuple[str, type[_Locked]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = refusing
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "B")
    mirror = Mirror.open(tmp_path / "m.git", url, "owner/name", lambda: "Authorization: Basic c2VjcmV0")
    with pytest.raises(UsageError, match="token") as caught:
        mirror.fetch()
    assert handler.headers_seen and set(handler.headers_seen) == {"Basic c2VjcmV0"}
    assert "c2VjcmV0" not in str(caught.value)
    assert all(b"c2VjcmV0" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_remote_in_trouble_is_the_machines_fault(
    refusing: tuple[str, type[_Locked]], tmp_path: Path, status: int
) -> None:
    url, handler = refusing
    handler.status = status
    with pytest.raises(MachineError, match=str(status)):
        Mirror.open(tmp_path / "m.git", url, "owner/name").fetch()


def test_a_remote_that_is_away_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="git fetch failed"):
        Mirror.open(tmp_path / "m.git", "http://127.0.0.1:9/owner/name.git", "owner/name").fetch()
