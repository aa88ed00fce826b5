"""The words of the domain as frozen values. Everything that crosses a seam is one of these.

Standard library only; nothing else of ours is imported here. Times are ns, shares are fractions.
"""

from perfsuite.model.jobs import Command, Job, JobKind, JobState, Worker
from perfsuite.model.judged import (
    Alert,
    AlertState,
    CaseComparison,
    Comparison,
    ComparisonReport,
    Finding,
    Noise,
    Side,
    Verdict,
    noise_key,
)
from perfsuite.model.measured import (
    CANARY_FAMILY,
    REUSED,
    Block,
    Commit,
    Environment,
    Kernel,
    Launches,
    Params,
    Result,
    Round,
    Run,
    Scalar,
    Status,
    Telemetry,
    Timer,
)

__all__ = [
    "CANARY_FAMILY",
    "REUSED",
    "Alert",
    "AlertState",
    "Block",
    "CaseComparison",
    "Command",
    "Commit",
    "Comparison",
    "ComparisonReport",
    "Environment",
    "Finding",
    "Job",
    "JobKind",
    "JobState",
    "Kernel",
    "Launches",
    "Noise",
    "Params",
    "Result",
    "Round",
    "Run",
    "Scalar",
    "Side",
    "Status",
    "Telemetry",
    "Timer",
    "Verdict",
    "Worker",
    "noise_key",
]
