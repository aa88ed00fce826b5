"""What the mirror tells of a pull request, for its comment and its check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ci.workplace import Workplace
from perfsuite.config import Headline
from perfsuite.errors import PerfsuiteError

MOST_COMMITS = 500
"""Of main after a merge base: a pull request that is further behind has other worries."""


@dataclass(frozen=True, slots=True)
class GitSources:
    """`ci.publish.Sources` from the mirror. What git cannot tell is left out, never an error: the verdict
    does not depend on it."""

    place: Workplace

    def commits_after(self, base: str, branch: str) -> list[str]:
        """Shas of a branch that are not in `base`, oldest first."""
        try:
            commits = self.place.mirror.commits((base, f"refs/heads/{branch}"))
        except PerfsuiteError:
            return []
        return [commit.sha for commit in commits[-MOST_COMMITS:]]

    def definitions(self, sha: str, names: set[str]) -> Mapping[str, tuple[str, int, int]]:
        """Kernel → path, first and last line of its definition at a commit."""
        try:
            return self.place.mirror.definitions(sha, sorted(names))
        except PerfsuiteError:
            return {}

    def subject(self, sha: str) -> str:
        """First line of a commit's message; empty where the commit is not here yet."""
        try:
            return self.place.mirror.resolve(sha).subject
        except PerfsuiteError:
            return ""

    def headlines(self, base: str) -> Sequence[Headline]:
        """The headline metrics that the base's configuration names."""
        try:
            config = self.place.config_at(base)
        except PerfsuiteError:
            return ()
        return config.headlines if config else ()
