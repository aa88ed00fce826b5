"""`/metrics`: what the store knows, for Prometheus. Times in seconds, as is usual there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import streamlit as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dashboard import data
from dashboard.derive.machines import speaking
from perfsuite.errors import PerfsuiteError
from perfsuite.model import AlertState, JobState, Status
from perfsuite.report.words import plain
from perfsuite.store.trends import HISTORY, Cell, Machine
from perfsuite.units import NS_PER_S

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
MOST_CASES = 5000
"""Series of times and of errors, each: a server of Prometheus feels tens of thousands."""
_MOST_MACHINES = 8
"""Of a repository, those of the newest runs: one that was given up years ago is not scraped for ever."""
_RUNS = 5
_LOOKED_AT = 4 * _RUNS
"""Runs of uncommitted changes stand between."""
"""Newest runs that a case is looked for in: one of them may have been limited by `-k`."""
_LONGEST_LABEL = 400


def exposition(database: str) -> bytes:
    """All metrics in the text format of Prometheus."""
    return _exposition(data.Database.at(database))


@st.cache_resource(ttl=data.FRESH_S, max_entries=4, show_spinner=False)
def _exposition(database: data.Database) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreCollector(database))
    return generate_latest(registry)


class StoreCollector(Collector):
    """Reads the store at each scrape. A store that cannot be read is a metric too, not an error."""

    def __init__(self, database: data.Database) -> None:
        self._database = database

    def describe(self) -> list[Metric]:
        # Asked for at registration, where nothing is to be read yet.
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("perfsuite_store_up", "Whether the store could be read.")
        try:
            found = [*self._histories(), self._alerts(), self._jobs(), self._workers()]
        except PerfsuiteError:
            found = []
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
        yield up
        yield from found

    def _histories(self) -> Iterator[Metric]:
        run = GaugeMetricFamily(
            "perfsuite_last_run_timestamp_seconds",
            "When the newest run of a machine was started.",
            labels=("repository", "machine", "name"),
        )
        of_case = ("repository", "machine", "case")
        time = GaugeMetricFamily(
            "perfsuite_case_median_seconds", "Newest median time of a case.", labels=of_case
        )
        error = GaugeMetricFamily(
            "perfsuite_case_error_rms", "Newest relative error of a case, root mean square.", labels=of_case
        )
        green = GaugeMetricFamily("perfsuite_case_ok", "Whether a case was right and ran.", labels=of_case)
        left = MOST_CASES
        for repository in data.repositories(self._database):
            for machine in data.machines(self._database, repository)[:_MOST_MACHINES]:
                key = [_label(repository), machine.fingerprint]
                run.add_metric([*key, _label(machine.environment.label)], machine.newest.timestamp())
                cells = self._newest(repository, machine)[:left]
                left -= len(cells)
                for cell in cells:
                    labels = [*key, _label(cell.case)]
                    green.add_metric(labels, float(cell.status is Status.OK))
                    if cell.median_ns is not None:
                        time.add_metric(labels, cell.median_ns / NS_PER_S)
                    if cell.error_rms is not None:
                        error.add_metric(labels, cell.error_rms)
        yield from (run, time, error, green)

    def _newest(self, repository: str, machine: Machine) -> list[Cell]:
        """Of each case, by name; skipped ones say nothing."""
        trends = data.reader(self._database).trends
        looked_at = trends.places(repository, machine.fingerprint, kinds=HISTORY, limit=_LOOKED_AT)
        places = speaking(looked_at)[-_RUNS:]
        order = {place.run_id: number for number, place in enumerate(places)}
        cells = [cell for cell in trends.cells(list(order)) if cell.status is not Status.SKIPPED]
        newest = {cell.case: cell for cell in sorted(cells, key=lambda cell: order[cell.run_id])}
        return [newest[case] for case in sorted(newest)]

    def _alerts(self) -> Metric:
        family = GaugeMetricFamily(
            "perfsuite_open_alerts", "Alerts that nobody has triaged.", labels=("repository", "kind")
        )
        alerts = data.reader(self._database).alerts(states=(AlertState.OPEN,))
        for key, number in sorted(Counter((alert.repository, alert.kind) for alert in alerts).items()):
            family.add_metric([_label(text) for text in key], number)
        return family

    def _jobs(self) -> Metric:
        family = GaugeMetricFamily("perfsuite_jobs", "Jobs that are not over.", labels=("state",))
        waiting = (JobState.QUEUED, JobState.RUNNING)
        count = Counter(job.state for job in data.reader(self._database).jobs.jobs(states=waiting))
        for state in waiting:
            family.add_metric([state.value], count[state])
        return family

    def _workers(self) -> Metric:
        family = GaugeMetricFamily(
            "perfsuite_worker_seen_timestamp_seconds",
            "When a worker that did not end in order was last seen.",
            labels=("repository", "worker"),
        )
        for worker in data.reader(self._database).jobs.workers():
            if worker.stopped_at is None:
                family.add_metric(
                    [_label(worker.repository), _label(worker.name)], worker.seen_at.timestamp()
                )
        return family


def _label(text: str) -> str:
    """Names of others, without what breaks lines and screens; the library escapes quotation marks."""
    return plain(text)[:_LONGEST_LABEL]
