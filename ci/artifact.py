"""What the job that measures hands to the job that may write: data only, and believed only when checked.

The first job runs a pull request's code, so whatever it leaves behind may be forged. The second one has a
token, and takes nothing from the first but numbers: an export of the comparison with its raw samples. That is
read as any import is, judged anew on the terms of the default branch, and rendered here. No text of the
artifact is Markdown to be posted, and it can speak of no other head than that of the run which GitHub names.

What this cannot see is a job that reports false times: the samples themselves come from the machine where the
code ran. Confinement (`compare --confine`) is what stands against that.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from ci.actions import SHA, at, repository_at, sha_at, text_at
from ci.body import APPROVAL_LABEL, Stage, View, pull_body
from ci.checks import check_of
from ci.hub import Gone, Hub, PullRequest
from ci.metrics import metrics
from ci.post import Posted, PullComments, upsert
from ci.rules import Rules, newest_run, trunk_of
from ci.sorting import Trunk, launch_orders, sort_cases
from perfsuite.codec import Malformed, decode, encode
from perfsuite.config import Headline
from perfsuite.errors import UsageError
from perfsuite.model import Alert, ComparisonReport, Result
from perfsuite.stats.judge import judge
from perfsuite.store import Reader, export_document, import_document, open_store

SCHEMA = 1
META, DATA = "meta.json", "comparison.json.gz"
LARGEST_META_BYTES = 256 << 10
LARGEST_DATA_BYTES = 16 << 20
"""A suite of 30 cases takes 0.1 MB: this is a hundred and sixty of them."""
LARGEST_DOCUMENT_BYTES = 96 << 20
"""Unpacked; samples shrink to about a sixth."""
MOST_CHARACTERS = 4000
MOST_NOTES = 20
MOST_ALERTS = 200
_NO_ARTIFACT = "look at the job that measured; nothing of it was posted"


class Outcome(StrEnum):
    MEASURED = "measured"
    NOTHING = "nothing"
    """There was nothing to measure."""
    FAILED = "failed"
    """The measurement itself; a red result is MEASURED."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What an artifact is about."""

    repository: str
    pull: int
    head: str
    outcome: Outcome
    base: str = ""
    """Sha of the merge base; empty where none was found."""
    base_branch: str = ""
    text: str = ""
    """Why there was nothing, or why it failed: plain text, escaped wherever it is shown."""
    comparison: str = ""
    notes: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """Of main's series since the merge base: what slowed down there is not this pull request's doing."""
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Artifact:
    """Believed as far as it was checked; the rest is empty where nothing was measured."""

    meta: Meta
    report: ComparisonReport | None = None
    base: Sequence[Result] = ()
    head: Sequence[Result] = ()
    trunk: Trunk = field(default_factory=Trunk)
    headlines: Sequence[Headline] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an artifact."""

    posted: Posted | None = None
    why_not: str = ""
    red: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """The head that an event says was measured."""

    head: str
    branch: str
    repository: str
    """Empty where the fork is gone."""
    url: str
    """Page of the job."""


def write_artifact(
    folder: Path, meta: Meta, reader: Reader | None = None, commits: Sequence[str] = ()
) -> None:
    """Writes the folder to be uploaded.

    Args:
        reader: of the store that holds `meta.comparison`, if there is one, and the series of main.
        commits: shas of main after the merge base, oldest first; the run of the latest goes along.

    Raises:
        UsageError: the samples do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if meta.comparison and reader is not None:
        comparison = reader.comparison(meta.comparison)
        fingerprint = comparison.head.environment.fingerprint
        newest = newest_run(reader, meta.repository, fingerprint, commits)
        document = export_document(reader, [newest] if newest else [], [comparison])
        alerts = [alert for alert in reader.alerts(meta.repository) if alert.fingerprint == fingerprint]
        meta = replace(meta, alerts=tuple(alerts[:MOST_ALERTS]))
        plain = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        packed = gzip.compress(plain, mtime=0)
        if len(packed) > LARGEST_DATA_BYTES or len(plain) > LARGEST_DOCUMENT_BYTES:
            raise UsageError(
                f"the samples take {len(packed) >> 20} MB ({len(plain) >> 20} MB unpacked): more than an "
                "artifact may hold",
                "measure fewer cases at a time (-k), or let `perfsuite ci watch` post from the store",
            )
        (folder / DATA).write_bytes(packed)
    text = json.dumps(encode(meta), ensure_ascii=False, indent=2)
    (folder / META).write_text(text + "\n", encoding="utf-8")


def read_meta(folder: Path) -> Meta:
    """What an artifact says that it is about.

    Raises:
        UsageError: it is not what `write_artifact` writes; says what is wrong with it.
    """
    _require_known_files(folder)
    return _parse_meta(_read(folder / META, LARGEST_META_BYTES))


