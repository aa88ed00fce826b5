"""Code under test that attacks, in real processes: nothing leaks, nothing forged counts, nothing stays."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hostile_suite as hostile
import pytest
import toy_suite as toy

from perfsuite.errors import UsageError
from perfsuite.measure import comparing, confined, sandbox
from perfsuite.measure.confined import UNCONFINED, Confinement
from perfsuite.measure.player import PlayerError
from perfsuite.measure.process import Ended, Trial, TrialPlan
from perfsuite.measure.sandbox import probe
from perfsuite.measure.schedule import Effort
from perfsuite.measure.session import run_suite
from perfsuite.measure.settings import Budget, Settings, Silent, Tree
from perfsuite.model import Result, Side, Status

SECRET = "hunter2-correct-horse"


@pytest.fixture(scope="module")
def full() -> Confinement:
    held = probe(os.environ)
    if held.level != "full":
        pytest.skip(held.sentence)
    return held


@pytest.fixture(params=["confined", "unconfined"])
def either(request: pytest.FixtureRequest) -> Confinement:
    return request.getfixturevalue("full") if request.param == "confined" else UNCONFINED


@pytest.fixture
def one_core(settings: Settings) -> Settings:
    return replace(settings, cores=1)


def run(root: Path, settings: Settings) -> dict[str, Result]:
    results: dict[str, Result] = {}
    run_suite(Tree(root, "bench"), settings, lambda r: results.__setitem__(r.case, r), Silent())
    return results


def compare(base: Path, head: Path, settings: Settings) -> dict[tuple[Side, str], Result]:
    results: dict[tuple[Side, str], Result] = {}

    def sink(side: Side, result: Result) -> None:
        results[side, result.case] = result

    comparing.compare_suites(Tree(base, "bench"), Tree(head, "bench"), settings, sink, Silent())
    return results


def honest(result: Result) -> bool:
    """Whether what slept for 2 ms three times was measured as that."""
    samples = result.samples_ns
    return result.status is Status.OK and len(samples) >= 3 and all(2e6 < s < 2e9 for s in samples)


def processes_with(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


CONDUCTOR = """
import os, sys
from pathlib import Path
from perfsuite.measure.sandbox import probe
from perfsuite.measure.session import run_suite
from perfsuite.measure.settings import Settings, Silent, Tree
from perfsuite.model import Environment

root, state, confine = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "full"
confinement = probe(os.environ) if confine else None
here = Environment("here", cpu="any")
settings = Settings(here, state, os.environ, confinement=confinement, trusted=False)
run_suite(Tree(root, "bench"), settings, lambda result: print(result.message), Silent())
"""


def conductor(root: Path, state: Path, level: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CONDUCTOR, str(root), str(state), level]
    return subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True)


def test_nothing_of_the_host_is_told(either: Confinement, tmp_path: Path) -> None:
    """The conductor's environment holds secrets, in its home lie some, and in its state."""
    home, state = tmp_path / "home", tmp_path / "state"
    for folder in (home, state):
        folder.mkdir()
        (folder / "secret.txt").write_text(SECRET)
    text = hostile.READS.format(home=str(home) if either.files else "/nowhere", state=str(state))
    root = hostile.write_tree(tmp_path / "tree", reads=text)
    environ = {
        "HOME": str(home),
        "GITHUB_TOKEN": SECRET,
        "PERFSUITE_DB": f"postgresql://me:{SECRET}@db/x",
        "TRITON_API_KEY": SECRET,
        "CUDA_AUTH": SECRET,
        "TRITON_REDIS_HOST": f"redis://me:{SECRET}@cache",
        "TORCH_PROXY": f"http://me:{SECRET}@proxy",
    }
    out, _ = conductor(root, state, either.level, environ).communicate(timeout=60)
    assert '"TRITON_CACHE_DIR"' in out, "the attack did run"
    if either.files:
        assert SECRET not in out
        assert '["triton"]' in out, "of the state the way to its own cache"
        assert str(home) not in out
    else:
        # Of the same user's processes an unconfined trial sees the environment only where it is root.
        told = out.partition("}")[0]
        assert SECRET not in told
        assert str(home) not in told


