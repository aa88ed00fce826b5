"""What is drawn at random of the large database: commits, machines, levels, results. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from big.bulk import COLUMNS, Row
from big.templates import read_templates, scaled

from perfsuite.model import Commit, Environment, Run, Status
from perfsuite.store.rows import Batch, Values

REPOSITORY = "example/kernels"
START = datetime(2024, 11, 1, 8, 0, tzinfo=UTC)
BETWEEN = timedelta(hours=9)
"""Commits: 2,000 in two years."""
WRONG = 0.0004
"""Share of results that are incorrect."""
_EVENTS, _SHARED, _OWN = 6, 3, 2
"""Commits that move many cases; of these each case takes part in some, and has changes of its own."""
_SMALLEST, _LARGEST = 0.008, 0.06
_GPUS = ("NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA B200", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S")
_SLOWER = 0.35
"""Each machine than the one before it."""
_SUBJECTS = ("Wider tiles", "Routing in one pass", "A comment", "Narrower loads", "Scales in registers")
_RESULTS_OF_A_POOL = 12


@dataclass(frozen=True, slots=True)
class Size:
    commits: int = 2000
    cases: int = 50
    machines: int = 10
    repeats: int = 5


@dataclass(frozen=True, slots=True)
class Level:
    """A case from one commit on."""

    commit: int
    factor: float
    variant: int
    """Of its machine code."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One run and where it belongs."""

    run: Run
    commit: int
    machine: int


class History:
    """Everything, drawn in a fixed order."""

    def __init__(self, size: Size, seed: int) -> None:
        self.size = size
        self.random = random.Random(seed)
        self.templates = read_templates(size.cases)
        self.commits = [self._commit(number) for number in range(size.commits)]
        self.machines = [self._machine(number) for number in range(size.machines)]
        events = self.random.sample(range(size.commits // 20, size.commits), _EVENTS)
        self.levels = [self._levels(events) for _ in self.templates]
        self.slots = [self._slot(*place) for place in self._places()]
        self.series: dict[tuple[str, ...], int] = {}
        self.contents = Batch()
        """Kernels, launches and listings of all results; complete when `rows` has ended."""

    def environment(self, machine: int, commit: int) -> Environment:
        before, after = self.machines[machine]
        return after if commit >= self.size.commits * 3 // 5 else before

    def factor(self, case: int, machine: int, commit: int) -> float:
        return self.level(case, commit).factor * (1 + _SLOWER * machine)

    def level(self, case: int, commit: int) -> Level:
        return next(level for level in reversed(self.levels[case]) if level.commit <= commit)

    def identifier(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def rows(self, first_id: int = 1) -> Iterator[Row]:
        """All results, in the order of `bulk.COLUMNS`."""
        pools: dict[tuple[int, int, int], list[Values]] = {}
        number = first_id
        for slot in self.slots:
            fingerprint = slot.run.environment.fingerprint
            for case in range(len(self.templates)):
                level = self.level(case, slot.commit)
                key = (case, slot.machine, level.variant)
                pool = pools.get(key) or pools.setdefault(key, self._pool(*key[:2], slot.commit))
                wrong = self.random.random() < WRONG
                values = pool[-1] if wrong else pool[self.random.randrange(len(pool) - 1)]
                own = {"id": number, "run_id": slot.run.id, "series_id": self._series(values, fingerprint)}
                yield [own[name] if name in own else values[name] for name in COLUMNS]
                number += 1

    def _series(self, values: Values, fingerprint: str) -> int:
        names = ("case_id", "version", "family", "device", "timer")
        key = (values["case_id"], REPOSITORY, "run", *(values[name] for name in names[1:]), fingerprint)
        return self.series.setdefault(key, len(self.series) + 1)

    def _pool(self, case: int, machine: int, commit: int) -> list[Values]:
        """Rows that stand for each other, the last a wrong one."""
        level, factor = self.level(case, commit), self.factor(case, machine, commit)
        chosen = self.random.sample(self.templates[case].results, _RESULTS_OF_A_POOL)
        results = [scaled(result, factor, level.variant) for result in chosen]
        wrong = replace(
            results[0], status=Status.INCORRECT, blocks=(), error_rms=0.4, message="RMS error 0.4 > 0.015"
        )
        for result in (*results, wrong):
            self.contents.add("", result)
        rows, self.contents.results = self.contents.results, []
        return rows

    def _commit(self, number: int) -> Commit:
        sha = f"{self.random.getrandbits(160):040x}"
        subject, author = self.random.choice(_SUBJECTS), self.random.choice(("Ada", "Grace", "Edsger"))
        return Commit(
            sha, f"{subject} ({number})", author, START + number * BETWEEN, "main", position=number + 1
        )

    def _machine(self, number: int) -> tuple[Environment, Environment]:
        """Before and after its new driver; half of them have none."""
        real = self.templates[0].environment
        memory = (real.gpu_memory_bytes or 0) + number
        gpu = _GPUS[number % len(_GPUS)]
        before = replace(real, host=f"gpu-{number}", gpu=gpu, gpu_memory_bytes=memory)
        return before, replace(before, driver="590.44.01") if number % 2 else before

    def _levels(self, events: Sequence[int]) -> list[Level]:
        own = [self.random.randrange(1, self.size.commits) for _ in range(_OWN)]
        levels, factor = [Level(0, 1.0, 0)], 1.0
        for variant, commit in enumerate(sorted({*self.random.sample(events, _SHARED), *own}), 1):
            factor *= 1 + self.random.choice((-1, 1)) * self.random.uniform(_SMALLEST, _LARGEST)
            levels.append(Level(commit, factor, variant))
        return levels

    def _places(self) -> Iterator[tuple[int, int, int]]:
        for commit in range(self.size.commits):
            for machine in range(self.size.machines):
                for repeat in range(self.size.repeats):
                    yield commit, machine, repeat

    def _slot(self, commit: int, machine: int, repeat: int) -> Slot:
        at = START + commit * BETWEEN + timedelta(minutes=20 + 9 * repeat, seconds=machine)
        run = Run(
            self.identifier(),
            self.commits[commit],
            REPOSITORY,
            self.environment(machine, commit),
            "pr",
            at,
            at + timedelta(seconds=31),
            suite="kernels/suite",
        )
        return Slot(run, commit, machine)