def read_artifact(folder: Path, meta: Meta, rules: Callable[[str, str], Rules]) -> Artifact:
    """What a job left behind, judged anew.

    Args:
        rules: the terms, by merge base and name of the base branch.

    Raises:
        UsageError: it is not what `write_artifact` writes; says what is wrong with it.
    """
    if meta.outcome is not Outcome.MEASURED:
        return Artifact(meta)
    terms = rules(meta.base, meta.base_branch)
    document = unpacked(_read(folder / DATA, LARGEST_DATA_BYTES), LARGEST_DOCUMENT_BYTES)
    with (
        tempfile.TemporaryDirectory(prefix="perfsuite-artifact-") as temporary,
        open_store(str(Path(temporary, "artifact.db"))) as store,
    ):
        import_document(store, document, DATA)
        store.save_alerts(meta.alerts[:MOST_ALERTS])
        return _judged(meta, store.reader, terms)


def unpacked(packed: bytes, limit: int) -> bytes:
    """The content of a gzip file, as long as it is no longer than `limit` bytes.

    Raises:
        UsageError: it is longer, or damaged. No more than the limit is ever unpacked.
    """
    engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = engine.decompress(packed, limit + 1)
    except zlib.error as error:
        raise UsageError(f"{DATA} is no gzip file: {error}", _NO_ARTIFACT) from error
    if len(plain) > limit:
        raise UsageError(f"{DATA} unpacks to more than {limit >> 20} MB", _NO_ARTIFACT)
    if not engine.eof or engine.unused_data:
        raise UsageError(f"{DATA} is cut short, or has something behind its end", _NO_ARTIFACT)
    return plain


def post_artifact(
    hub: Hub, folder: Path, payload: Mapping[str, Any], rules: Callable[[str, str], Rules], now: datetime
) -> Delivered:
    """Writes an artifact into its pull request: the comment, edited in place, and the check of its head.

    The event says which head of which repository was measured. The artifact says which pull request that was,
    since the event of a fork does not (its list of pull requests is empty), and GitHub says whether the two
    belong together. Where the branch has moved on nothing is written: a newer run is under way.

    Args:
        payload: of the event `workflow_run`, or of `pull_request` where one job does both.
        rules: the terms, by merge base and name of the base branch; refuses what is no commit of it.

    Raises:
        UsageError: the artifact is forged or damaged; nothing was written.
    """
    source = _source(payload, hub.repository)
    meta = read_meta(folder)
    if meta.repository.casefold() != hub.repository.casefold() or meta.head != source.head:
        raise UsageError(
            f"the artifact is about {meta.repository[:100]} {meta.head[:10]}, the event about "
            f"{hub.repository} {source.head[:10]}",
            _NO_ARTIFACT,
        )
    pull = _pull_of(hub, meta, source)
    if not pull.open:
        return Delivered(why_not=f"#{pull.number} is closed")
    if pull.head != source.head:
        return Delivered(why_not=f"#{pull.number} is at {pull.head[:10]} by now, not {source.head[:10]}")
    artifact = read_artifact(folder, replace(meta, base_branch=pull.base_branch), rules)
    view = view_of(artifact, now, {"job": source.url} if source.url else {})
    posted = upsert(PullComments(hub, pull.number), pull_body(view))
    hub.publish_check(check_of(view, f"{pull.number}-{pull.head}", details_url=source.url))
    if pull.foreign(hub.repository) and APPROVAL_LABEL in pull.labels:
        # It was for this head. Whoever approves the next one gives it again, which is an event of its own.
        hub.remove_label(pull.number, APPROVAL_LABEL)
    return Delivered(posted, red=is_red(view))


_STAGES = {Outcome.MEASURED: Stage.DONE, Outcome.NOTHING: Stage.NOTHING, Outcome.FAILED: Stage.FAILED}


def view_of(artifact: Artifact, now: datetime, links: Mapping[str, str] | None = None) -> View:
    """What the comment and the check show of an artifact."""
    meta, report = artifact.meta, artifact.report
    view = View(
        commands=False,
        repository=meta.repository,
        pull=meta.pull,
        head=meta.head,
        stage=_STAGES[meta.outcome],
        base=meta.base,
        base_branch=meta.base_branch,
        stage_text=meta.text,
        notes=meta.notes,
        links=dict(links or {}),
    )
    if report is None:
        return view
    comparison = report.comparison
    return replace(
        view,
        head_subject=comparison.head.commit.subject,
        report=report,
        sorted=sort_cases(report, launch_orders(artifact.head), artifact.trunk, (), now),
        metrics=metrics(report, artifact.headlines, base=artifact.base, head=artifact.head),
        at=comparison.finished_at or comparison.started_at,
    )


