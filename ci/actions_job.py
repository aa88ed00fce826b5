"""The job of GitHub Actions that measures: an event comes in, an artifact and an exit status come out.

It holds no token. What it measures with is of trusted commits: this package as it is installed, and suite,
thresholds and paths of the merge base, from whose checkout the comparison is started. The pull request is no
more than a revision in the same clone, checked out by the comparison itself.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ci.actions import Step, Wanted
from ci.artifact import Meta, Outcome, is_red, read_artifact, read_meta, view_of, write_artifact
from ci.body import pull_body
from ci.child import Child, child_environ
from ci.plan import job_id
from ci.rules import commits_after, rules_at
from ci.runner import Terms, arguments_of, changes_of
from ci.workplace import NothingToMeasure, Prepared, globs_of
from perfsuite.config import load_config
from perfsuite.errors import Exit, UsageError
from perfsuite.git import Repository
from perfsuite.model import Alert, AlertState, Job, JobKind
from perfsuite.report.alerts import alerts_text
from perfsuite.report.escape import fenced
from perfsuite.report.markdown import run_markdown
from perfsuite.store import open_store

_POLL_S = 0.2
_WORKER = "github-actions"


@dataclass(frozen=True, slots=True)
class Options:
    """Where and on which terms a job measures."""

    repository: str
    """`owner/name` on GitHub."""
    clone: Path
    """A checkout of it with all branches and the wanted head."""
    environ: Mapping[str, str]
    profile: str = "pr"
    pattern: str = ""
    threshold: float | None = None
    report: Path | None = None
    """Where the Markdown of the result goes as well."""

    @property
    def database(self) -> str:
        """`PERFSUITE_DB`, else a file in the home of the runner: the series outlive the job."""
        home = Path(self.environ.get("HOME") or Path.home())
        default = str(home / ".perfsuite" / f"{self.repository.replace('/', '--')}.db")
        named = self.environ.get("PERFSUITE_DB") or default
        # The comparison runs in another folder.
        return named if "://" in named else str(Path(named).expanduser().absolute())

    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """Where GitHub Actions tidies up after a job that was killed."""
        return tempfile.TemporaryDirectory(prefix="perfsuite-job-", dir=self.environ.get("RUNNER_TEMP"))


def run_pull(wanted: Wanted, output: Path, options: Options, step: Step) -> int:
    """Measures a pull request and leaves an artifact in `output`.

    Returns:
        The exit status of the job: 0; 1 where the pull request made something worse; that of the comparison
        where it could not be measured.
    """
    repository = Repository.discover(options.clone)
    meta = Meta(options.repository, wanted.pull, wanted.head, Outcome.NOTHING, base_branch=wanted.base_branch)
    status: int = Exit.OK
    try:
        with _merge_base(repository, wanted, options) as prepared:
            meta = replace(meta, base=prepared.base)
            _require_changes(repository, prepared, wanted.head)
            meta, status = _compared(meta, prepared, wanted, options, step)
    except NothingToMeasure as reason:
        meta = replace(meta, text=str(reason))
    with open_store(options.database) if meta.comparison else contextlib.nullcontext() as store:
        commits = commits_after(repository, meta.base, meta.base_branch) if meta.base else ()
        write_artifact(output, meta, store.reader if store else None, commits)
    # Read as the other job will read it: what could not be posted fails here, where it can be seen.
    rules = partial(rules_at, options.clone, threshold=options.threshold)
    view = view_of(read_artifact(output, read_meta(output), rules), _now())
    red = is_red(view)
    _publish(step, options, pull_body(view))
    step.set(verdict=_verdict(meta.outcome, red), report=str(options.report or ""))
    return status if meta.outcome is Outcome.FAILED else Exit.RED if red else Exit.OK


def run_main(wanted: Wanted, options: Options, step: Step) -> int:
    """Measures a commit of the main line for its series; alerts follow from it.

    Returns:
        The exit status of `perfsuite run`.
    """
    repository = Repository.discover(options.clone)
    try:
        with _checkout(repository, wanted.head, options) as prepared:
            if wanted.before and repository.has(wanted.before):
                _require_changes(repository, replace(prepared, base=wanted.before), wanted.head)
            ended = _measured(JobKind.RUN, prepared, wanted, options, step)
    except NothingToMeasure as reason:
        _publish(step, options, f"Nothing to measure at {wanted.head[:10]}: {reason}")
        step.set(verdict="nothing", report=str(options.report or ""))
        return Exit.OK
    if ended.status in (Exit.OK, Exit.RED):
        _publish(step, options, _main_report(options, ended.reference))
    else:
        _publish(step, options, f"Not measured:\n\n{fenced(ended.words)}")
    verdicts: dict[int, str] = {Exit.OK: "green", Exit.RED: "red"}
    step.set(verdict=verdicts.get(ended.status, "failed"), report=str(options.report or ""))
    return ended.status


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a measurement ended."""

    status: int
    reference: str
    """Id of its comparison or run; empty where it did not get so far."""
    words: str
    notes: tuple[str, ...]


def _compared(
    meta: Meta, prepared: Prepared, wanted: Wanted, options: Options, step: Step
) -> tuple[Meta, int]:
    ended = _measured(JobKind.COMPARE, prepared, wanted, options, step)
    meta = replace(meta, notes=ended.notes)
    if ended.status in (Exit.OK, Exit.RED):
        return replace(meta, outcome=Outcome.MEASURED, comparison=ended.reference), ended.status
    return replace(meta, outcome=Outcome.FAILED, text=ended.words), ended.status


def _measured(kind: JobKind, prepared: Prepared, wanted: Wanted, options: Options, step: Step) -> _Ended:
    """Runs `perfsuite compare` or `run` as the service does, its words going to this job's log."""
    job = _job(kind, wanted, options)
    extra = ("--threshold", str(options.threshold)) if options.threshold is not None else ()
    terms = Terms(
        _WORKER, options.environ, wanted.base_branch, extra=extra if kind is JobKind.COMPARE else ()
    )
    _make_folder(options.database)
    with options.folder() as temporary:
        log = Path(temporary, "log")
        child = Child(
            list(arguments_of(job, prepared, terms)),
            cwd=prepared.home,
            environ=child_environ(options.environ, options.database),
            log=log,
        )
        with contextlib.closing(child), log.open("rb") as words, step.quoting() as echo:
            status = None
            while status is None:
                events, status = child.poll()
                job = replace(job, **changes_of(job, events))
                echo(words.read())
                time.sleep(_POLL_S if status is None else 0)
            told = (str(job.facts[name]) for name in ("confinement", "machine") if job.facts.get(name))
            said = child.last_words() or f"exit status {status}"
            return _Ended(status, job.comparison, said, tuple(told))


def _job(kind: JobKind, wanted: Wanted, options: Options) -> Job:
    # Whoever presses “Re-run” wants it measured again, not told again.
    anew = options.environ.get("GITHUB_RUN_ATTEMPT", "1") != "1"
    key = f"actions/{wanted.head}"
    return Job(
        job_id(options.repository, key),
        options.repository,
        kind,
        key,
        wanted.head,
        _now(),
        pattern=options.pattern,
        profile=options.profile,
        facts={"foreign": wanted.foreign, "anew": anew},
    )


@contextlib.contextmanager
def _merge_base(repository: Repository, wanted: Wanted, options: Options) -> Iterator[Prepared]:
    """A checkout of the merge base.

    Raises:
        NothingToMeasure: there is none, or it has no benchmarks.
        UsageError: the clone lacks the head.
    """
    _require_commit(repository, wanted.head)
    tip = f"refs/remotes/origin/{wanted.base_branch}"
    try:
        base = repository.ensure_merge_base(tip, wanted.head).sha
    except UsageError as error:
        raise NothingToMeasure(f"no common history with {wanted.base_branch}") from error
    if base == wanted.head:
        raise NothingToMeasure(f"{base[:10]} is in {wanted.base_branch} already")
    with _checkout(repository, base, options) as prepared:
        yield prepared


@contextlib.contextmanager
def _checkout(repository: Repository, sha: str, options: Options) -> Iterator[Prepared]:
    """A checkout of a trusted commit. Raises: NothingToMeasure, UsageError."""
    _require_commit(repository, sha)
    # Not below the clone: its files are the pull request's, and its `.perfsuite` may be a link to anywhere.
    with (
        options.folder() as temporary,
        repository.worktree(sha, folder=Path(temporary)) as home,
    ):
        try:
            config = load_config(home, {})
        except UsageError as error:
            raise NothingToMeasure(f"no baseline: at {sha[:10]} {error.what}") from error
        # A table further up is another project's, or that of another commit.
        if config.root != home.resolve() or not (home / config.suite).exists():
            raise NothingToMeasure(f"no baseline: {sha[:10]} has no benchmarks")
        yield Prepared(home, config, sha)


def _require_changes(repository: Repository, prepared: Prepared, head: str) -> None:
    globs = globs_of(prepared.config)
    if not repository.changed_paths(prepared.base, head, globs):
        raise NothingToMeasure(f"nothing in {', '.join(prepared.config.paths)} changed")


def _require_commit(repository: Repository, sha: str) -> None:
    if not repository.has(sha):
        raise UsageError(f"the clone lacks the commit {sha}", "check it out with fetch-depth: 0")


def _main_report(options: Options, reference: str) -> str:
    """The run, and what of its history waits for somebody."""
    with open_store(options.database) as store:
        run = store.reader.run(reference)
        text = run_markdown(run, store.reader.results(run.id))
        alerts: Sequence[Alert] = store.reader.alerts(options.repository, states=[AlertState.OPEN])
    return f"{text.rstrip()}\n\n{fenced(alerts_text(alerts).rstrip())}\n" if alerts else text


def _publish(step: Step, options: Options, markdown: str) -> None:
    step.tell(markdown)
    if options.report is not None:
        options.report.write_text(markdown.rstrip("\n") + "\n", encoding="utf-8")


def _verdict(outcome: Outcome, red: bool) -> str:
    if outcome is Outcome.MEASURED:
        return "red" if red else "green"
    return outcome.value


def _make_folder(database: str) -> None:
    if "://" not in database:
        Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _now() -> datetime:
    return datetime.now(UTC)
