"""`perfsuite ci watch`: a service put together from its parts."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci.approval import LABEL
from ci.handling import Handler
from ci.hub import Hub
from ci.mainline import MainLine
from ci.publish import Place, Publisher
from ci.runner import Runner, Terms
from ci.sources import GitSources
from ci.watch import Habits, Watcher, serve
from ci.workplace import Workplace
from perfsuite.store import Store

_DIGITS = 6
"""Of a hash: enough to tell the services of one host apart."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Args:
        state: folder of mirrors, checkouts, caches and logs.
        git_url: clone from here instead of from where GitHub says.
        dashboard: address that comments link to.
        pictures: public address at which this service's pictures are reached.
        worker: unique among all workers of the store; empty: of this host and state folder.
        issues: whether each open alert has an issue on GitHub.
    """

    state: Path
    environ: Mapping[str, str]
    interval_s: float = 60.0
    profile: str = "pr"
    pattern: str = ""
    worker: str = ""
    time_limit_s: float = 3600.0
    wait_idle_s: float = 900.0
    confine: bool = True
    git_url: str = ""
    dashboard: str = ""
    pictures: str = ""
    label: str = LABEL
    quiet_after: timedelta = timedelta(days=3)
    worker_after: timedelta = timedelta(hours=1)
    issues: bool = False


def watch(
    hubs: Sequence[Hub], store: Store, options: Options, *, once: bool, wake: threading.Event | None = None
) -> None:
    """Until it is told to stop (SIGTERM, Ctrl-C), or, with `once`, until nothing is left to do."""
    with contextlib.ExitStack() as stack:
        watchers = [
            stack.enter_context(watcher_of(hub, store, _options_for(hub, hubs, options))) for hub in hubs
        ]
        if once:
            for watcher in watchers:
                watcher.run_once()
            return
        stop = threading.Event()
        wake = wake or threading.Event()
        _stop_on_signals(stop, wake)
        serve(watchers, stop, wake)


def default_worker(state: Path) -> str:
    """Host, and which of its services: two on one host have a state folder each."""
    digest = hashlib.sha256(str(state.absolute()).encode(errors="surrogateescape")).hexdigest()
    return f"{socket.gethostname()}-{digest[:_DIGITS]}"


def _options_for(hub: Hub, hubs: Sequence[Hub], options: Options) -> Options:
    """Workers are known by their names alone: of several repositories each has a worker of its own."""
    if len(hubs) == 1:
        return options
    return replace(options, worker=f"{options.worker or default_worker(options.state)}/{hub.repository}")


@contextlib.contextmanager
def watcher_of(hub: Hub, store: Store, options: Options) -> Iterator[Watcher]:
    """One repository's service; its folder is held as long."""
    branch = hub.default_branch()
    if options.git_url:
        place = Workplace(options.state, hub.repository, lambda: options.git_url, lambda: None)
    else:
        place = Workplace(options.state, hub.repository, hub.clone_url, hub.git_header)
    worker = options.worker or default_worker(options.state)
    terms = Terms(
        worker,
        options.environ,
        branch,
        time_limit_s=options.time_limit_s,
        wait_idle_s=options.wait_idle_s,
        confine=options.confine,
    )
    with place.held() as lock:
        publisher = Publisher(
            hub, store, GitSources(place), _now, Place(options.dashboard, options.pictures), branch
        )
        yield Watcher(
            hub,
            store,
            place,
            Runner(store, place, terms, _now, lock),
            Handler(hub, store, publisher.red_cases, options.label),
            publisher,
            MainLine(
                hub,
                store,
                place,
                terms,
                options.pattern,
                options.profile,
                options.quiet_after,
                options.worker_after,
                options.issues,
            ),
            Habits(options.interval_s, options.profile, options.pattern, worker),
            _now,
        )


def log_to(stream_level: int = logging.INFO) -> None:
    """What the service does, on standard error, a line each with its time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("perfsuite.ci")
    logger.handlers[:] = [handler]
    logger.setLevel(stream_level)
    logger.propagate = False


def _now() -> datetime:
    return datetime.now(UTC)


def _stop_on_signals(stop: threading.Event, wake: threading.Event) -> None:
    def leave(number: int, frame: object) -> None:
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
