"""The fake GitHub itself, where other tests rest on what it does: with a real git, and in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fakehub import FakeGitHub

HEADERS = {"Authorization": "token good-token"}
WHO = {
    f"GIT_{role}_{part}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
}


class Clone:
    """A person's clone of the bare repository."""

    def __init__(self, folder: Path, bare: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", str(bare))
        self.commit("first")
        self.git("push", "--quiet", "origin", "main")

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **WHO}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
        return done.stdout.strip()

    def commit(self, text: str, *arguments: str) -> str:
        (self.folder / text).write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", text, *arguments)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    return bare


@pytest.fixture
def clone(tmp_path: Path, bare: Path) -> Clone:
    return Clone(tmp_path / "clone", bare)


@pytest.fixture
def github(bare: Path, clone: Clone) -> Iterator[FakeGitHub]:
    with FakeGitHub(git=bare) as fake:
        yield fake


def get(github: FakeGitHub, path: str) -> Any:
    return requests.get(f"{github.url}/repos/acme/kernels{path}", headers=HEADERS, timeout=10).json()


def test_what_is_pushed_to_git_is_the_head(github: FakeGitHub, clone: Clone, bare: Path) -> None:
    clone.git("checkout", "-q", "-b", "topic")
    first = clone.commit("one")
    clone.git("push", "-q", "origin", "topic")
    number = github.open_pull("topic")
    assert get(github, f"/pulls/{number}")["head"]["sha"] == first
    second = clone.commit("two")
    clone.git("push", "-q", "origin", "topic")
    assert get(github, f"/pulls/{number}")["head"]["sha"] == second
    assert clone.git("ls-remote", str(bare), f"refs/pull/{number}/head").split()[0] == second
    assert get(github, f"/issues/{number}/events") == []


def test_a_force_push_is_an_event_and_a_deleted_branch_closes(github: FakeGitHub, clone: Clone) -> None:
    clone.git("checkout", "-q", "-b", "topic")
    clone.commit("one")
    clone.git("push", "-q", "origin", "topic")
    number = github.open_pull("topic")
    amended = clone.commit("two", "--amend")
    clone.git("push", "-q", "--force", "origin", "topic")
    (event,) = get(github, f"/issues/{number}/events")
    assert (event["event"], event["commit_id"]) == ("head_ref_force_pushed", amended)
    clone.git("push", "-q", "origin", "--delete", "topic")
    assert get(github, f"/pulls/{number}")["state"] == "closed"


def test_a_fork_lives_in_its_pull_requests_ref(github: FakeGitHub, clone: Clone) -> None:
    first = clone.commit("theirs")
    clone.git("push", "-q", "origin", f"{first}:refs/pull/5/head")
    github.open_pull("topic", first, number=5, head_repository="bob/kernels")
    second = clone.commit("more")
    clone.git("push", "-q", "origin", f"{second}:refs/pull/5/head")
    pull = get(github, "/pulls/5")
    assert (pull["head"]["sha"], pull["head"]["repo"]["full_name"]) == (second, "bob/kernels")


def test_merging_makes_a_real_merge_commit(github: FakeGitHub, clone: Clone) -> None:
    clone.git("checkout", "-q", "-b", "topic")
    head = clone.commit("one")
    clone.git("push", "-q", "origin", "topic")
    clone.git("checkout", "-q", "main")
    main = clone.commit("other")
    clone.git("push", "-q", "origin", "main")
    sha = github.merge(github.open_pull("topic"))
    clone.git("fetch", "-q", "origin")
    assert clone.git("rev-parse", "origin/main", f"{sha}^1", f"{sha}^2").split() == [sha, main, head]
    assert get(github, "/git/ref/heads/main")["object"]["sha"] == sha


def test_pages_carry_links_to_their_neighbours(github: FakeGitHub) -> None:
    number = github.open_pull("topic", github.tips()["main"])
    for text in "abcde":
        github.comment(number, "bob", text)
    url = f"{github.url}/repos/acme/kernels/issues/{number}/comments"
    pages = [requests.get(url, params={"per_page": 2}, headers=HEADERS, timeout=10)]
    while "next" in pages[-1].links:
        pages.append(requests.get(pages[-1].links["next"]["url"], headers=HEADERS, timeout=10))
    assert ["".join(row["body"] for row in page.json()) for page in pages] == ["ab", "cd", "e"]


def test_in_a_process_of_its_own_it_is_controlled_from_outside(bare: Path, clone: Clone) -> None:
    command = [sys.executable, "-m", "fakehub", "--git", str(bare)]
    here = Path(__file__).parent
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here
    ) as process:
        assert process.stdout is not None
        url, control = process.stdout.readline().split()
        number = requests.post(f"{control}/open_pull", json={"branch": "main"}, timeout=10).json()
        path = f"{url}/repos/acme/kernels/pulls/{number}"
        assert requests.get(path, headers=HEADERS, timeout=10).json()["number"] == number
        requests.post(f"{control}/go_down", timeout=10)
        with pytest.raises(requests.ConnectionError):
            requests.get(path, headers=HEADERS, timeout=10)
        requests.post(f"{control}/come_up", timeout=10)
        assert requests.get(path, headers=HEADERS, timeout=10).status_code == 200
        assert len(requests.get(f"{control}/requests", timeout=10).json()) == 2
        assert requests.post(f"{control}/open_pull", json={"no": 1}, timeout=10).status_code == 500
        process.communicate("", timeout=20)
    assert process.returncode == 0
