# SPDX-License-Identifier: Apache-2.0
"""Rows for tests: instances as nova-api and the scheduler leave them."""

import datetime
from typing import Final
import uuid

import sqlalchemy as sa

from nova_db_states import tables

_ACTIVE_SERVER: Final = {
    "vm_state": "active",
    "task_state": None,
    "power_state": 1,
    "host": "compute1",
    "node": "compute1",
    "hostname": "server",
    "display_name": "server",
    "project_id": "project",
    "user_id": "user",
    "memory_mb": 512,
    "vcpus": 1,
    "root_gb": 1,
    "ephemeral_gb": 0,
    "deleted": 0,
    "hidden": False,
}


def instance_values(**columns: object) -> dict[str, object]:
    """Give the columns of an active server, with some replaced."""
    return {
        "uuid": str(uuid.uuid4()),
        "created_at": datetime.datetime.now(datetime.UTC).replace(
            tzinfo=None, microsecond=0
        ),
        **_ACTIVE_SERVER,
        **columns,
    }


def insert_instance(engine: sa.Engine, **columns: object) -> str:
    """Insert one active server, some columns replaced, and give its UUID."""
    values = instance_values(**columns)
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.instances), [values])
    return str(values["uuid"])


def insert_instances(
    engine: sa.Engine, count: int, **columns: object
) -> list[str]:
    """Insert many servers alike but for the UUID, and give their UUIDs."""
    rows = [instance_values(**columns) for _ in range(count)]
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.instances), rows)
    return [str(row["uuid"]) for row in rows]


def read_instance(engine: sa.Engine, instance_uuid: str) -> dict[str, object]:
    """Read one instance as it stands now, in a transaction of its own."""
    statement = sa.select(tables.instances).where(
        tables.instances.c.uuid == instance_uuid
    )
    with engine.connect() as connection:
        return dict(connection.execute(statement).one()._mapping)
