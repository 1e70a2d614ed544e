# SPDX-License-Identifier: Apache-2.0
"""Migrations walked up and down on schemas that Nova itself made."""

from collections.abc import Callable, Iterator
import pathlib
import re
import shutil

import pytest
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states import tables
from nova_db_states.migrations import catalogue
from nova_db_states.migrations import history
from tests import conftest
from tests.resources import rows
from tests.resources import schema
from tests.resources import servers

NAME = "nova_db_states_deleted_vm_state_task_state"

_SECOND = '''"""A second one."""
from alembic import op
from nova_db_states.migrations import ddl
from nova_db_states.migrations import index

revision = "9999"
down_revision = "{down}"
INDEX = index.StateIndex(("vm_state", "host"))


def upgrade():
    op.invoke(ddl.AddIndex(INDEX))


def downgrade():
    op.invoke(ddl.DropIndex(INDEX))
'''


@pytest.fixture(params=conftest.BACKENDS)
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """Give a cell whose schema may be changed, once for every backend."""
    if request.param == "sqlite":
        url = request.getfixturevalue("make_nova_sqlite")()
    else:
        make = request.getfixturevalue("make_nova_mariadb")
        url = make(scheme=request.param)
    made = sa.create_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def mariadb_engine(
    make_nova_mariadb: Callable[..., str],
) -> Iterator[sa.Engine]:
    """Give a cell on MariaDB whose schema may be changed."""
    made = sa.create_engine(make_nova_mariadb())
    yield made
    made.dispose()


@pytest.fixture
def two_revisions(tmp_path: pathlib.Path) -> tuple[migrations.Revision, ...]:
    """Give a history with one revision more than the package's."""
    package = pathlib.Path(migrations.__file__).parent
    folder = tmp_path / "history"
    shutil.copytree(package / "versions", folder / "versions")
    last = history.load()[-1].revision
    (folder / "versions" / "v9999.py").write_text(_SECOND.format(down=last))
    return history.load(folder)


