# SPDX-License-Identifier: Apache-2.0
"""The indexes that guards, sweeps and counts by state need, and nothing else.

Each function takes an engine of one cell database::

    engine = sqlalchemy.create_engine("mysql+pymysql://nova@db1/nova_cell1")
    migrations.upgrade(engine)
    assert not migrations.missing(engine)

There is no version table: a revision is applied where its index is.
"""

from nova_db_states.migrations import history
from nova_db_states.migrations import offline
from nova_db_states.migrations import patience
from nova_db_states.migrations import runner
from nova_db_states.migrations import standing

__all__ = [
    "DIALECTS",
    "PATIENT",
    "Event",
    "IndexStatus",
    "Progress",
    "Revision",
    "Step",
    "downgrade",
    "missing",
    "statements",
    "status",
    "upgrade",
]

DIALECTS = offline.DIALECTS
PATIENT = patience.PATIENT
Event = patience.Event
IndexStatus = standing.IndexStatus
Progress = patience.Progress
Revision = history.Revision
Step = runner.Step
downgrade = runner.downgrade
missing = standing.missing
statements = offline.statements
status = standing.status
upgrade = runner.upgrade
