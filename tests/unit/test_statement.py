# SPDX-License-Identifier: Apache-2.0
"""The SQL that is sent, letter by letter, in both dialects."""

import dataclasses
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import sqlite

from nova_db_states import guards
from nova_db_states import states
from nova_db_states._update import statement

MYSQL = mysql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
SQLITE = sqlite.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
DIALECTS = pytest.mark.parametrize(
    "dialect", [MYSQL, SQLITE], ids=["mysql", "sqlite"]
)


def text(built: Any, dialect: sa.Dialect) -> str:
    """Compile a statement to one line."""
    compiled = built.compile(
        dialect=dialect, compile_kwargs={"render_postcompile": False}
    )
    return " ".join(str(compiled).split()).replace("instances.", "")


def shape(
    *given: guards.Guard,
    read_deleted: str = "no",
    scoped: bool = False,
    aged: bool = False,
) -> statement.Shape:
    """Make the shape of an update of the task state."""
    return statement.Shape(
        ("task_state", "updated_at"),
        tuple(statement.GuardShape.of(guard) for guard in given),
        read_deleted,
        scoped,
        aged,
    )


SET = "SET updated_at=:set_updated_at, task_state=:set_task_state"


@DIALECTS
def test_the_update_carries_the_whole_verdict(dialect: sa.Dialect) -> None:
    """One statement judges key, visibility and every guard."""
    given = guards.normalise("active", None, {"host": "c1"})
    assert text(statement.single(shape(*given)), dialect) == (
        f"UPDATE instances {SET} WHERE uuid = :key_uuid AND deleted = 0 "
        f"AND vm_state = :guard_vm_state AND task_state IS NULL "
        f"AND host = :guard_host"
    )


@DIALECTS
def test_nothing_to_write(dialect: sa.Dialect) -> None:
    """The guards are judged all the same: an UPDATE that changes nothing."""
    given = guards.normalise(expected_task_state=None)
    nothing = dataclasses.replace(shape(*given), columns=())
    assert text(statement.single(nothing), dialect) == (
        "UPDATE instances SET progress=progress WHERE uuid = :key_uuid "
        "AND deleted = 0 AND task_state IS NULL"
    )


IN = "IN (__[POSTCOMPILE_guard_task_state])"


@DIALECTS
@pytest.mark.parametrize(
    ("expectation", "where"),
    [
        (None, "task_state IS NULL"),
        ("deleting", "task_state = :guard_task_state"),
        (
            [None, "deleting"],
            "(task_state = :guard_task_state OR task_state IS NULL)",
        ),
        (["deleting", "spawning"], f"task_state {IN}"),
        (
            ["deleting", None, "spawning"],
            f"(task_state {IN} OR task_state IS NULL)",
        ),
        (states.Not(None), "task_state IS NOT NULL"),
        (
            states.Not("deleting"),
            "(task_state IS NULL OR task_state != :guard_task_state)",
        ),
        (
            states.Not("deleting", None),
            "task_state IS NOT NULL AND task_state != :guard_task_state",
        ),
        (
            states.Not("deleting", "spawning"),
            f"(task_state IS NULL OR (task_state NOT {IN}))",
        ),
    ],
)
def test_every_kind_of_guard(
    dialect: sa.Dialect, expectation: Any, where: str
) -> None:
    """Each normal form has one NULL-safe term."""
    given = guards.normalise(expected_task_state=expectation)
    sql = text(statement.single(shape(*given)), dialect)
    assert sql.endswith(f"AND deleted = 0 AND {where}")


@pytest.mark.parametrize(
    ("read_deleted", "where"),
    [
        ("no", "WHERE uuid = :key_uuid AND deleted = 0"),
        ("only", "WHERE uuid = :key_uuid AND deleted != 0"),
        ("yes", "WHERE uuid = :key_uuid"),
    ],
)
def test_visibility(read_deleted: str, where: str) -> None:
    """read_deleted decides which rows the update may match."""
    sql = text(statement.single(shape(read_deleted=read_deleted)), MYSQL)
    assert sql == f"UPDATE instances {SET} {where}"


def test_an_ordinary_user_changes_own_rows_only() -> None:
    """The project is one more condition of the same statement."""
    sql = text(statement.single(shape(scoped=True)), MYSQL)
    assert sql.endswith("deleted = 0 AND project_id = :scope_project_id")


@pytest.mark.parametrize(
    ("locking", "dialect", "ends"),
    [
        (False, MYSQL, "WHERE uuid = :key_uuid"),
        (True, MYSQL, "WHERE uuid = :key_uuid FOR UPDATE"),
        # SQLite has no such clause: after the UPDATE the transaction holds
        # the only write lock there is.
        (True, SQLITE, "WHERE uuid = :key_uuid"),
    ],
)
def test_the_explaining_read_judges_the_same_terms(
    *, locking: bool, dialect: sa.Dialect, ends: str
) -> None:
    """The server says of each guard by itself whether the row fits."""
    given = guards.normalise(states.ANY, ["deleting", None])
    sql = text(statement.judged(shape(*given), locking=locking), dialect)
    assert (
        "CASE WHEN (task_state = :guard_task_state OR task_state IS NULL) "
        "THEN :param_1 ELSE :param_2 END AS fits_task_state"
    ) in sql
    assert sql.endswith(ends)


@pytest.mark.parametrize(
    "url", ["mysql+pymysql://h/d", "mariadb+pymysql://h/d"]
)
def test_a_batch_goes_by_the_primary_key(url: str) -> None:
    """Under both schemes the server is held to the primary key."""
    dialect = sa.create_engine(url).dialect
    given = guards.normalise("error")
    sql = text(statement.batch(shape(*given, aged=True)), dialect)
    assert sql.startswith("UPDATE instances FORCE INDEX (PRIMARY) SET")
    assert "WHERE id IN (__[POSTCOMPILE_key_ids]) AND deleted = 0" in sql
    assert "AND coalesce(updated_at, created_at) < " in sql


def test_a_batch_on_sqlite_has_no_hint() -> None:
    """SQLite does not know index hints."""
    sql = text(statement.batch(shape(*guards.normalise("error"))), SQLITE)
    assert sql.startswith("UPDATE instances SET")


def test_candidates_are_read_without_locks() -> None:
    """The ids come from a plain read, with the caller's limit."""
    given = guards.normalise("error")
    built = statement.candidates(shape(*given), limited=True)
    assert text(built, MYSQL) == (
        "SELECT id FROM instances WHERE deleted = 0 "
        "AND vm_state = :guard_vm_state LIMIT :row_limit"
    )


@DIALECTS
def test_values_are_never_part_of_the_text(dialect: sa.Dialect) -> None:
    """Whatever a value holds, it is bound."""
    evil = "' OR 1=1 --"
    given = guards.normalise(expected={"host": [evil, "x"], "node": evil})
    for built in (
        statement.single(shape(*given)),
        statement.judged(shape(*given), locking=False),
        statement.batch(shape(*given)),
    ):
        assert evil not in text(built, dialect)
    assert statement.guard_parameters(given) == {
        "guard_host": [evil, "x"],
        "guard_node": evil,
    }


def test_one_shape_is_built_once() -> None:
    """Calls that differ in values share one statement object."""
    one = shape(*guards.normalise("active", "spawning"))
    other = shape(*guards.normalise("error", "deleting"))
    assert statement.single(one) is statement.single(other)


def test_the_cache_is_bounded() -> None:
    """Ten thousand shapes do not stay in memory."""
    for cached in (statement.single, statement.judged, statement.batch):
        assert cached.cache_info().maxsize is not None
