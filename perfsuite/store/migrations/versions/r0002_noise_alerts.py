"""Noise of cases, alerts, and what a comparison knew of noise when it began."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("comparisons") as batch:
        batch.add_column(sa.Column("kind", sa.Text(), nullable=False, server_default="compare"))
        batch.add_column(sa.Column("noise", sa.Text(), nullable=False, server_default="{}"))
    _create_noise()
    _create_alerts()


def downgrade() -> None:
    for table in ("alerts", "noise"):
        op.drop_table(table)
    with op.batch_alter_table("comparisons") as batch:
        batch.drop_column("noise")
        batch.drop_column("kind")


def _create_noise() -> None:
    op.create_table(
        "noise",
        sa.Column("comparison_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("between", sa.Double(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("within", sa.Double(), nullable=False),
        sa.Column("freedom", sa.Integer(), nullable=False),
        sa.Column("comparisons", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparisons.id"], name=op.f("fk_noise_comparison_id_comparisons")
        ),
        sa.PrimaryKeyConstraint("comparison_id", "case_id", name=op.f("pk_noise")),
    )
    columns = ["repository", "fingerprint", "case_id", "version"]
    op.create_index(op.f("ix_noise_repository_fingerprint_case_id_version"), "noise", columns)


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("change", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("raised_at", _MOMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint(
            "repository",
            "case_id",
            "fingerprint",
            "metric",
            "kind",
            "before",
            "after",
            name=op.f("uq_alerts_change"),
        ),
    )
    op.create_index(op.f("ix_alerts_state_raised_at_id"), "alerts", ["state", "raised_at", "id"])
    op.create_index(op.f("ix_alerts_raised_at_id"), "alerts", ["raised_at", "id"])