def _execute(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _indexes(engine: sa.Engine) -> dict[str, list[str | None]]:
    found = sa.inspect(engine).get_indexes("instances")
    return {str(one["name"]): one["column_names"] for one in found}


def _schema(engine: sa.Engine) -> dict[str, str]:
    """Read every table as the statement that makes it, indexes included."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            found = connection.exec_driver_sql(
                "SELECT tbl_name, group_concat(sql) FROM"
                " (SELECT tbl_name, sql FROM sqlite_master ORDER BY name)"
                " GROUP BY tbl_name"
            )
            return {str(name): str(sql) for name, sql in found}
        names = sa.inspect(connection).get_table_names()
        return {
            name: re.sub(
                r" AUTO_INCREMENT=\d+",
                "",
                str(
                    connection.exec_driver_sql(
                        f"SHOW CREATE TABLE `{name}`"
                    ).one()[1]
                ),
            )
            for name in names
        }


def _content(engine: sa.Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        statement = sa.select(tables.instances).order_by("id")
        return [tuple(row) for row in connection.execute(statement)]


def test_walk(
    engine: sa.Engine, two_revisions: tuple[migrations.Revision, ...]
) -> None:
    """Each step up and down changes one index, no row and nothing else."""
    rows.insert_instances(engine, 5)
    rows.insert_instance(engine, vm_state="error", task_state="deleting")
    content, untouched = _content(engine), _schema(engine)
    walked = []
    for position, revision in enumerate(two_revisions):
        steps = migrations.upgrade(
            engine, to=revision.revision, revisions=two_revisions
        )
        assert [step.action for step in steps] == [
            *["present"] * position,
            "created",
        ]
        assert _indexes(engine)[revision.index.name] == list(
            revision.index.columns
        )
        assert _content(engine) == content
        walked.append(_schema(engine))
        missing = migrations.missing(engine, revisions=two_revisions)
        assert [entry.revision for entry in missing] == list(
            two_revisions[position + 1 :]
        )
    assert walked[-1].keys() == untouched.keys()
    assert {
        name for name in untouched if untouched[name] != walked[-1][name]
    } == {"instances"}
    for position in reversed(range(len(two_revisions))):
        assert _schema(engine) == walked[position]
        to = two_revisions[position - 1].revision if position else "base"
        steps = migrations.downgrade(engine, to=to, revisions=two_revisions)
        assert [step.action for step in steps] == [
            *["absent"] * (len(two_revisions) - 1 - position),
            "dropped",
        ]
        assert _content(engine) == content
    assert _schema(engine) == untouched


def test_again_is_nothing(engine: sa.Engine) -> None:
    """A second upgrade or downgrade sends no change, and says so."""
    assert migrations.upgrade(engine)[0].action == "created"
    events: list[migrations.Event] = []
    [step] = migrations.upgrade(engine, progress=events.append)
    assert (step.action, step.attempts, events) == ("present", 0, [])
    assert migrations.statements(engine) == ()
    assert migrations.downgrade(engine)[0].action == "dropped"
    [step] = migrations.downgrade(engine, progress=events.append)
    assert (step.action, step.attempts, events) == ("absent", 0, [])
    assert migrations.statements(engine, down=True) == ()


def test_equal_index_of_somebody_else(engine: sa.Engine) -> None:
    """One under another name counts as present, and is never dropped."""
    _execute(
        engine,
        "CREATE INDEX instances_states_idx"
        " ON instances (deleted, vm_state, task_state)",
    )
    before = _schema(engine)
    assert migrations.missing(engine) == ()
    assert migrations.statements(engine) == ()
    [step] = migrations.upgrade(engine)
    assert step.action == "present as instances_states_idx"
    [step] = migrations.downgrade(engine)
    assert step.action == "left instances_states_idx"
    assert _schema(engine) == before


def test_both_equal_indexes(engine: sa.Engine) -> None:
    """If Nova adds the same one later, downgrade drops ours alone."""
    before = _schema(engine)
    migrations.upgrade(engine)
    _execute(
        engine,
        "CREATE INDEX instances_states_idx"
        " ON instances (deleted, vm_state, task_state)",
    )
    [step] = migrations.downgrade(engine)
    assert step.action == "dropped"
    assert set(_indexes(engine)) - {"instances_states_idx"} == {
        name for name in _indexes(engine) if name in str(before)
    }
    assert "instances_states_idx" in _indexes(engine)


def test_our_name_on_something_else(engine: sa.Engine) -> None:
    """An index of our name on other columns is reported, not accepted."""
    _execute(engine, f"CREATE INDEX {NAME} ON instances (vm_state, deleted)")
    [entry] = migrations.missing(engine)
    assert (entry.state, entry.found) == ("different", NAME)
    for call in (migrations.upgrade, migrations.statements):
        with pytest.raises(exceptions.MigrationError, match="db downgrade"):
            call(engine)
    assert _indexes(engine)[NAME] == ["vm_state", "deleted"]
    migrations.downgrade(engine)
    migrations.upgrade(engine)
    assert migrations.missing(engine) == ()


def test_ignored_index_is_no_index(mariadb_engine: sa.Engine) -> None:
    """An index that MariaDB is told to ignore serves nobody."""
    migrations.upgrade(mariadb_engine)
    _execute(
        mariadb_engine, f"ALTER TABLE instances ALTER INDEX {NAME} IGNORED"
    )
    [entry] = migrations.missing(mariadb_engine)
    assert entry.state == "different"


def test_statements_do_what_upgrade_does(engine: sa.Engine) -> None:
    """What a DBA runs by hand leaves the very same schema."""
    before = _schema(engine)
    statements = migrations.statements(engine)
    assert _schema(engine) == before
    _execute(engine, *statements)
    by_hand = _schema(engine)
    assert migrations.missing(engine) == ()
    _execute(engine, *migrations.statements(engine, down=True))
    assert _schema(engine) == before
    migrations.upgrade(engine)
    assert _schema(engine) == by_hand


@pytest.mark.parametrize("row_format", ["COMPACT", "REDUNDANT", "COMPRESSED"])
@pytest.mark.parametrize("charset", ["utf8mb3", "utf8mb4"])
def test_old_row_formats(
    shared_mariadb_cell: schema.SharedCell,
    mariadb_server: servers.Server,
    row_format: str,
    charset: str,
) -> None:
    """Prefixes where 767 bytes are too few, whole columns where not."""
    database = mariadb_server.create_database("old")
    engine = sa.create_engine(mariadb_server.url(database))
    # Without Nova's own indexes: some of them cannot be had in that format.
    _execute(
        engine,
        "SET SESSION innodb_strict_mode = 0",
        f"CREATE TABLE instances ROW_FORMAT={row_format}"
        f" SELECT * FROM `{shared_mariadb_cell.database}`.instances LIMIT 0",
        f"ALTER TABLE instances CONVERT TO CHARACTER SET {charset}",
    )
    # A lenient server would cut the key to fit, with a warning only.
    migrations.upgrade(engine)
    with engine.connect() as connection:
        found = catalogue.read(connection).named(NAME)
    assert found is not None
    short = charset == "utf8mb4" and row_format != "COMPRESSED"
    length = 191 if short else None
    assert found.parts == (
        ("deleted", None),
        ("vm_state", length),
        ("task_state", length),
    )
    assert migrations.missing(engine) == ()
    assert migrations.downgrade(engine)[0].action == "dropped"
    engine.dispose()
    mariadb_server.drop_database(database)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([], "there is no table instances"),
        (
            ["CREATE TABLE cell_mappings (id int)"],
            "API database: give --config-file",
        ),
        (
            ["CREATE TABLE instances (id int, deleted int)"],
            "is not Nova's, it lacks host, task_state",
        ),
        (
            [
                "CREATE TABLE t (uuid int, deleted int)",
                *(
                    f"ALTER TABLE t ADD COLUMN {name} int"
                    for name in ("vm_state", "task_state", "host")
                ),
                "ALTER TABLE t ADD COLUMN updated_at int",
                "CREATE VIEW instances AS SELECT * FROM t",
            ],
            "instances is a view",
        ),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite", "mariadb"])
def test_what_is_no_cell(
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    backend: str,
    statements: list[str],
    said: str,
) -> None:
    """Any other schema is refused by every function, and left alone."""
    if backend == "sqlite":
        (tmp_path / "other.db").touch()
        engine = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    else:
        server: servers.Server = request.getfixturevalue("mariadb_server")
        database = server.create_database("other")
        request.addfinalizer(lambda: server.drop_database(database))
        engine = sa.create_engine(server.url(database))
    _execute(engine, *statements)
    for call in (
        migrations.upgrade,
        migrations.downgrade,
        migrations.missing,
        migrations.statements,
    ):
        with pytest.raises(exceptions.UnsupportedDatabase, match=said):
            call(engine)
    engine.dispose()


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    """A misspelt path is refused, and no empty file is left behind."""
    path = tmp_path / "cel1.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with pytest.raises(exceptions.UnsupportedDatabase, match="no such file"):
        migrations.upgrade(engine)
    assert not path.exists()


def test_a_pool_gets_no_changed_session(mariadb_engine: sa.Engine) -> None:
    """A caller's pool never hands out a connection with our time-outs."""
    with mariadb_engine.connect() as connection:
        query = "SELECT @@lock_wait_timeout, @@max_statement_time"
        before = connection.exec_driver_sql(query).one()
    migrations.upgrade(mariadb_engine, lock_timeout_s=1)
    with mariadb_engine.connect() as connection:
        assert connection.exec_driver_sql(query).one() == before


def test_without_the_right_grant(
    mariadb_engine: sa.Engine, mariadb_server: servers.Server
) -> None:
    """A user that may not alter the table is told which grant is needed."""
    name = f"reader_{mariadb_engine.url.database}"
    mariadb_server.execute(f"CREATE USER {name} IDENTIFIED BY 'secret'")
    mariadb_server.execute(
        f"GRANT SELECT ON `{mariadb_engine.url.database}`.* TO {name}"
    )
    reader = sa.create_engine(
        mariadb_engine.url.set(username=name, password="secret")
    )
    assert len(migrations.missing(reader)) == 1
    with pytest.raises(exceptions.MigrationError, match="Grant ALTER, INDEX"):
        migrations.upgrade(reader)
    reader.dispose()
    mariadb_server.execute(f"DROP USER {name}")
