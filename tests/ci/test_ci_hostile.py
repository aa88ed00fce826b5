"""Hostile pull requests against the whole service: nothing leaks, nothing forged counts, nothing breaks."""

from __future__ import annotations

import html
import json
import os
import re
import resource
import secrets
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakehub import FakeGitHub
from fakehub.routes_checks import LONGEST_OUTPUT
from hostile_pulls import BRANCHES, DAEMON, HUGE, LINE, LOOKED, ORDER, SECRETS, Field
from service import Service
from test_ci_body import Structure
from watched import CASE, Watched, run, sources

from ci.body import MARKER
from ci.publish import Shown, read_shown
from perfsuite.measure.sandbox import Confinement, probe
from perfsuite.model import Job, JobKind, JobState, Result, Status, Verdict
from perfsuite.report.markdown import MAX_CHARACTERS

MOST_DESCRIPTION = 140
FILE_BYTES = 24 << 20
"""Of any file that a measurement may write: enough for the store, little for who fills the disk."""
TIME_LIMIT_S = 15


@dataclass(frozen=True)
class World:
    """A service after its work. Pull requests by what they try."""

    github: FakeGitHub
    service: Service
    field: Field
    pulls: dict[str, int]
    status: int
    settings: dict[str, str]
    """Of the mirror: its configuration and hooks."""

    def job(self, name: str) -> Job:
        with self.service.store() as store:
            jobs = store.jobs.jobs(pull=self.pulls[name], kind=JobKind.COMPARE)
        assert len(jobs) == 1, f"{name}: {jobs}\n{self.service.tail()}"
        return jobs[0]

    def shown(self, name: str) -> Shown:
        job = self.job(name)
        assert job.comparison, f"{name}: {job}\n{self.service.tail()}"
        with self.service.store() as store:
            return read_shown(store.reader, job.comparison)

    def head(self, name: str) -> dict[str, Result]:
        return {result.case: result for result in self.shown(name).head}

    def verdict(self, name: str) -> Verdict:
        """On what all of them made slower."""
        return next(c.verdict for c in self.shown(name).report.comparisons if c.case == CASE)

    def comment(self, name: str) -> str:
        return self.service.comment(self.pulls[name])

    def conclusion(self, name: str) -> str:
        return self.service.conclusion(self.github.items[self.pulls[name]].head)

    def requests(self) -> str:
        """All that the service told GitHub."""
        return "\n".join(
            json.dumps([request.raw_path, request.query, request.body], ensure_ascii=False)
            for request in self.github.requests
        )


def make_field(folder: Path, *, shut_in: bool = True) -> Field:
    """A home with secrets, a folder for marks, and a state that nobody is to see."""
    home, state = folder / "home", folder / "service" / "state"
    for name, secret in {".ssh/id_ed25519": "ssh", ".netrc": "netrc"}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(SECRETS[secret])
    (folder / "markers").mkdir()
    state.mkdir(parents=True)
    (state / "secret").write_text(SECRETS["state"])
    mirror = state / "repositories" / "acme--kernels" / "mirror.git"
    places = (home, state, state.parent / "perfsuite.db", folder / "markers", mirror, mirror.parent / "home")
    marker = f"daemon-{secrets.token_hex(8)}"
    return Field(Watched.make(folder), folder / "markers", tuple(map(str, places)), "", marker, shut_in)


def settings_of(folder: Path) -> dict[str, str]:
    """The files of a mirror that decide what git does there."""
    wanted = [folder / "config", *sorted((folder / "hooks").glob("*")), *sorted((folder / "info").glob("*"))]
    return {file.name: file.read_text() for file in wanted if file.is_file()}


@pytest.fixture(scope="module")
def held() -> Confinement:
    return probe(os.environ)


