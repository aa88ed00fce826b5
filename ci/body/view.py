"""Everything that the comment and the check show, as values: no I/O, and nothing that is not shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ci.metrics import Metric
from ci.sorting import Sorted, Trunk, sort_cases
from perfsuite.model import Command, ComparisonReport

APPROVAL_LABEL = "perf-approved"
"""Label that approves the head of a foreign pull request."""


class Stage(StrEnum):
    """Where a head is on its way."""

    QUEUED = "queued"
    WAITING = "waiting"
    """Its turn has come, the GPU is not free."""
    MEASURING = "measuring"
    DONE = "done"
    FAILED = "failed"
    """The measurement itself; a red result is DONE."""
    CANCELLED = "cancelled"
    NOTHING = "nothing to measure"
    UNAPPROVED = "unapproved"
    """Code of a fork that nobody with write access has approved."""

    @property
    def running(self) -> bool:
        return self in (Stage.QUEUED, Stage.WAITING, Stage.MEASURING)


@dataclass(frozen=True, slots=True)
class Extra:
    """A further result, such as a bisect's."""

    title: str
    """Plain text, from anywhere."""
    markdown: str
    """Of trusted origin: built by a function of ours, which escapes what came from outside."""
    folded: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of one head of one pull request. Equal views give equal texts."""

    repository: str
    pull: int
    head: str
    """Sha that this is about."""
    stage: Stage
    head_subject: str = ""
    base: str = ""
    """Sha of the merge base; empty until it is known."""
    base_branch: str = ""
    stage_text: str = ""
    """What it waits for, why it failed, why there is nothing to do."""
    machine_trouble: bool = False
    """Of FAILED: the machine is to blame, not the code."""
    done: int = 0
    total: int = 0
    report: ComparisonReport | None = None
    sorted: Sorted | None = None
    """Of `report`; None sorts by the report alone."""
    metrics: tuple[Metric, ...] = ()
    extras: tuple[Extra, ...] = ()
    accepted: tuple[Command, ...] = ()
    """Acceptances of this pull request, whether they still cover a case or not."""
    notes: tuple[str, ...] = ()
    """How trials were confined, foreign processes on the GPU, and the like; one sentence each."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Label → http(s) address, in the order to show."""
    case_page: str = ""
    """http(s) address of a page about one case, to which its id is appended; empty where there is none."""
    image_url: str | None = None
    """Where the picture of `perfsuite.report.forest` is served."""
    at: datetime | None = None
    """When the result was made. Not the time of rendering: an unchanged comment is not written again."""
    commands: bool = True
    """Whether `/perf` commands are listened to; a job of GitHub Actions alone does not."""
    previous_head: str = ""
    """Sha whose result `report` is, while another head is on its way; empty where it is this head's."""

    def sorting(self) -> Sorted | None:
        """The classes of the report's cases; None without a report."""
        if self.report is None or self.sorted is not None:
            return self.sorted
        return sort_cases(self.report, {}, Trunk(), (), self.report.comparison.started_at)