def test_without_namespaces_the_conductors_environment_is_not_read(tmp_path: Path) -> None:
    """By the same user, who is not root: the conductor has hidden it."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        text = hostile.READS.format(home="/nowhere", state=str(state))
        root = hostile.write_tree(Path(folder, "tree"), reads=text)
        python, environ = hostile.as_nobody(Path(folder))
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [*python, "-c", CONDUCTOR, str(root), str(state), "none"],
            env={**environ, "DATABASE": SECRET},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if "No module named" in done.stderr:
        pytest.skip(f"that user cannot read the harness: {done.stderr.splitlines()[-1]}")
    assert "/environ'" in done.stdout and "Permission denied" in done.stdout, done.stderr
    assert SECRET not in done.stdout


def test_a_daemon_does_not_outlive_its_trial(either: Confinement, tmp_path: Path, one_core: Settings) -> None:
    marker = f"98765.{secrets.randbelow(10**9):09}"
    root = hostile.write_tree(
        tmp_path / "tree", daemon=hostile.DAEMON.format(marker=marker), honest=hostile.HONEST
    )
    other = subprocess.Popen(["sleep", "1000"])
    try:
        results = run(root, replace(one_core, confinement=either))
        assert other.poll() is None, "the conductor's other children live"
    finally:
        other.kill()
        other.wait()
    assert (one_core.state / "triton" / "tree" / "started").exists(), "the attack did run"
    assert results["daemon/daemon"].status is Status.OK
    assert honest(results["honest/honest"])
    assert processes_with(marker) == []


def test_a_killed_conductor_leaves_no_process_and_no_folder(either: Confinement, tmp_path: Path) -> None:
    marker = f"98765.{secrets.randbelow(10**9):09}"
    text = hostile.DAEMON.format(marker=marker) + "    time.sleep(1000)\n"
    root, state = hostile.write_tree(tmp_path / "tree", daemon=text), tmp_path / "state"
    (tmp_path / "tmp").mkdir()
    process = conductor(root, state, either.level, {"TMPDIR": str(tmp_path / "tmp")})
    wait_for((state / "triton" / "strangers" / "head" / "started").exists)
    assert processes_with(marker)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not processes_with(marker) and not processes_with(str(root)))
    wait_for(lambda: not list((tmp_path / "tmp").glob("perfsuite-trial-*")))


def wait_for(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def test_a_full_disk_is_the_trials_own(
    full: Confinement, tmp_path: Path, one_core: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "SCRATCH_BYTES", 4 << 20)
    root = hostile.write_tree(tmp_path / "tree", fills=hostile.FILLS, honest=hostile.HONEST)
    results = run(root, replace(one_core, confinement=full))
    assert results["fills/fills"].status is Status.FAILED
    assert "No space left on device" in results["fills/fills"].message
    assert honest(results["honest/honest"])


def test_a_huge_file_ends_at_its_limit(
    tmp_path: Path, one_core: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "FILE_BYTES", 1 << 20)
    results = run(hostile.write_tree(tmp_path / "tree", fills=hostile.FILLS), one_core)
    assert "File too large" in results["fills/fills"].message


def test_who_writes_too_much_is_killed(either: Confinement, tmp_path: Path) -> None:
    text = hostile.FILLS.replace("TMPDIR", "TRITON_CACHE_DIR") + "    import time; time.sleep(1000)\n"
    root = hostile.write_tree(tmp_path / "tree", fills=text)
    plan = TrialPlan(
        *(root, "bench", "interpret", tmp_path / "cache", tmp_path / "log", 60.0, os.environ),
        confinement=either,
        growth_bytes=8 << 20,
    )
    trial = Trial(plan)
    trial.collected()
    with pytest.raises(PlayerError, match="it wrote more than 8"):
        trial.start("fills/fills")
    assert not trial.running


def test_what_is_forged_is_not_believed(tmp_path: Path, one_core: Settings) -> None:
    text = hostile.FORGES + hostile.HONEST.replace("test_honest", "test_b_honest")
    root = hostile.write_tree(tmp_path / "tree", forges=text)
    results = run(root, one_core)
    assert results["forges/a_forges"].status is Status.FAILED
    assert "cannot be believed" in results["forges/a_forges"].message
    assert results["forges/a_forges"].samples_ns == ()
    assert honest(results["forges/b_honest"])


def test_times_that_cannot_be_are_refused(tmp_path: Path, one_core: Settings) -> None:
    root = hostile.write_tree(tmp_path / "tree", claims=hostile.CLAIMS, honest=hostile.HONEST)
    results = run(root, one_core)
    claims = [result for result in results.values() if result.family == "claims/claims"]
    assert len(claims) == 3
    assert {result.status for result in claims} == {Status.FAILED}
    assert all("cannot be believed" in result.message for result in claims)
    assert honest(results["honest/honest"])


def test_answers_of_any_form_cost_only_their_case(tmp_path: Path, one_core: Settings) -> None:
    root = hostile.write_tree(tmp_path / "tree", says=hostile.SAYS, honest=hostile.HONEST)
    results = run(root, one_core)
    said = [result for result in results.values() if result.family == "says/says"]
    assert len(said) == 5
    assert {result.status for result in said} == {Status.FAILED}
    assert max(len(result.message) for result in said) < 30_000
    assert honest(results["honest/honest"])


def test_the_other_trees_are_out_of_reach(
    full: Confinement, tmp_path: Path, one_core: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "BUDGETS", {"pr": Budget(Effort(1, 1, 1), 600.0)})
    base = hostile.write_tree(tmp_path / "base", honest=hostile.HONEST, edits="")
    outside = tmp_path / "outside.py"
    targets = [base / "bench" / "test_honest.py", base / "conftest.py", tmp_path / "conftest.py", outside]
    targets += [tmp_path / "head" / "conftest.py", tmp_path / "state" / "perfsuite.db"]
    text = hostile.EDITS.format(others=", ".join(repr(str(path)) for path in targets))
    head = hostile.write_tree(tmp_path / "head", honest=hostile.HONEST, edits=text)
    (head / "conftest.py").write_text("")
    settings = replace(one_core, confinement=full, pairs=1)
    before = {path: path.read_text() for path in tmp_path.rglob("*.py")}
    results = compare(base, head, settings)
    assert {path: path.read_text() for path in tmp_path.rglob("*.py")} == before
    assert str(base) not in results[Side.HEAD, "edits/edits"].message
    assert str(head) not in results[Side.HEAD, "edits/edits"].message
    assert honest(results[Side.BASE, "honest/honest"])
    assert honest(results[Side.HEAD, "honest/honest"])


def test_no_connection_leaves_a_trial(full: Confinement, tmp_path: Path, one_core: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        text = hostile.CONNECTS.format(port=server.getsockname()[1])
        root = hostile.write_tree(tmp_path / "tree", connects=text, honest=hostile.HONEST)
        results = run(root, replace(one_core, confinement=full))
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "Connection refused" in results["connects/connects"].message
    assert honest(results["honest/honest"])


def test_what_never_ends_is_ended(full: Confinement, tmp_path: Path, one_core: Settings) -> None:
    root = hostile.write_tree(
        tmp_path / "tree", never=hostile.NEVER_ENDS, trickles=hostile.TRICKLES, honest=hostile.HONEST
    )
    results = run(root, replace(one_core, confinement=full, case_timeout_s=1.0))
    assert "--case-timeout" in results["never/never_ends"].message
    assert results["trickles/trickles"].status is Status.FAILED
    assert honest(results["honest/honest"])
    assert processes_with(str(root)) == []


@pytest.mark.parametrize("name", ["bench/test_x.py", "bench/conftest.py", "conftest.py", "setup.cfg"])
def test_a_link_out_of_the_tree_is_not_read(name: str, tmp_path: Path, one_core: Settings) -> None:
    (tmp_path / "secret").write_text(f"{SECRET} = no python\n")
    root = hostile.write_tree(tmp_path / "tree", honest=hostile.HONEST)
    (root / name).symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match=f"{name} is a symbolic link out of its checkout") as caught:
        run(root, one_core)
    assert SECRET not in str(caught.value)


def test_a_link_within_the_tree_is_fine(full: Confinement, tmp_path: Path, one_core: Settings) -> None:
    root = hostile.write_tree(tmp_path / "tree", honest=hostile.HONEST)
    (root / "bench" / "test_again.py").symlink_to("test_honest.py")
    results = run(root, replace(one_core, confinement=full))
    assert honest(results["honest/honest"]) and honest(results["again/honest"])


def test_what_a_stranger_compiles_nobody_else_reads(
    full: Confinement, tmp_path: Path, one_core: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins with copies of base's files, its own list of them included, and leaves nothing."""
    monkeypatch.setattr(comparing, "BUDGETS", {"pr": Budget(Effort(1, 1, 1), 600.0)})
    caches = one_core.state / "triton"
    kernel = caches / "base" / "key" / "add.cubin"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("of base")
    group = kernel.with_name("__grp__add.json")
    group.write_text(json.dumps({"child_paths": {"add.cubin": str(kernel)}}))
    poisons = """
import json, os
from pathlib import Path

def test_honest(benchmark):
    cache = Path(os.environ["TRITON_CACHE_DIR"])
    if cache.parent.name == "strangers":
        listed = json.loads((cache / "key" / "__grp__add.json").read_text())
        kernel = Path(listed["child_paths"]["add.cubin"])
        assert kernel.read_text() == "of base" and kernel.is_relative_to(cache), kernel
        kernel.write_text("poison")
        (cache / "more").touch()
    benchmark.pedantic(len, args=("",), rounds=1)
"""
    base = hostile.write_tree(tmp_path / "base", honest=poisons)
    head = hostile.write_tree(tmp_path / "head", honest=poisons)
    results = compare(base, head, replace(one_core, confinement=full, trusted=False, pairs=1))
    assert {result.status for result in results.values()} == {Status.OK}
    assert kernel.read_text() == "of base"
    left = {path.name for path in caches.rglob("*")} - {".gitignore"}
    assert left == {"base", "key", "add.cubin", "__grp__add.json", "strangers"}


