"""Series, narrow points of them, and machine code as text."""

import json
import math

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = ("case_id", "repository", "fingerprint", "kind", "version", "family", "device", "timer")
_POINT = ("series_id", "run_id", "status", "median_ns", "low_ns", "high_ns")
_MORE = ("error_rms", "roofline_fraction", "launches_id")
_ROWS_AT_A_TIME = 2000
"""Documents are decoded in such portions: a database of months does not fit into memory."""


def upgrade() -> None:
    _create_series()
    op.create_table(
        "listings",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("target", "hash", name=op.f("pk_listings")),
    )
    op.drop_index(op.f("ix_results_case_id_run_id"), "results")
    # SQLite reads a row up to the last column that is asked for: these must come before the samples.
    anew = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("results", recreate="always" if anew else "never") as batch:
        for column in (
            sa.Column("series_id", sa.Integer(), nullable=True),
            sa.Column("error_rms", sa.Double(), nullable=True),
            sa.Column("roofline_fraction", sa.Double(), nullable=True),
        ):
            batch.add_column(column, insert_before="document" if anew else None)
        batch.create_foreign_key(op.f("fk_results_series_id_series"), "series", ["series_id"], ["id"])
    _fill()
    op.create_index(op.f("ix_results_points"), "results", [*_POINT, *_MORE])
    op.drop_index(op.f("ix_runs_environment_id"), "runs")
    op.create_index(op.f("ix_runs_repository_started_at_id"), "runs", ["repository", "started_at", "id"])
    op.create_index(
        op.f("ix_runs_history"), "runs", ["repository", "environment_id", "kind", "started_at", "id"]
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_history"), "runs")
    op.drop_index(op.f("ix_runs_repository_started_at_id"), "runs")
    op.create_index(op.f("ix_runs_environment_id"), "runs", ["environment_id"])
    op.drop_index(op.f("ix_results_points"), "results")
    with op.batch_alter_table("results") as batch:
        batch.drop_constraint(op.f("fk_results_series_id_series"), type_="foreignkey")
        for name in ("series_id", "error_rms", "roofline_fraction"):
            batch.drop_column(name)
    op.create_index(op.f("ix_results_case_id_run_id"), "results", ["case_id", "run_id"])
    for table in ("listings", "series"):
        op.drop_table(table)


def _create_series() -> None:
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _KEY),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint(*_KEY, name=op.f("uq_series_key")),
    )


def _fill() -> None:
    connection = op.get_bind()
    columns = ", ".join(_KEY)
    facts = "FROM results JOIN runs ON runs.id = run_id JOIN environments ON environments.id = environment_id"
    # `version` is a column of runs too: of perfsuite's there.
    key = columns.replace("version", "results.version")
    connection.execute(sa.text(f"INSERT INTO series ({columns}) SELECT DISTINCT {key} {facts}"))
    rows = connection.execute(sa.text(f"SELECT id, {columns} FROM series"))
    series = {tuple(row[1:]): row[0] for row in rows}
    portion = sa.text(
        f"SELECT results.id, results.document, {key} {facts}"
        f" WHERE results.id > :last ORDER BY results.id LIMIT {_ROWS_AT_A_TIME}"
    )
    change = sa.text(
        "UPDATE results SET series_id = :series_id, error_rms = :error_rms,"
        " roofline_fraction = :roofline_fraction WHERE id = :id"
    )
    last = -1
    while found := connection.execute(portion, {"last": last}).all():
        last = found[-1][0]
        connection.execute(
            change, [{"id": row[0], "series_id": series[tuple(row[2:])], **_numbers(row[1])} for row in found]
        )


def _numbers(document: str) -> dict[str, float | None]:
    """What the columns hold, of a result's document; nothing of a damaged one, which `db check` names."""
    try:
        plain = json.loads(document)
    except ValueError:
        plain = None
    values = plain if isinstance(plain, dict) else {}
    return {name: _finite(values.get(name)) for name in ("error_rms", "roofline_fraction")}


def _finite(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