def is_red(view: View) -> bool:
    sorting = view.sorting()
    return sorting is not None and sorting.red


def _require_known_files(folder: Path) -> None:
    """Raises: UsageError, there is something else than the two files, or one of them is a link."""
    try:
        entries = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(folder)}
    except OSError as error:
        raise UsageError(f"cannot read the artifact {folder}: {error.strerror}", _NO_ARTIFACT) from error
    for name, status in sorted(entries.items()):
        if name not in (META, DATA) or not stat.S_ISREG(status.st_mode):
            raise UsageError(f"the artifact holds {name[:100]!r}, which we do not write", _NO_ARTIFACT)
    if META not in entries:
        raise UsageError(f"the artifact has no {META}", _NO_ARTIFACT)


def _read(file: Path, limit: int) -> bytes:
    """A plain file of at most `limit` bytes."""
    try:
        with file.open("rb") as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read the artifact's {file.name}: {error.strerror}", _NO_ARTIFACT) from error
    if len(content) > limit:
        raise UsageError(f"the artifact's {file.name} has more than {limit} bytes", _NO_ARTIFACT)
    return content


def _parse_meta(content: bytes) -> Meta:
    try:
        meta = decode(Meta, json.loads(content), META)
    except (Malformed, ValueError, RecursionError) as error:
        raise UsageError(f"the artifact's {META} is not ours: {error}", _NO_ARTIFACT) from error
    if meta.schema != SCHEMA:
        raise UsageError(f"the artifact has version {meta.schema}, this perfsuite reads {SCHEMA}")
    if not SHA.fullmatch(meta.head) or (meta.base and not SHA.fullmatch(meta.base)) or meta.pull < 1:
        raise UsageError(f"the artifact's {META} names no commit or no pull request", _NO_ARTIFACT)
    notes = tuple(note[:MOST_CHARACTERS] for note in meta.notes[:MOST_NOTES])
    return replace(meta, text=meta.text[:MOST_CHARACTERS], notes=notes)


def _judged(meta: Meta, reader: Reader, rules: Rules) -> Artifact:
    found = reader.comparisons(limit=2)
    if len(found) != 1:
        raise UsageError(f"the artifact holds {'no comparison' if not found else 'several'}", _NO_ARTIFACT)
    (comparison,) = found
    base, head = comparison.base, comparison.head
    told = (comparison.id, base.commit.sha, base.commit.dirty, head.commit.sha, head.commit.dirty)
    if told != (meta.comparison, meta.base, "", meta.head, "") or comparison.kind != "compare":
        raise UsageError("the artifact's comparison is not the one that it names", _NO_ARTIFACT)
    threshold = rules.config.threshold if rules.threshold is None else rules.threshold
    own = replace(comparison, threshold=threshold, case_thresholds=dict(rules.config.case_thresholds))
    results = reader.results(base.id), reader.results(head.id)
    trunk = trunk_of(reader, meta.repository, head.environment.fingerprint, rules.commits)
    return Artifact(meta, judge(own, *results), *results, trunk, rules.config.headlines)


def _source(payload: Mapping[str, Any], repository: str) -> _Source:
    """Raises: UsageError, the event is of another kind or repository."""
    if repository_at(payload, "repository.full_name").casefold() != repository.casefold():
        raise UsageError(f"the event is not of {repository}", "give --event $GITHUB_EVENT_PATH")
    if at(payload, "workflow_run") is not None:
        if text_at(payload, "workflow_run.event") != "pull_request":
            raise UsageError("the workflow run was not of a pull request", "post only what such a run made")
        return _Source(
            sha_at(payload, "workflow_run.head_sha"),
            text_at(payload, "workflow_run.head_branch"),
            str(at(payload, "workflow_run.head_repository.full_name") or ""),
            text_at(payload, "workflow_run.html_url"),
        )
    return _Source(
        sha_at(payload, "pull_request.head.sha"),
        text_at(payload, "pull_request.head.ref"),
        str(at(payload, "pull_request.head.repo.full_name") or ""),
        "",
    )


def _pull_of(hub: Hub, meta: Meta, source: _Source) -> PullRequest:
    """The pull request that an artifact names, as GitHub has it.

    Raises:
        UsageError: it is not of the branch that was measured.
    """
    try:
        pull = hub.pull(meta.pull)
    except Gone:
        raise UsageError(f"there is no pull request #{meta.pull}", _NO_ARTIFACT) from None
    theirs = (pull.head_branch, (pull.head_repository or "").casefold())
    if theirs != (source.branch, source.repository.casefold()):
        raise UsageError(
            f"the artifact names #{pull.number}, whose branch is not the one that was measured", _NO_ARTIFACT
        )
    return pull
