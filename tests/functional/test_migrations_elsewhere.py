# SPDX-License-Identifier: Apache-2.0
"""Migrations where there is no single MariaDB server: Galera and SQLite."""

from collections.abc import Callable
import dataclasses
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import pool

from nova_db_states import exceptions
from nova_db_states import migrations
from tests.resources import mariadb
from tests.resources import schema
from tests.resources import servers


def _engine(url: str) -> sa.Engine:
    return sa.create_engine(url, poolclass=pool.NullPool)


@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
def test_sqlite_blocked(nova_sqlite_url: str, mode: str) -> None:
    """A writer that holds an SQLite file is waited for just as long."""
    engine = _engine(nova_sqlite_url)
    once = dataclasses.replace(migrations.PATIENT, max_attempts=1)
    with _engine(nova_sqlite_url).connect() as connection:
        connection.exec_driver_sql(f"BEGIN {mode}")
        began = time.monotonic()
        with pytest.raises(exceptions.MigrationBlocked, match="fuser"):
            migrations.upgrade(engine, lock_timeout_s=1, policy=once)
        assert 0.9 < time.monotonic() - began < 2
        connection.exec_driver_sql("ROLLBACK")
    assert migrations.upgrade(engine)[0].action == "created"


def test_galera(
    make_mariadb: Callable[..., mariadb.MariaDBServer],
    mariadb_server: servers.Server,
    shared_mariadb_cell: schema.SharedCell,
) -> None:
    """A cluster is refused until the operator asks for total order.

    One node is a cluster too; ``cluster/test_migrations.py`` has three.
    """
    cell = shared_mariadb_cell.database
    [(_, statement)] = mariadb_server.execute(
        f"SHOW CREATE TABLE `{cell}`.instances"
    )
    node = make_mariadb(
        wsrep_on="ON",
        wsrep_provider="/usr/lib/galera/libgalera_smm.so",
        wsrep_cluster_address="gcomm://",
        wsrep_node_address="127.0.0.1",
        wsrep_provider_options="gmcast.listen_addr=tcp://127.0.0.1:"
        f"{mariadb.free_port()}",
        binlog_format="ROW",
    )
    node_url = node.url(node.create_database("cell"))
    engine = _engine(node_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(str(statement))
    assert len(migrations.missing(engine)) == 1
    by_node = migrations.statements(engine)
    assert by_node[0].endswith("SET SESSION wsrep_OSU_method = 'RSU';")
    with pytest.raises(exceptions.UnsupportedDatabase, match="--galera=toi"):
        migrations.upgrade(engine)
    assert len(migrations.missing(engine)) == 1
    [step] = migrations.upgrade(engine, allow_toi=True)
    assert step.action == "created"
    # Nothing to do needs no permission.
    [step] = migrations.upgrade(engine)
    assert step.action == "present"
    with pytest.raises(exceptions.UnsupportedDatabase, match="--galera=toi"):
        migrations.downgrade(engine)
    assert migrations.downgrade(engine, allow_toi=True)[0].action == "dropped"
    # What a DBA runs node by node is not replicated, and does the same.
    _run_by_hand(engine, by_node)
    assert migrations.missing(engine) == ()
    _run_by_hand(engine, migrations.statements(engine, down=True))
    assert len(migrations.missing(engine)) == 1


def _run_by_hand(engine: sa.Engine, statements: tuple[str, ...]) -> None:
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        method = connection.exec_driver_sql("SELECT @@wsrep_OSU_method")
        # Whoever goes on in that session means all nodes again.
        assert method.scalar_one() == "TOI"
