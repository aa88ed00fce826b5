"""What the job with the token makes of what a job without one left behind: an honest one, and forged ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from actions_payloads import FORK, REPOSITORY, pull_payload, workflow_run_payload
from fakehub import FakeGitHub
from watched import QUICK_S, Watched, run, sources

from ci import artifact
from ci.artifact import DATA, META, Delivered, Meta, Outcome, post_artifact, read_meta, unpacked
from ci.github import GitHubHub, connect
from ci.rules import rules_at
from perfsuite.codec import encode
from perfsuite.errors import PerfsuiteError, UsageError
from perfsuite.model import (
    Alert,
    Block,
    Commit,
    Comparison,
    Environment,
    Kernel,
    Launches,
    Result,
    Round,
    Run,
    Status,
    Timer,
)
from perfsuite.store import Store, open_store

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
GPU = Environment("box", "NVIDIA H200", driver="580.10", torch="2.11.0", triton="3.6.0")
HOSTILE = "</details>\n# @everyone <!-- perfsuite:comment -->\n![x](https://evil.example/x.png)"
LABEL = "perf-approved"


def result(case: str, median_ns: float, code: str = "a") -> Result:
    """`code` stands for the machine code."""
    spread = (0.999, 1.0, 1.001, 1.002, 0.998)
    blocks = tuple(
        Block(pair, block, 16, 4, tuple(Round(median_ns * s, n, n) for n, s in enumerate(spread)))
        for pair in range(3)
        for block in range(4)
    )
    launches = Launches((Kernel("k", code * 16, "sm_90"),), (f"k#{code}",))
    family = case.partition("[")[0]
    return Result(case, "v", family, {}, "cuda", Status.OK, Timer.GRAPH, blocks=blocks, launches=launches)


@dataclass
class Scene:
    """A pull request on the fake GitHub, and the artifact that a run of it left."""

    github: FakeGitHub
    watched: Watched
    folder: Path
    number: int
    head: str
    base: str
    main: str
    """Sha of main, which went on after the merge base."""
    store: Store
    payload: dict[str, Any] = field(default_factory=dict)
    change: float = 3.0

    def comparison(self, **changes: Any) -> Comparison:
        base, head = (
            Run(letter * 32, Commit(sha, subject), REPOSITORY, GPU, "pr", AT, AT, kind)
            for letter, sha, subject, kind in (
                ("a", self.base, "base", "base"),
                ("b", self.head, HOSTILE, "head"),
            )
        )
        return replace(Comparison("c" * 32, base, head, 0.02, AT, AT), **changes)

    def measured(self, comparison: Comparison | None = None) -> None:
        """Leaves the artifact of a comparison whose head takes `change` as long."""
        comparison = comparison or self.comparison()
        self.store.start_comparison(comparison)
        self.store.save_result(comparison.base.id, result("work/work", 1e6))
        self.store.save_result(comparison.head.id, result("work/work", 1e6 * self.change, "b"))
        self.leave(Outcome.MEASURED, comparison=comparison.id)

    def leave(self, outcome: Outcome, **facts: Any) -> None:
        meta = Meta(REPOSITORY, self.number, self.head, outcome, self.base, "main", **facts)
        artifact.write_artifact(self.folder, meta, self.store.reader, [self.main])

    def main_ran(self, code: str) -> None:
        """Main was measured after the merge base."""
        commit = Commit(self.main, "on main", branch="main")
        self.store.start_run(Run("e" * 32, commit, REPOSITORY, GPU, "pr", AT, None, "run"))
        self.store.save_result("e" * 32, result("work/work", 2e6, code))
        self.store.finish_run("e" * 32, AT)

    def forge(self, **facts: Any) -> None:
        meta = json.loads((self.folder / META).read_text())
        (self.folder / META).write_text(json.dumps({**meta, **facts}))

    def document(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(gzip.decompress((self.folder / DATA).read_bytes()))
        change(document)
        (self.folder / DATA).write_bytes(gzip.compress(json.dumps(document).encode()))

    def post(self) -> Delivered:
        hub = GitHubHub(connect(self.github.token, self.github.url), REPOSITORY)
        return post_artifact(
            hub, self.folder, self.payload, lambda *who: rules_at(self.watched.clone, *who), AT
        )

    @property
    def comment(self) -> str:
        (comment,) = self.github.our_comments(self.number)
        return comment.body


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    watched = Watched.make(tmp_path_factory.mktemp("watched"))
    watched.branch("topic")
    watched.commit("a change", sources(QUICK_S, **{"toy/more.py": ""}))
    watched.push("topic")
    watched.branch("main")
    watched.commit("main goes on", {"README.md": "words"})
    watched.push("main")
    return watched


@pytest.fixture(params=["own", "fork"])
def scene(request: pytest.FixtureRequest, watched: Watched, tmp_path: Path) -> Iterator[Scene]:
    source = FORK if request.param == "fork" else REPOSITORY
    head, base, main = (run(watched.clone, "rev-parse", name) for name in ("topic", "topic~1", "main"))
    with (
        FakeGitHub(repository=REPOSITORY, actions=True) as github,
        open_store(str(tmp_path / "runner.db")) as store,
    ):
        number = github.open_pull("topic", head, head_repository=source, labels=[LABEL])
        payload = workflow_run_payload(head, source=source)
        yield Scene(github, watched, tmp_path / "artifact", number, head, base, main, store, payload)


def test_a_regression_is_posted_with_a_red_check(scene: Scene) -> None:
    scene.measured()
    done = scene.post()
    assert done.posted is not None
    assert done.red, scene.comment
    assert "1 case slower" in scene.comment
    assert "work/work" in scene.comment
    (check,) = scene.github.checks(scene.head)
    assert (check.status, check.conclusion) == ("completed", "failure")
    assert check.details_url == scene.payload["workflow_run"]["html_url"]


@pytest.mark.parametrize("scene", ["own"], indirect=True)
def test_what_main_has_by_now_is_not_the_pull_requests_doing(scene: Scene) -> None:
    scene.main_ran("b")
    scene.measured()
    assert not scene.post().red
    assert "already on main" in scene.comment.lower()


@pytest.mark.parametrize("scene", ["own"], indirect=True)
def test_what_main_had_before_and_what_it_has_otherwise_excuses_nothing(scene: Scene) -> None:
    scene.main_ran("c")
    scene.measured()
    assert scene.post().red
    # The artifact brings a run of the merge base as one that came later; the clone of main knows better.
    scene.main = scene.base
    scene.main_ran("b")
    scene.measured()
    assert b"e" * 32 in gzip.decompress((scene.folder / DATA).read_bytes())
    assert scene.post().red


@pytest.mark.parametrize("scene", ["own"], indirect=True)
@pytest.mark.parametrize(("after", "red"), [("main", False), ("base", True)])
def test_a_slow_down_of_main_since_the_merge_base_is_known(scene: Scene, after: str, red: bool) -> None:
    commit = scene.main if after == "main" else scene.base
    case, here = "work/work", GPU.fingerprint
    alert = Alert("9" * 32, REPOSITORY, case, here, "slower", scene.base, commit, 2.0, 1.5, 2.5, AT)
    scene.store.save_alerts([alert])
    scene.measured()
    assert scene.post().red is red


def test_posting_again_changes_nothing(scene: Scene) -> None:
    scene.measured()
    scene.post()
    before = scene.comment
    scene.post()
    assert scene.comment == before
    assert len(scene.github.checks(scene.head)) == 1


def test_a_label_is_used_once(scene: Scene) -> None:
    scene.measured()
    scene.post()
    foreign = scene.payload["workflow_run"]["head_repository"]["full_name"] == FORK
    assert (LABEL in scene.github.items[scene.number].labels) is not foreign


def test_nothing_to_measure_and_failures_are_said(scene: Scene) -> None:
    scene.leave(Outcome.NOTHING, text="nothing in toy/** changed")
    assert not scene.post().red
    assert "nothing in" in scene.comment
    scene.leave(Outcome.FAILED, text=f"no GPU {HOSTILE}")
    scene.post()
    assert "no GPU" in scene.comment
    assert scene.comment.count("<!-- perfsuite:comment -->") == 1
    assert {check.conclusion for check in scene.github.checks(scene.head)} <= {"neutral", "failure"}


def test_words_of_the_pull_request_stay_words(scene: Scene) -> None:
    scene.measured()
    scene.forge(notes=[HOSTILE, "x" * 10_000], text=HOSTILE)
    scene.post()
    body = scene.comment
    assert body.count("<!-- perfsuite:comment -->") == 1
    assert body.count("<details") == body.count("</details>")
    assert "@everyone" not in body
    assert "](https://evil.example" not in body
    assert len(body) < 20_000


def test_the_thresholds_are_those_of_the_base(scene: Scene) -> None:
    # Nobody minds 5 % there; a comparison that brings terms of its own is judged by the repository's.
    scene.change = 1.05
    scene.measured(scene.comparison(threshold=0.0001, case_thresholds={"*": 0.0001}))
    assert not scene.post().red


def test_one_job_that_measures_and_posts_is_checked_alike(scene: Scene) -> None:
    scene.measured()
    source = scene.payload["workflow_run"]["head_repository"]["full_name"]
    scene.payload = pull_payload(scene.head, number=scene.number, source=source)
    assert scene.post().posted is not None
    scene.payload = pull_payload("d" * 40, number=scene.number, source=source)
    with pytest.raises(UsageError, match="about"):
        scene.post()


def test_a_branch_that_moved_on_is_left_alone(scene: Scene) -> None:
    scene.measured()
    scene.github.push(scene.number, "d" * 40)
    done = scene.post()
    assert done.posted is None
    assert "dddddddddd" in done.why_not
    assert scene.github.writes() == []


def test_a_closed_pull_request_is_left_alone(scene: Scene) -> None:
    scene.measured()
    scene.github.close(scene.number)
    assert "closed" in scene.post().why_not
    assert scene.github.writes() == []


def _other_pull(scene: Scene) -> None:
    other = scene.github.open_pull("another", "e" * 40)
    scene.forge(pull=other)


def _swap_side(scene: Scene, side: str, **changes: Any) -> None:
    index = 0 if side == "base" else 1

    def change(document: dict[str, Any]) -> None:
        document["runs"][index]["commit"] |= changes

    scene.document(change)


def _two_comparisons(document: dict[str, Any]) -> None:
    document["comparisons"].append({**document["comparisons"][0], "id": "d" * 32})


def _own_base(scene: Scene) -> None:
    scene.forge(base=scene.head)
    _swap_side(scene, "base", sha=scene.head)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _append(file: Path, more: bytes) -> None:
    file.write_bytes(file.read_bytes() + more)


def _link(file: Path, target: Path) -> None:
    file.unlink()
    file.symlink_to(target)


FORGERIES: dict[str, tuple[Callable[[Scene], object], str]] = {
    "another head": (lambda s: s.forge(head="d" * 40), "the artifact is about"),
    "another repository": (lambda s: s.forge(repository="acme/secret"), "the artifact is about"),
    "another pull request": (_other_pull, "whose branch is not the one"),
    "no pull request": (lambda s: s.forge(pull=4711), "no pull request #4711"),
    "a branch of the same name": (
        lambda s: s.payload["workflow_run"].update(head_repository={"full_name": "eve/toy"}),
        "whose branch is not the one",
    ),
    "another branch": (lambda s: s.payload["workflow_run"].update(head_branch="x"), "whose branch is not"),
    "a run of main": (lambda s: s.payload["workflow_run"].update(event="push"), "not of a pull request"),
    "an event of elsewhere": (
        lambda s: s.payload.update(repository={"full_name": "eve/toy"}),
        "the event is not of",
    ),
    "samples of another head": (lambda s: _swap_side(s, "head", sha="d" * 40), "not the one that it names"),
    "samples of another base": (lambda s: _swap_side(s, "base", sha="d" * 40), "not the one that it names"),
    "a changed working tree": (lambda s: _swap_side(s, "head", dirty="d" * 16), "not the one that it names"),
    "a base of its own": (_own_base, "is no commit of 'main'"),
    "two comparisons": (lambda s: s.document(_two_comparisons), "several"),
    "no comparison": (lambda s: s.document(lambda d: d["comparisons"].clear()), "no comparison"),
    "Markdown for data": (
        lambda s: (s.folder / DATA).write_bytes(gzip.compress(b"# All is well")),
        "not JSON",
    ),
    "Markdown unpacked": (lambda s: (s.folder / DATA).write_text("# All is well"), "no gzip file"),
    "a damaged file": (lambda s: _cut(s.folder / DATA), "cut short"),
    "something behind it": (lambda s: _append(s.folder / DATA, gzip.compress(b"{}")), "cut short, or"),
    "a comment to post": (lambda s: (s.folder / "body.md").write_text("# hi"), "'body.md'"),
    "a folder": (lambda s: (s.folder / "sub").mkdir(), "'sub'"),
    "a link": (lambda s: _link(s.folder / DATA, Path("/etc/passwd")), "which we do not write"),
    "no meta": (lambda s: (s.folder / META).unlink(), "has no meta.json"),
    "no data": (lambda s: (s.folder / DATA).unlink(), "cannot read"),
    "a large meta": (lambda s: s.forge(text="x" * (1 << 19)), "more than 262144 bytes"),
    "a deep meta": (lambda s: (s.folder / META).write_text("[" * 60_000), "is not ours"),
    "a meta of other types": (lambda s: s.forge(pull="1"), "is not ours"),
    "a negative pull": (lambda s: s.forge(pull=-1), "no pull request"),
    "a sha of words": (lambda s: s.forge(base="--upload-pack=reboot"), "names no commit"),
    "an unknown outcome": (lambda s: s.forge(outcome="wonderful"), "is not ours"),
    "a later version": (lambda s: s.forge(schema=2), "version 2"),
}


@pytest.mark.parametrize("scene", ["fork"], indirect=True)
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_artifact_is_refused_and_nothing_is_written(scene: Scene, name: str) -> None:
    scene.measured()
    forge, expected = FORGERIES[name]
    forge(scene)
    with pytest.raises(PerfsuiteError, match=expected):
        scene.post()
    assert scene.github.writes() == []


def test_no_more_than_the_limit_is_ever_unpacked() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(UsageError, match="unpacks to more than 1 MB"):
        unpacked(bomb, 1 << 20)
    assert unpacked(gzip.compress(b"x" * 100), 100) == b"x" * 100


def test_samples_that_do_not_fit_are_refused_where_they_are_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "LARGEST_DATA_BYTES", 100)
    with pytest.raises(UsageError, match="more than an artifact may hold"):
        scene.measured()


def test_what_is_written_is_read(scene: Scene) -> None:
    scene.leave(Outcome.FAILED, text="ä\n", notes=("one",))
    meta = read_meta(scene.folder)
    assert encode(meta)["outcome"] == "failed"
    assert (meta.text, meta.notes, meta.base_branch) == ("ä\n", ("one",), "main")
