# SPDX-License-Identifier: Apache-2.0
"""The text and the values that a driver is handed."""

from sqlalchemy.dialects import mysql

from nova_db_states import guards
from nova_db_states._update import statement
from nova_db_states._update import update as update_
from nova_db_states._update import wire

NAMED = mysql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
POSITIONAL = mysql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]


class Recorder:
    """A connection and its cursor that only remember."""

    rowcount = 1

    def cursor(self) -> "Recorder":
        """Be the cursor too."""
        return self

    def execute(self, sql: str, values: object) -> None:
        """Remember what the driver is handed."""
        self.sql, self.values = sql, values

    def close(self) -> None:
        """Do nothing."""


def sent(dialect: object, *task_states: str) -> Recorder:
    """Send an update that expects one of some task states."""
    update = update_.Update(
        "u",
        {"progress": 5},
        guards.normalise("active", list(task_states)),
        statement.Scope(),
    )
    recorder = Recorder()
    outcome = wire.send(recorder, dialect, update.shape, update.parameters())
    assert outcome == (1, False)
    return recorder


def test_by_name() -> None:
    """PyMySQL takes a mapping."""
    recorder = sent(NAMED, "spawning", "networking")
    assert recorder.sql.endswith(
        "instances.task_state IN "
        "(%(guard_task_state_1)s, %(guard_task_state_2)s)"
    )
    assert recorder.values == {
        "key_uuid": "u",
        "set_progress": 5,
        "guard_vm_state": "active",
        "guard_task_state_1": "spawning",
        "guard_task_state_2": "networking",
    }


def test_by_position() -> None:
    """Mysqlclient takes a sequence, in the order of the placeholders."""
    recorder = sent(POSITIONAL, "spawning", "networking")
    assert recorder.sql.endswith("instances.task_state IN (%s, %s)")
    assert recorder.values == (5, "u", "active", "spawning", "networking")


def test_one_text_for_each_number_of_values() -> None:
    """Lists of other lengths have other texts, and of one length the same."""
    two = sent(NAMED, "spawning", "networking")
    three = sent(NAMED, "spawning", "networking", "deleting")
    assert three.sql.count("guard_task_state") == 3
    assert sent(NAMED, "deleting", "rebooting").sql is two.sql
