"""Migrations: they make what the models say, and lead back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from store_example import ALERT, COMMAND, make_comparison, make_job, make_result, make_run

from perfsuite.model import Noise
from perfsuite.store import Store, check, open_store
from perfsuite.store.engine import make_engine, parse_address
from perfsuite.store.schema import REVISION, VERSION_TABLE, alembic_config, migrate
from perfsuite.store.tables import Base
from perfsuite.store.trends import Point, SeriesInfo


def differences(url: str) -> list[object]:
    engine = make_engine(parse_address(url))
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "render_as_batch": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    engine.dispose()
    return list(found)


def revisions() -> list[str]:
    engine = make_engine(parse_address("sqlite://"))
    with engine.connect() as connection:
        script = ScriptDirectory.from_config(alembic_config(connection))
        return [found.revision for found in script.walk_revisions()][::-1]


def test_the_newest_migration_is_the_one_that_the_store_asks_for() -> None:
    assert revisions()[-1] == REVISION


def test_models_and_migrations_agree(store: Store) -> None:
    assert differences(store.url) == []


def test_every_constraint_has_a_name(store: Store) -> None:
    inspector = inspect(store._engine)
    for table in Base.metadata.tables:
        found = [
            inspector.get_pk_constraint(table),
            *inspector.get_foreign_keys(table),
            *inspector.get_unique_constraints(table),
        ]
        assert all(constraint["name"] for constraint in found), found


def test_up_and_down_every_step(store_url: str) -> None:
    address = parse_address(store_url)
    steps = ["", *revisions()]
    for revision in [*steps, *steps[-2::-1], *steps[1:]]:
        migrate(address, revision)
        engine = make_engine(address)
        tables = set(inspect(engine).get_table_names()) - {VERSION_TABLE}
        engine.dispose()
        assert bool(tables) == bool(revision), revision
    assert differences(address.text) == []


def test_an_older_database_is_brought_up_when_opened(store_url: str) -> None:
    migrate(parse_address(store_url), "")
    with open_store(store_url) as store:
        store.start_comparison(make_comparison())
        store.save_result(make_comparison().head.id, make_result())
        assert check(store) == []


def test_a_comparison_of_before_there_was_noise_is_kept(store_url: str) -> None:
    comparison = make_comparison(case_thresholds={"moe": 0.05})
    with open_store(store_url) as store:
        store.start_comparison(comparison)
        store.save_noise(comparison.id, {"a": ("v1", Noise())})
    migrate(parse_address(store_url), "0001")
    with open_store(store_url) as store:
        assert store.reader.comparison("latest") == comparison
        assert store.reader.noise(comparison.head.repository, comparison.head.environment.fingerprint) == {}
        assert check(store) == []


def test_a_database_of_before_there_were_jobs_is_kept(store_url: str) -> None:
    comparison = make_comparison()
    with open_store(store_url) as store:
        store.start_comparison(comparison)
        store.save_result(comparison.head.id, make_result())
        store.save_noise(comparison.id, {"a": ("v1", Noise(pairs=1))})
        store.save_alerts([ALERT])
        store.jobs.add_command(COMMAND, make_job())
    migrate(parse_address(store_url), "0002")
    with open_store(store_url) as store:
        assert store.reader.comparison("latest") == comparison
        assert store.reader.results(comparison.head.id) == [make_result()]
        noise = store.reader.noise(comparison.head.repository, comparison.head.environment.fingerprint)
        assert noise == {"a": ("v1", Noise(pairs=1))}
        assert store.reader.alerts() == [ALERT]
        assert store.jobs.jobs() == store.jobs.commands(COMMAND.repository) == store.jobs.workers() == []
        assert store.jobs.add_command(COMMAND, make_job())
        assert store.jobs.jobs() == [make_job()]
        assert check(store) == []


def test_runs_of_before_there_were_positions_are_kept(store_url: str) -> None:
    run = make_run()
    with open_store(store_url) as store:
        store.start_run(replace(run, commit=replace(run.commit, position=7)))
        store.save_result(run.id, make_result())
    migrate(parse_address(store_url), "0003")
    with open_store(store_url) as store:
        assert store.reader.runs() == [run]
        assert store.reader.results(run.id) == [make_result()]
        assert check(store) == []


def test_results_of_before_there_were_series_join_theirs(store_url: str) -> None:
    run = make_run()
    precise = replace(make_result("a"), error_rms=0.01, roofline_fraction=0.5)
    odd = replace(make_result("b", ()), message="\x00\udcff", error_rms=math.nan)
    with open_store(store_url) as store:
        store.start_run(run)
        store.start_run(make_run(2, kind="base"))
        for saved in (precise, odd):
            store.save_result(run.id, saved)
            store.save_result(make_run(2).id, saved)
        before = [store.reader.trends.series(kinds=None), _points(store, run.id)]
    migrate(parse_address(store_url), "0004")
    with open_store(store_url) as store:
        # Ids may differ: they are given anew.
        after = [store.reader.trends.series(kinds=None), _points(store, run.id)]
        assert [_without_ids(found) for found in after] == [_without_ids(found) for found in before]
        assert (after[1][0].error_rms, after[1][0].roofline_fraction) == (0.01, 0.5)
        assert after[1][1].error_rms is None
        assert repr(store.reader.results(run.id)) == repr([precise, odd])
        assert check(store) == []
        store.save_result(run.id, make_result("c"))
        assert check(store) == []


def test_a_damaged_document_is_no_reason_not_to_migrate(store_url: str) -> None:
    with open_store(store_url) as store:
        store.start_run(make_run())
        store.save_result(make_run().id, make_result("a"))
        with store._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE results SET document = '{'")
    migrate(parse_address(store_url), "0004")
    with open_store(store_url) as store:
        assert [point.error_rms for point in _points(store, make_run().id)] == [None]
        assert any("result of a" in problem for problem in check(store))


def _points(store: Store, run_id: str) -> list[Point]:
    """Of one run, by case."""
    series = {one.id: one.case for one in store.reader.trends.series(kinds=None)}
    points = store.reader.trends.points(series)
    return sorted((p for p in points if p.run_id == run_id), key=lambda point: series[point.series_id])


def _without_ids(found: Sequence[Point | SeriesInfo]) -> list[object]:
    made = [one._replace(series_id=0) if isinstance(one, Point) else replace(one, id=0) for one in found]
    return sorted(made, key=str)


def test_opening_an_up_to_date_database_does_not_migrate(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(store_url).close()

    def refuse(*_: object) -> None:
        raise AssertionError("nothing to migrate")

    monkeypatch.setattr("perfsuite.store.writer.migrate", refuse)
    with open_store(store_url) as store:
        store.start_run(make_run())


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM runs ORDER BY started_at DESC, id DESC LIMIT 50", "ix_runs_started_at_id"),
        ("SELECT * FROM results WHERE run_id = 'a'", "sqlite_autoindex_results_1"),
        ("SELECT case_id FROM results WHERE run_id = 'a'", "COVERING INDEX"),
        (
            "SELECT run_id, status, median_ns, low_ns, high_ns, error_rms, roofline_fraction, launches_id"
            " FROM results WHERE series_id IN (1, 2)",
            "COVERING INDEX ix_results_points",
        ),
        ("SELECT id FROM series WHERE case_id = 'a'", "COVERING INDEX sqlite_autoindex_series_1"),
        (
            "SELECT * FROM runs WHERE repository = 'a' ORDER BY started_at DESC, id DESC LIMIT 50",
            "ix_runs_repository_started_at_id",
        ),
        (
            "SELECT id FROM runs WHERE repository = 'a' AND environment_id = 'b' AND kind = 'run'"
            " ORDER BY started_at DESC, id DESC LIMIT 1",
            "COVERING INDEX ix_runs_history",
        ),
        ("SELECT * FROM runs WHERE sha = 'a'", "ix_runs_sha"),
        (
            "SELECT case_id, version, sum(pairs) FROM noise WHERE repository = 'a' AND fingerprint = 'b'"
            " GROUP BY case_id, version",
            "ix_noise_repository_fingerprint_case_id_version",
        ),
        (
            "SELECT * FROM alerts WHERE state = 'open' ORDER BY raised_at DESC, id DESC",
            "ix_alerts_state_raised_at_id",
        ),
        ("SELECT * FROM alerts WHERE repository = 'a' AND case_id = 'b'", "sqlite_autoindex_alerts_2"),
        ("SELECT * FROM jobs ORDER BY created_at DESC, id DESC LIMIT 50", "ix_jobs_created_at_id"),
        ("SELECT * FROM jobs WHERE repository = 'a' AND state = 'queued'", "ix_jobs_repository_state"),
        ("SELECT * FROM jobs WHERE repository = 'a' AND key = 'b'", "sqlite_autoindex_jobs_2"),
        ("SELECT * FROM jobs WHERE repository = 'a' AND pull = 7", "ix_jobs_repository_pull"),
        ("SELECT * FROM commands WHERE repository = 'a' AND pull = 7", "ix_commands_repository_pull"),
    ],
)
def test_usual_queries_use_an_index(sqlite_store: Store, sql: str, index: str) -> None:
    with sqlite_store._engine.connect() as connection:
        plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan
