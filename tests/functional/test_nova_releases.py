# SPDX-License-Identifier: Apache-2.0
"""What this project writes down of Nova, held to every supported release."""

from collections.abc import Iterator
import json
import subprocess
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import states
from nova_db_states import tables
from tools import nova_venvs

_READ_ENUMS = """
import json
from nova.objects import fields
print(json.dumps([
    list(fields.InstanceState.ALL), list(fields.InstanceTaskState.ALL),
]))
"""


def test_vocabulary(nova_release: str) -> None:
    """The states are exactly those of the release's own enums."""
    nova_venvs.ensure(nova_release)
    done = subprocess.run(
        [str(nova_venvs.python(nova_release)), "-c", _READ_ENUMS],
        capture_output=True,
        text=True,
        check=True,
    )
    vm_states, task_states = json.loads(done.stdout)
    assert {str(state) for state in states.VMState} == set(vm_states)
    assert {str(state) for state in states.TaskState} == set(task_states)


@pytest.fixture(params=["sqlite", "mariadb"])
def migrated(
    request: pytest.FixtureRequest, nova_release: str
) -> Iterator[sa.Engine]:
    """Give a cell database as the release's own migrations make it."""
    make = request.getfixturevalue(
        "make_nova_sqlite"
        if request.param == "sqlite"
        else "make_nova_mariadb"
    )
    engine = sa.create_engine(make(nova_release))
    yield engine
    engine.dispose()


def columns(engine: sa.Engine) -> dict[str, tuple[Any, ...]]:
    """Describe the columns of ``instances`` as the server has them."""
    return {
        column["name"]: (
            str(column["type"]),
            column["nullable"],
            column["default"],
        )
        for column in sa.inspect(engine).get_columns("instances")
    }


def indexes(engine: sa.Engine) -> dict[str, tuple[Any, ...]]:
    """Describe the indexes and keys of ``instances``."""
    inspector = sa.inspect(engine)
    found = {
        index["name"]: (tuple(index["column_names"]), bool(index["unique"]))
        for index in inspector.get_indexes("instances")
    }
    for key in inspector.get_unique_constraints("instances"):
        found[str(key["name"])] = (tuple(key["column_names"]), True)
    primary = inspector.get_pk_constraint("instances")
    found["primary key"] = (tuple(primary["constrained_columns"]), True)
    return found


def test_the_table(migrated: sa.Engine) -> None:
    """Made from our definition, the table is the one that Nova makes."""
    real_columns, real_indexes = columns(migrated), indexes(migrated)
    with migrated.begin() as connection:
        if migrated.dialect.name == "sqlite":
            connection.execute(sa.text("PRAGMA foreign_keys = OFF"))
        else:
            connection.execute(sa.text("SET foreign_key_checks = 0"))
        connection.execute(sa.text("DROP TABLE instances"))
        tables.instances.create(connection)
    assert list(columns(migrated)) == list(real_columns)
    assert columns(migrated) == real_columns
    assert indexes(migrated) == real_indexes