def test_honest_kernels_notice_nothing(full: Confinement, tmp_path: Path, one_core: Settings) -> None:
    """Triton interprets, compiles with gcc's help, and keeps its cache on the host."""
    root = toy.write_tree(tmp_path / "tree")
    result = run(root, replace(one_core, confinement=full, pattern="n=1"))["toy/right[n=1]"]
    assert result.status is Status.OK, result.message
    assert result.launches.comparable
    assert list((one_core.state / "triton" / "tree").rglob("*.cubin"))


def test_a_trial_that_cannot_be_confined_is_not_started(tmp_path: Path, full: Confinement) -> None:
    """The machine has changed since the probe: never silently less."""
    root = hostile.write_tree(tmp_path / "tree", honest=hostile.HONEST)
    cache = tmp_path / "cache"
    plan = TrialPlan(root, "bench", "interpret", cache, tmp_path / "log", 60.0, os.environ, confinement=full)
    with pytest.MonkeyPatch.context() as patched:
        gone = confined.Mount("bind", "/gone", "/nowhere/to/be/found")
        patched.setattr(sandbox, "new_root", lambda sight: [gone])
        trial = Trial(plan)
    with pytest.raises(Exception, match="could not be started") as caught:
        trial.collected()
    assert "/gone" in str(caught.value)
    assert not isinstance(caught.value, Ended)