@pytest.fixture(scope="module")
def confined(held: Confinement) -> None:
    if held.level != "full":
        pytest.skip(held.sentence)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, int, int]]:
    """A service that meets a suite without an end while `world` has the processor, and the numbers of two
    pull requests. Its token may only set statuses: their descriptions are short."""
    folder = tmp_path_factory.mktemp("endless")
    field = make_field(folder)
    with FakeGitHub(git=field.watched.origin, permissions={"ann": "write"}) as github:
        number = own(field, github, field.never_ends(), BRANCHES[0])
        waiting = fork(field, github, field.texts(), BRANCHES[2], approved=False)
        service = Service(folder / "service", github, field.watched.origin)
        service.start("--once", "--time-limit", str(TIME_LIMIT_S))
        yield service, number, waiting
        service.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, held: Confinement, endless: object) -> Iterator[World]:
    """All attacks at once, on one service that has secrets in its environment, its home and its state."""
    folder = tmp_path_factory.mktemp("hostile")
    field = make_field(folder, shut_in=held.level == "full")
    permissions = {"ann": "write", "bob": "read"}
    with (
        FakeGitHub(git=field.watched.origin, actions=True, permissions=permissions) as github,
        pytest.MonkeyPatch.context() as patch,
    ):
        field = replace(field, url=github.url)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("PERFSUITE_WEBHOOK_SECRET", SECRETS["webhook"])
        patch.setenv("PGPASSWORD", SECRETS["database"])
        patch.setenv("TRITON_REDIS_HOST", f"redis://me:{SECRETS['database']}@cache")
        service = Service(folder / "service", github, field.watched.origin)
        pulls = open_pulls(field, github)
        service.start("--once")
        assert service.process is not None
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        status = service.process.wait(240)
        mirror = folder / "service/state/repositories/acme--kernels/mirror.git"
        yield World(github, service, field, pulls, status, settings_of(mirror))
        service.stop()


