# SPDX-License-Identifier: Apache-2.0
"""What an index must look like, without any database."""

import pathlib
import sqlite3

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states import tables
from nova_db_states.migrations import ddl
from nova_db_states.migrations import history
from nova_db_states.migrations import index
from nova_db_states.migrations import patience

STATES = index.StateIndex(("deleted", "vm_state", "task_state"))
NAME = "nova_db_states_deleted_vm_state_task_state"

_SCRIPT = '''"""{doc}"""
from alembic import op
from nova_db_states.migrations import ddl
from nova_db_states.migrations import index

revision = "{revision}"
down_revision = {down!r}
INDEX = index.StateIndex({columns!r})


def upgrade():
    op.invoke(ddl.AddIndex(INDEX))


def downgrade():
    op.invoke(ddl.DropIndex(INDEX))
'''


def _table(
    *indexes: index.ExistingIndex,
    row_format: str | None = "DYNAMIC",
    page_bytes: int = 16384,
    character_bytes: int = 3,
) -> index.Table:
    return index.Table(
        indexes=indexes,
        characters={"vm_state": 255, "task_state": 255},
        character_bytes={
            "vm_state": character_bytes,
            "task_state": character_bytes,
        },
        row_format=row_format,
        page_bytes=page_bytes,
    )


def _existing(
    *parts: str | tuple[str | None, int | None],
    name: str = "theirs",
    plain: bool = True,
) -> index.ExistingIndex:
    return index.ExistingIndex(
        name,
        tuple(
            (part, None) if isinstance(part, str) else part for part in parts
        ),
        plain=plain,
    )


@pytest.mark.parametrize("revision", history.load())
def test_names_and_columns(revision: migrations.Revision) -> None:
    """Each index bears our prefix, fits MySQL's 64 and has real columns."""
    assert revision.index.name.startswith(index.PREFIX)
    assert len(revision.index.name) <= 64
    assert set(revision.index.columns) <= set(tables.instances.c.keys())
    assert revision.summary


@pytest.mark.parametrize(
    ("row_format", "page_bytes", "character_bytes", "lengths"),
    [
        ("DYNAMIC", 16384, 3, {}),
        ("DYNAMIC", 16384, 4, {}),
        ("COMPRESSED", 65536, 4, {}),
        ("COMPACT", 16384, 3, {}),
        ("COMPACT", 16384, 4, {"vm_state": 191, "task_state": 191}),
        ("REDUNDANT", 16384, 4, {"vm_state": 191, "task_state": 191}),
        ("DYNAMIC", 8192, 3, {"vm_state": 253, "task_state": 253}),
        ("DYNAMIC", 4096, 4, {"vm_state": 94, "task_state": 94}),
    ],
)
def test_key_lengths(
    row_format: str,
    page_bytes: int,
    character_bytes: int,
    lengths: dict[str, int],
) -> None:
    """Columns are whole where the key has room for them, else prefixes."""
    table = _table(
        row_format=row_format,
        page_bytes=page_bytes,
        character_bytes=character_bytes,
    )
    assert index.key_lengths(table, STATES) == lengths


def test_key_that_cannot_fit() -> None:
    """No room for a single character is an error and not an empty prefix."""
    wide = index.StateIndex(tuple(f"c{n}" for n in range(300)))
    table = index.Table(
        characters=dict.fromkeys(wide.columns, 255),
        character_bytes=dict.fromkeys(wide.columns, 4),
        row_format="DYNAMIC",
        page_bytes=4096,
    )
    with pytest.raises(exceptions.MigrationError, match="768 bytes"):
        index.key_lengths(table, wide)


@pytest.mark.parametrize(
    ("existing", "equal"),
    [
        (_existing("deleted", "vm_state", "task_state"), True),
        (_existing("DELETED", "VM_STATE", "TASK_STATE"), True),
        (_existing("deleted", ("vm_state", 191), ("task_state", 200)), True),
        (_existing("deleted", ("vm_state", 20), "task_state"), False),
        (_existing("deleted", "task_state", "vm_state"), False),
        (_existing("deleted", "vm_state"), False),
        (_existing("deleted", "vm_state", "task_state", "host"), False),
        (_existing("deleted", "vm_state", (None, None)), False),
        (_existing("deleted", "vm_state", "task_state", plain=False), False),
    ],
)
def test_what_is_equal(existing: index.ExistingIndex, *, equal: bool) -> None:
    """Equal means the same columns in order, no shorter, usable for all rows.

    The table is of an old row format, where ours has prefixes of 191.
    """
    table = _table(existing, row_format="COMPACT", character_bytes=4)
    assert (index.find_equal(table, STATES) is not None) is equal


def test_a_prefix_is_not_equal_to_a_whole_column() -> None:
    """Where whole columns fit, a prefix of any length counts as shorter."""
    table = _table(_existing("deleted", ("vm_state", 191), "task_state"))
    assert index.find_equal(table, STATES) is None


