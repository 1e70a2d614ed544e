# SPDX-License-Identifier: Apache-2.0
"""Sweeps and counts by state, without locking rows in other states."""

from alembic import op

from nova_db_states.migrations import ddl
from nova_db_states.migrations import index

revision = "0001"
down_revision = None

INDEX = index.StateIndex(("deleted", "vm_state", "task_state"))


def upgrade() -> None:
    """Make the index."""
    op.invoke(ddl.AddIndex(INDEX))


def downgrade() -> None:
    """Drop the index."""
    op.invoke(ddl.DropIndex(INDEX))