def open_pulls(field: Field, github: FakeGitHub) -> dict[str, int]:
    watched, database = field.watched, Path(field.places[2])
    pulls = {"texts": own(field, github, field.texts(), BRANCHES[0], title=LINE * (HUGE // len(LINE)))}
    pulls["takes"] = fork(field, github, field.takes(), BRANCHES[1])
    pulls["collected"] = own(field, github, field.reads_while_collected(), BRANCHES[2])
    pulls["forges"] = fork(field, github, field.forges(), BRANCHES[3])
    pulls["away"] = fork(field, github, field.suite_elsewhere("/etc"), "away")
    pulls["link"] = own(field, github, field.linked_file(database), "link")
    touch = f"touch {field.markers}/submodule"
    pulls["ext"] = fork(field, github, field.submodule("x", f"ext::sh -c {touch!r}"), "ext")
    pulls["file"] = own(field, github, field.submodule("../../x", f"file://{watched.origin}"), "file")
    pulls["option"] = fork(field, github, field.submodule("-x", f"--upload-pack={touch}"), "option")
    pulls["unapproved"] = fork(field, github, field.forges(), "unapproved", approved=False)
    watched.branch("honest")
    honest = watched.commit("a comment", sources(0.01, **{"toy/more.py": "# nothing"}))
    pulls["honest"] = own(field, github, honest, "honest")
    return pulls


def own(field: Field, github: FakeGitHub, sha: str, branch: str, title: str = LINE) -> int:
    run(field.watched.clone, "push", "--quiet", "--force", "origin", f"{sha}:refs/heads/{branch}")
    return github.open_pull(branch, sha, author="ann", title=title)


def fork(field: Field, github: FakeGitHub, sha: str, branch: str, *, approved: bool = True) -> int:
    number = max(github.items, default=0) + 1
    run(field.watched.clone, "push", "--quiet", "--force", "origin", f"{sha}:refs/pull/{number}/head")
    author = '@everyone</details><!-- perfsuite:comment -->"'
    github.open_pull(
        branch, sha, number=number, author=author, title=LINE, head_repository="mallory/kernels", body=LINE
    )
    github.comment(number, author, f"{MARKER}\n/perf approve {sha}")
    github.comment(number, "bob", f"/perf accept {ORDER} because")
    github.comment(number, "ann", f"/perf accept {ORDER} because")
    if approved:
        github.comment(number, "ann", f"/perf approve {sha}")
    return number


def running() -> str:
    """The command lines of all processes."""
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def check_body(body: str) -> Structure:
    """What holds for everything that we post."""
    assert len(body.encode()) <= MAX_CHARACTERS
    found = Structure(body)
    assert found.wrong == [] and found.open == []
    assert not {"script", "h1", "img", "a", "form"} & set(found.seen)
    assert not re.search(r"@\w|#\d|\bGH-\d|://|www\.\w|:\w+:", found.prose)
    assert not re.search("[\u202a-\u202e\u2066\u2067\x00-\x08\x1b\ud800-\udfff]", body)
    return found


def test_the_service_survives_and_everybody_gets_an_answer(world: World) -> None:
    assert world.status == 0, world.service.tail()
    for name in world.pulls:
        assert world.comment(name), f"{name}: no comment"
        if name != "unapproved":
            assert world.job(name).state.over, f"{name}: {world.job(name)}"
    assert world.job("honest").state is JobState.SUCCEEDED
    assert world.conclusion("honest") == "success"
    assert "Traceback" not in world.service.log.read_text()


def test_comments_are_well_formed_whatever_a_stranger_writes(world: World) -> None:
    for name, number in world.pulls.items():
        ours = world.github.our_comments(number)
        bodies = [comment.body for comment in ours if "perfsuite:reply" not in comment.body]
        assert len(bodies) == 1, name
        assert bodies[0].count(MARKER) == 1 and bodies[0].count("<!--") == 2, name
        assert check_body(bodies[0]).seen.count("h3") == 1, name
        for comment in ours:
            check_body(comment.body)
        foreign = world.github.items[number].author != "ann"
        assert len(ours) == 1 + foreign, f"{name}: one answer to the one who may write"


def test_texts_of_100_kb_are_shown_cut(world: World) -> None:
    assert world.verdict("texts") is Verdict.REGRESSED
    results = world.head("texts")
    assert results["texts/raises"].status is Status.FAILED
    assert sum("texts/named" in case for case in results) == 4
    body = html.unescape(world.comment("texts"))
    assert "texts/raises" in body and "RuntimeError" in body


def test_checks_stay_within_githubs_limits(world: World) -> None:
    for name, number in world.pulls.items():
        checks = world.github.checks(world.github.items[number].head)
        assert len(checks) == 1, name
        assert 0 < len(checks[0].title or "") <= 255
        assert "\n" not in (checks[0].title or "")
        check_body(checks[0].summary or "")
        for output in (checks[0].summary, checks[0].text):
            assert len((output or "").encode()) <= LONGEST_OUTPUT
        if checks[0].text:
            verdicts = re.fullmatch(r"(`{3,})json\n(.*)\n\1", checks[0].text, re.DOTALL)
            assert verdicts is not None
            assert json.loads(verdicts[2], parse_constant=pytest.fail)["comparisons"]


def test_no_secret_leaves(world: World, confined: None) -> None:
    """Neither to GitHub nor to a file: what a trial says is kept in the store, what it prints in logs."""
    for said in (world.head("takes")["reads/reads"].message, world.job("collected").message):
        assert LOOKED in said, f"the attack did run: {said}"
        assert "secrets=[] seen=[]" in said, said
    told = world.requests()
    kept = {
        file: file.read_bytes()
        for file in world.service.folder.rglob("*")
        if file.is_file() and file.name != "secret"
    }
    assert any(LOOKED.encode() in content for content in kept.values())
    for name, secret in SECRETS.items():
        assert secret not in told, name
        assert [str(file) for file, content in kept.items() if secret.encode() in content] == [], name


def test_nothing_forged_is_believed(world: World) -> None:
    job, shown, results = world.job("forges"), world.shown("forges"), world.head("forges")
    assert job.state is JobState.SUCCEEDED and job.comparison != "forged"
    assert "result" not in job.facts and "forged" not in str(job.facts)
    assert world.verdict("forges") is Verdict.REGRESSED
    assert world.conclusion("forges") == "failure"
    assert shown.report.comparison.threshold == 0.5, "the base's configuration counts"
    base = {result.case: result for result in shown.base}[CASE]
    assert base.samples_ns and all(sample > 9e6 for sample in base.samples_ns)
    # Of most: a busy machine may be late for one.
    assert statistics.median(base.samples_ns) < 45e6
    assert "cannot be believed" in results["a_forges/b_writes_to_every_descriptor"].message
    assert "29 cases faster" not in world.requests()


def test_a_trial_inherits_neither_events_nor_locks(world: World) -> None:
    message = world.head("forges")["a_forges/a_forges"].message
    assert DAEMON in message, "the attack did run"
    links = [target for _, target in re.findall(r"\((\d+), '([^']*)'\)", message)]
    assert sum(link.startswith("socket:") for link in links) == 1, "its own link to the conductor"
    assert not [link for link in links if ".lock" in link or link.endswith((".db", ".db-wal", "events"))]
    if world.field.shut_in:
        assert "others=[]" in message, "base's files are not to be seen"


def test_neither_base_nor_mirror_nor_origin_were_edited(world: World) -> None:
    mirror = Path(world.field.places[4])
    assert "forged" not in json.dumps(world.settings)
    run(mirror, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    tip = run(world.field.watched.origin, "rev-parse", "main")
    assert run(mirror, "rev-parse", "main") == tip
    home = Path(world.field.places[5])
    assert run(home, "status", "--porcelain") == ""
    assert "forged" not in (home / "toy/work.py").read_text()
    assert not list((home / ".perfsuite/worktrees").glob("*/toy")), "worktrees are removed"


def test_no_daemon_stays(world: World) -> None:
    assert DAEMON in world.head("forges")["a_forges/a_forges"].message, "the attack did run"
    assert world.field.marker not in running()


def test_nothing_is_written_or_asked_for_outside(world: World, confined: None) -> None:
    assert list(world.field.markers.iterdir()) == []
    assert [request for request in world.github.requests if "daemon" in request.path] == []


def test_who_fills_the_disk_ends_at_a_limit(world: World) -> None:
    results = world.head("takes")
    for case in ("a_fills/a_prints_without_end", "a_fills/b_fills"):
        assert results[case].status is Status.FAILED
        assert "File too large" in results[case].message, results[case].message
    assert world.verdict("takes") is Verdict.REGRESSED
    sizes = [file.stat().st_size for file in world.service.folder.rglob("*") if file.is_file()]
    assert max(sizes) <= FILE_BYTES


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("away", "benchmarks is a symbolic link out of its checkout"),
        ("link", "test_link.py is a symbolic link out of its checkout"),
        ("ext", "by a protocol that is not used here"),
        ("file", "which is not trusted here"),
        ("option", "by a protocol that is not used here"),
    ],
)
def test_a_tree_that_leads_out_is_refused(name: str, words: str, world: World) -> None:
    job = world.job(name)
    assert job.state is JobState.FAILED and job.attempts == 1
    assert words in job.message
    assert words in html.unescape(world.comment(name)).replace("\n", " ")
    assert world.conclusion(name) == "failure"


def test_an_unapproved_fork_runs_nothing_whatever_it_says(world: World) -> None:
    number = world.pulls["unapproved"]
    with world.service.store() as store:
        assert store.jobs.jobs(pull=number) == []
    assert world.conclusion("unapproved") == ""
    assert f"/perf approve {world.github.items[number].head}" in world.comment("unapproved")


def test_a_suite_that_never_ends_is_ended(endless: tuple[Service, int, int]) -> None:
    service, number, waiting = endless
    assert service.process is not None
    assert service.process.wait(120) == 0, service.tail()
    github = service.github
    assert service.conclusion(github.items[number].head) == "failure"
    assert f"longer than {TIME_LIMIT_S} s" in service.comment(number)
    for one in (number, waiting):
        check_body(service.comment(one))
        rows = github.statuses(github.items[one].head)
        assert rows
        assert all(row.description and len(row.description) <= MOST_DESCRIPTION for row in rows)
        assert all("\n" not in (row.description or "") for row in rows)
    assert str(service.folder) not in running(), "nothing of it stays"
