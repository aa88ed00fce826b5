"""Only the head that a maintainer meant may run."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.approval import LABEL, Approved, NotYet, approval
from ci.hub import Event, PullRequest
from perfsuite.model import Command

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
HEAD, OTHER = "0123456789" + "a" * 30, "0123456789" + "b" * 30
WRITERS = ("ada", "bob")


def at(seconds: float) -> datetime:
    """As GitHub says it: whole seconds."""
    return NOON + timedelta(seconds=int(seconds))


SEEN = at(10)
PULL = PullRequest(
    7, "title", "eve", HEAD, "patch", "eve/name", "main", "c" * 40, True, labels=(LABEL,), seen_at=at(100)
)
LABELLED = Event(5, "labeled", "ada", at(50), LABEL)
UNLABELLED = replace(LABELLED, id=6, kind="unlabeled")
COMMAND = Command("owner/name", "comment/1", "approve", 7, HEAD, "ada", at(50), {"sha": HEAD})


def decide(
    pull: PullRequest = PULL,
    first_seen: datetime | None = SEEN,
    events: list[Event] | None = None,
    commands: list[Command] | None = None,
    label: str = LABEL,
) -> Approved | NotYet:
    events = [LABELLED] if events is None else events
    return approval(pull, first_seen, events, commands or [], label, may_write=WRITERS.__contains__)


def test_a_label_approves_the_head_that_it_found() -> None:
    assert decide() == Approved("ada", "event/5")
    assert decide(replace(PULL, labels=("x", "Perf-Approved"))) == Approved("ada", "event/5")
    noise = [Event(6, "labeled", "eve", at(60), "bug"), Event(1, "head_ref_force_pushed", "eve", at(9))]
    assert decide(events=[*noise, LABELLED]) == Approved("ada", "event/5")
    again = [
        replace(LABELLED, id=4, actor="eve"),
        replace(LABELLED, id=5, kind="unlabeled"),
        replace(LABELLED, id=6),
    ]
    assert decide(events=again) == Approved("ada", "event/6")
    other = replace(LABELLED, label="go")
    assert decide(replace(PULL, labels=("go",)), events=[other], label="GO") == Approved("ada", "event/5")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"events": []}, "nobody has approved this head"),
        ({"pull": replace(PULL, labels=())}, "nobody has approved this head"),
        ({"label": "other"}, "nobody has approved this head"),
        ({"events": [replace(LABELLED, actor="eve")]}, "not set by somebody with write access"),
        ({"events": [replace(LABELLED, actor=None)]}, "not set by somebody with write access"),
        # First by a maintainer, who took it back, then by somebody who may only sort.
        (
            {
                "events": [
                    LABELLED,
                    replace(LABELLED, kind="unlabeled", id=6),
                    replace(LABELLED, id=7, actor="eve"),
                ]
            },
            "not set by somebody with write access",
        ),
        ({"events": [LABELLED, UNLABELLED]}, "nobody has approved"),
        ({"first_seen": None}, "it is not known since when this is the head"),
        ({"pull": replace(PULL, seen_at=None)}, "it is not known since when"),
        ({"first_seen": at(51)}, "first seen after the label was set"),
        # Within one second: which of them came first?
        ({"first_seen": at(50)}, "first seen after the label was set"),
        ({"pull": replace(PULL, seen_at=at(50))}, "the next look tells"),
        ({"pull": replace(PULL, seen_at=at(49))}, "the next look tells"),
        *(
            ({"events": [LABELLED, Event(9, kind, "eve", at(second))]}, "the branch was rewritten")
            for kind in ("head_ref_force_pushed", "head_ref_deleted", "head_ref_restored")
            for second in (10, 30, 99)
        ),
    ],
)
def test_a_label_in_doubt_approves_nothing(changes: dict[str, Any], why: str) -> None:
    found = decide(**changes)
    assert isinstance(found, NotYet)
    assert why in found.reason


def test_write_access_is_asked_for_only_where_all_else_is_right() -> None:
    def refuse(login: str) -> bool:
        raise AssertionError(login)

    approval(PULL, at(60), [LABELLED], [], may_write=refuse)
    approval(PULL, at(10), [], [], may_write=refuse)
    assert isinstance(approval(PULL, None, [], [COMMAND], may_write=refuse), Approved)


def test_a_command_approves_the_commit_that_it_names() -> None:
    bare = replace(PULL, labels=(), seen_at=None)
    assert decide(bare, None, [], [COMMAND]) == Approved("ada", "comment/1")
    loud = replace(COMMAND, arguments={"sha": HEAD.upper()})
    assert decide(bare, None, [], [loud]) == Approved("ada", "comment/1")
    force = Event(9, "head_ref_force_pushed", "eve", at(60))
    assert decide(bare, at(70), [force], [COMMAND]) == Approved("ada", "comment/1")
    stored = replace(COMMAND, source="event/5")
    assert decide(bare, None, [], [stored]) == Approved("ada", "event/5")


@pytest.mark.parametrize(
    "command",
    [
        replace(COMMAND, arguments={"sha": OTHER}),
        replace(COMMAND, verb="run"),
        replace(COMMAND, verb="refused"),
        replace(COMMAND, pull=8),
        replace(COMMAND, arguments={}),
        replace(COMMAND, arguments={"sha": ""}),
        replace(COMMAND, arguments={"sha": None}),
    ],
)
def test_other_commands_approve_nothing(command: Command) -> None:
    assert decide(events=[], commands=[command]) == NotYet("nobody has approved this head")


def test_a_part_of_a_sha_names_no_commit() -> None:
    short = replace(COMMAND, arguments={"sha": HEAD[:10]})
    found = decide(events=[], commands=[short])
    assert isinstance(found, NotYet)
    assert "all 40 digits" in found.reason
    assert isinstance(decide(replace(PULL, head=OTHER), events=[], commands=[COMMAND, short]), NotYet)
    # But it takes nothing away from a label.
    assert decide(commands=[short]) == Approved("ada", "event/5")


@dataclass
class World:
    """A pull request with the whole truth, and what a watcher knows of it who looks now and then."""

    now: float = 0.0
    heads: list[tuple[float, str]] = field(default_factory=lambda: [(0.0, f"{0:040x}")])
    labels: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)
    moments: dict[str, float] = field(default_factory=dict)
    """Source of an approval → when it was given, to the fraction of a second."""
    first_seen: dict[str, datetime] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)

    @property
    def head(self) -> str:
        return self.heads[-1][1]

    def push(self) -> None:
        self.heads.append((self.now, f"{len(self.heads):040x}"))

    def force(self, back: int) -> None:
        self.heads.append((self.now, self.heads[-1 - back % len(self.heads)][1]))
        self._happens("head_ref_force_pushed", "eve")

    def mark(self, actor: str) -> None:
        kind = "unlabeled" if self.labels else "labeled"
        self.labels = () if self.labels else (LABEL,)
        self._happens(kind, actor, LABEL)

    def command(self) -> None:
        source = f"comment/{len(self.moments)}"
        self.moments[source] = self.now
        self.commands.append(replace(COMMAND, source=source, head=self.head, arguments={"sha": self.head}))

    def look(self) -> PullRequest:
        seen = at(self.now)
        self.first_seen.setdefault(self.head, seen)
        return replace(PULL, head=self.head, labels=self.labels, seen_at=seen)

    def head_at(self, moment: float) -> str:
        return [head for time, head in self.heads if time <= moment][-1]

    def _happens(self, kind: str, actor: str, label: str = "") -> None:
        event = Event(len(self.events) + 1, kind, actor, at(self.now), label)
        self.events.append(event)
        self.moments[f"event/{event.id}"] = self.now


_STEPS = {"look": 8, "mark": 6, "push": 2, "force": 3, "command": 1}
_WAITS_S = (0.1, 0.4, 0.7, 1.0, 2.0)


@given(st.integers(0, 2**32))
@settings(max_examples=1000, deadline=None)
def test_never_another_head_than_the_one_that_was_there(seed: int) -> None:
    rng = random.Random(seed)
    world = World()
    looks: list[tuple[int, PullRequest]] = []
    for number in range(40):
        # No two things happen at exactly the same moment.
        world.now += rng.choice(_WAITS_S) + 1e-6
        (step,) = rng.choices(list(_STEPS), list(_STEPS.values()))
        if step == "look":
            # The events are asked for after the pull request: more may have happened by then.
            looks.append((number + rng.randrange(3), world.look()))
        elif step == "mark":
            world.mark(rng.choice((*WRITERS, "eve")))
        elif step == "force":
            world.force(back=rng.randrange(4))
        else:
            getattr(world, step)()
        for due, pull in looks:
            if due == number:
                judge(world, pull)


def judge(world: World, pull: PullRequest) -> None:
    found = approval(
        pull,
        world.first_seen.get(pull.head),
        world.events,
        world.commands,
        may_write=WRITERS.__contains__,
    )
    if isinstance(found, NotYet):
        return
    assert found.by in WRITERS
    assert world.head_at(world.moments[found.source]) == pull.head
    if found.source.startswith("event/"):
        world.commands.append(
            replace(COMMAND, source=found.source, arguments={"sha": pull.head}, author=found.by)
        )


@given(st.lists(st.sampled_from(_WAITS_S), min_size=2, max_size=6), st.integers(0, 5))
def test_a_label_on_a_head_that_stays_is_approved_by_the_next_look_but_one(
    waits: list[float], pushes: int
) -> None:
    """The rule is not only safe: who pushes no more, and is labelled after he was seen, runs."""
    world = World()
    for wait in itertools.islice(itertools.cycle(waits), pushes):
        world.now += wait
        world.push()
    world.look()
    world.now += 1
    world.mark("ada")
    world.now += 1
    pull = world.look()
    found = approval(pull, world.first_seen[pull.head], world.events, [], may_write=WRITERS.__contains__)
    assert isinstance(found, Approved)