def test_our_name_comes_first() -> None:
    """Of two equal indexes ours is the one that is reported."""
    columns = ("deleted", "vm_state", "task_state")
    table = _table(_existing(*columns), _existing(*columns, name=NAME))
    found = index.find_equal(table, STATES)
    assert found is not None
    assert found.name == NAME


_COLUMNS = "(deleted, vm_state, task_state)"


@pytest.mark.parametrize(
    ("dialect", "bounding", "add", "drop"),
    [
        (
            "sqlite",
            [],
            f"CREATE INDEX {NAME} ON instances {_COLUMNS};",
            f"DROP INDEX {NAME};",
        ),
        *(
            (
                dialect,
                ["SET SESSION lock_wait_timeout = 7;"],
                f"ALTER TABLE instances ADD INDEX {NAME} {_COLUMNS}{how}",
                f"ALTER TABLE instances DROP INDEX {NAME}{how}",
            )
            for dialect, how in (
                ("mysql", ", ALGORITHM=INPLACE, LOCK=NONE;"),
                ("mariadb", ", ALGORITHM=NOCOPY, LOCK=NONE;"),
            )
        ),
    ],
)
def test_statements(
    dialect: str, bounding: list[str], add: str, drop: str
) -> None:
    """The exact statements of each dialect, bounded before they wait."""
    up = migrations.statements(dialect, lock_timeout_s=7, to="0001")
    assert list(up) == [*bounding, add]
    down = migrations.statements(dialect, lock_timeout_s=7, down=True)
    assert list(down[: len(bounding)]) == bounding
    assert down[-1] == drop


def test_prefix_lengths_are_written() -> None:
    """A prefix stands behind its column and nowhere else."""
    dialect = sa.make_url("mysql://").get_dialect()()
    statement = ddl.AddIndexDDL(STATES, {"vm_state": 191})
    assert "(deleted, vm_state(191), task_state)" in str(
        statement.compile(dialect=dialect)
    )


def test_other_dialects_are_refused() -> None:
    """No statement is made up for a dialect that nobody tests."""
    with pytest.raises(exceptions.UnsupportedDatabase, match="oracle"):
        migrations.statements("oracle")
    with pytest.raises(exceptions.UnsupportedDatabase, match="postgresql"):
        ddl.DropIndexDDL(STATES).compile(dialect=postgresql.dialect())


def _write(
    folder: pathlib.Path, revision: str, down: str | None, *columns: str
) -> None:
    (folder / "versions").mkdir(exist_ok=True)
    text = _SCRIPT.format(
        doc=f"Revision {revision}",
        revision=revision,
        down=down,
        columns=columns,
    )
    (folder / "versions" / f"v{revision}.py").write_text(text)


def test_history_is_in_order(tmp_path: pathlib.Path) -> None:
    """Revisions come in the order of an upgrade, and can be cut off."""
    _write(tmp_path, "0002", "0001", "host")
    _write(tmp_path, "0001", None, "deleted")
    _write(tmp_path, "0003", "0002", "node")
    revisions = history.load(tmp_path)
    assert [found.revision for found in revisions] == ["0001", "0002", "0003"]
    assert history.up_to(revisions, None) == revisions
    assert history.up_to(revisions, "head") == revisions
    assert history.up_to(revisions, "base") == ()
    assert history.up_to(revisions, "0002") == revisions[:2]
    with pytest.raises(exceptions.MigrationError, match="base, 0001, 0002"):
        history.up_to(revisions, "0004")


def test_a_fork_is_refused(tmp_path: pathlib.Path) -> None:
    """Two revisions after one have no order; that is said."""
    _write(tmp_path, "0001", None, "deleted")
    _write(tmp_path, "0002", "0001", "host")
    _write(tmp_path, "0003", "0001", "node")
    with pytest.raises(exceptions.MigrationError, match="not one line"):
        history.load(tmp_path)


@pytest.mark.parametrize("seconds", [0, -1, 0.5, True, "2"])
def test_lock_timeout_is_whole_seconds(seconds: object) -> None:
    """The servers round a fraction, to 0 perhaps: nothing is sent."""
    engine = sa.create_engine("sqlite://")
    with pytest.raises(exceptions.MigrationError, match="whole seconds"):
        migrations.upgrade(engine, lock_timeout_s=seconds)  # type: ignore[arg-type]


def test_every_read_only_file_has_its_remedy() -> None:
    """SQLite says why a file cannot be written at the end of the name."""
    origin = sqlite3.OperationalError("attempt to write a readonly database")
    origin.sqlite_errorname = "SQLITE_READONLY_DIRECTORY"
    error = sa.exc.OperationalError("CREATE INDEX", {}, origin)
    refused = patience._refused(NAME, "building", error)
    assert "may write the file and its folder" in str(refused)
