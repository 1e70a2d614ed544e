# SPDX-License-Identifier: Apache-2.0
"""Indexes on a cluster: what is said of it, and both ways to change it."""

from collections.abc import Callable, Iterable, Iterator
import contextlib
from contextlib import AbstractContextManager
import dataclasses
import re
import shlex

from oslo_db import exception as db_exc
import pymysql
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states.cmd import shell
from tests import conftest as shared
from tests.functional.cluster import conftest
from tests.functional.cluster import live_cells
from tests.resources import galera
from tests.resources import rows
from tests.resources import schema

ONCE = dataclasses.replace(migrations.PATIENT, max_attempts=1)


@pytest.fixture
def cell(cluster: galera.Cluster, hold: shared.Hold) -> conftest.ClusterCell:
    """Give a cell with many instances, to be changed."""
    made = hold(schema.nova_mariadb(schema.NEWEST))
    return live_cells.without_index(cluster, made)


@pytest.fixture
def nova_url(cell: conftest.ClusterCell) -> Iterator[str]:
    """Give the URL of a user with the grant of Nova's install guide."""
    node = cell.cluster.nodes[0]
    node.execute("CREATE USER 'nova'@'%' IDENTIFIED BY 'se-cr-et'")
    node.execute(f"GRANT ALL PRIVILEGES ON `{cell.database}`.* TO 'nova'@'%'")
    url = sa.make_url(cell.url(0)).set(username="nova", password="se-cr-et")
    yield url.render_as_string(hide_password=False)
    node.execute("DROP USER 'nova'@'%'")


def test_both_ways_are_laid_out(
    cell: conftest.ClusterCell,
    nova_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a word on how, nothing happens but an answer that can be read.

    Nova's own user sees all nodes by their addresses; who may read their
    names too sees those.
    """
    assert shell.main(["db", "upgrade", "--db", nova_url]) == 2
    said = capsys.readouterr().err
    # But for the URL, behind the name of the cell.
    _, *lines = said.splitlines()
    assert max(map(len, lines)) <= 79
    flat = " ".join(said.split())
    assert "This is node1, one of 3 nodes of a Galera cluster." in flat
    assert re.search(r"meanwhile: (up to )?about \d+( s to \d+)? s", flat)
    assert re.search(
        r"an estimate, from about 1[12]\d,\d{3} rows, \d+ MB", flat
    )
    assert "--galera=toi" in said
    assert "se-cr-et" not in said
    for node in cell.cluster.nodes:
        url = f"nova:***@127.0.0.1:{node.port}/{cell.database}"
        assert f"--db 'mysql+pymysql://{url}'" in said
    shell.main(["db", "upgrade", "--db", cell.url(1)])
    said = capsys.readouterr().err
    for node in cell.cluster.nodes:
        assert f"  {node.name}: nova-db-states db sql \\\n" in said
    assert live_cells.states(cell) == ["missing"] * 3


def test_total_order_is_announced(
    cell: conftest.ClusterCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The estimate comes first, then it is done on all nodes, up and down."""
    command = ["--galera=toi", "--db", cell.url(1)]
    assert shell.main(["db", "upgrade", *command]) == 0
    captured = capsys.readouterr()
    assert "created" in captured.out
    said = " ".join(captured.err.split())
    assert "No node commits a write to any table meanwhile" in said
    assert "an estimate" in said
    assert live_cells.states(cell) == ["present"] * 3
    assert shell.main(["db", "upgrade", "--db", cell.url(2)]) == 0
    assert "present" in capsys.readouterr().out
    assert shell.main(["db", "downgrade", "--db", cell.url(0)]) == 2
    assert "nova-db-states db sql --down" in capsys.readouterr().err
    assert live_cells.states(cell) == ["present"] * 3
    assert shell.main(["db", "downgrade", *command]) == 0
    assert "Dropping" in capsys.readouterr().err
    assert live_cells.states(cell) == ["missing"] * 3


def test_total_order_under_load(cell: conftest.ClusterCell) -> None:
    """No guarded update fails, none is lost, and none is applied twice.

    They wait about as long as the change takes. A transaction that has the
    table open is rolled back, whichever node it is on, and is not waited for.
    """
    with (
        live_cells.written(cell, (0, 1, 2)) as writers,
        live_cells.open_transaction(cell.url(0)) as here,
        live_cells.open_transaction(cell.url(1)) as there,
    ):
        step = live_cells.upgrade(cell.url(0), lock_timeout_s=1, policy=ONCE)
        assert live_cells.states(cell) == ["present"] * 3
        for transaction in (here, there):
            with pytest.raises(pymysql.err.OperationalError) as caught:
                transaction.query("SELECT 1")
            assert caught.value.args[0] == 1213
    assert (step.action, step.attempts) == ("created", 1)
    longest = max(writer.longest_s for writer in writers)
    # The slowest node is not always the one that was asked.
    assert longest < 3 * step.elapsed_s + 5
    live_cells.check_tables(cell)


@pytest.mark.parametrize("ends", ["at a statement", "at the commit"])
def test_a_callers_transaction_is_to_begin_anew(
    cell: conftest.ClusterCell, cluster_scheme: str, ends: str
) -> None:
    """Under both URL schemes its caller gets the class that says so."""
    engine = live_cells.engine(cell.url(0))
    instance = rows.insert_instance(engine, progress=0)

    def transact(*steps: Callable[[], object]) -> None:
        with context.begin():
            for step in steps:
                step()

    def count() -> None:
        api.instance_update(
            context, instance, {"progress": 1}, expected={"progress": 0}
        )

    def upgrade() -> None:
        live_cells.upgrade(cell.url(1))
        cell.cluster.nodes[0].catch_up()

    def read() -> None:
        api.instance_check(context, instance)

    with contextlib.closing(
        api.connect(cell.url(0, cluster_scheme))
    ) as context:
        with pytest.raises(db_exc.DBDeadlock):
            transact(count, upgrade, *[read] * (ends == "at a statement"))
        transact(count, read)
    assert rows.read_instance(engine, instance)["progress"] == 1


def _run(url: str, lines: Iterable[str]) -> None:
    """Run lines of SQL in one session."""
    with live_cells.engine(url).connect() as session:
        for line in lines:
            if not line.startswith("--"):
                session.exec_driver_sql(line)


def _run_printed(
    command: str, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Run a command as it was printed, and what it prints as a DBA would.

    Gives what ``db check`` then says.
    """
    program, *arguments = shlex.split(command)
    assert program == "nova-db-states"
    capsys.readouterr()
    assert shell.main(arguments) == 0
    printed = capsys.readouterr().out
    url = arguments[-1]
    _run(url, printed.splitlines())
    shell.main(["db", "check", "--db", url, "-f", "value", "-c", "State"])
    return capsys.readouterr().out.split()


def _commands(said: str) -> list[str]:
    found = re.findall(
        r"(nova-db-states db sql.*?--db '.*?')", said, re.DOTALL
    )
    return [command.replace("\\\n", " ") for command in found]


def test_node_by_node(
    cell: conftest.ClusterCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed steps lead there and back while the other nodes write.

    Nodes with and without the index work together meanwhile.
    """
    for verb, before, after in (
        ("upgrade", "missing", "present"),
        ("downgrade", "present", "missing"),
    ):
        shell.main(["db", verb, "--db", cell.url(0)])
        commands = _commands(capsys.readouterr().err)
        assert len(commands) == 3
        now = [before] * 3
        for command in commands:
            [number] = [n for n in range(3) if cell.url(n) in command]
            others = [other for other in range(3) if other != number]
            with contextlib.ExitStack() as load:
                if after == "present":
                    load.enter_context(live_cells.written(cell, others))
                assert _run_printed(command, capsys) == [after]
                cell.cluster.nodes[number].wait_synced()
            now[number] = after
            assert live_cells.states(cell) == now
            _sweep_through_all(cell)
        assert now == [after] * 3
        live_cells.check_tables(cell)


def _sweep_through_all(cell: conftest.ClusterCell) -> None:
    """Change many rows by their state through each node in turn."""
    engine = live_cells.engine(cell.url(0))
    rows.insert_instances(engine, 5, vm_state="rescued", host="swept")
    states = ("rescued", "paused", "suspended", "rescued", "soft-delete")
    for url, before, after in zip(
        cell.urls(), states, states[1:], strict=False
    ):
        cell.cluster.wait_synced()
        with contextlib.closing(api.connect(url)) as context:
            changed = api.instances_update(
                context,
                {"vm_state": after},
                expected_vm_state=before,
                expected={"host": "swept"},
            )
        assert changed == 5
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "DELETE FROM instances WHERE host = 'swept'"
        )


def test_a_node_in_use_gives_up_by_itself(
    cell: conftest.ClusterCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Node by node, whoever has the table open there is not thrown out."""
    with live_cells.open_transaction(cell.url(0)) as transaction:
        statements = migrations.statements(
            live_cells.engine(cell.url(0)), lock_timeout_s=1
        )
        with pytest.raises(sa.exc.OperationalError, match="1205"):
            _run(cell.url(0), "\n".join(statements).splitlines())
        transaction.query("SELECT 1")
    cell.cluster.wait_synced()
    shell.main(["db", "upgrade", "--db", cell.url(0)])
    command = _commands(capsys.readouterr().err)[0]
    assert _run_printed(command, capsys) == ["present"]


def test_some_nodes_have_it_already(cell: conftest.ClusterCell) -> None:
    """Total order completes what was begun node by node, up and down."""
    url = cell.url(1)
    _run(
        url,
        "\n".join(migrations.statements(live_cells.engine(url))).splitlines(),
    )
    assert live_cells.states(cell) == ["missing", "present", "missing"]
    assert live_cells.upgrade(cell.url(0)).action == "created"
    assert live_cells.states(cell) == ["present"] * 3


def test_what_the_server_is_set_to_does_not_count(
    cell: conftest.ClusterCell,
) -> None:
    """Neither a limit for queries nor another method leaves a node out."""
    node = cell.cluster.nodes[0]
    node.execute("SET GLOBAL max_statement_time = 0.05")
    node.execute("SET GLOBAL wsrep_OSU_method = 'RSU'")
    try:
        assert live_cells.upgrade(cell.url(0)).action == "created"
    finally:
        node.execute("SET GLOBAL max_statement_time = 0")
        node.execute("SET GLOBAL wsrep_OSU_method = 'TOI'")
    assert live_cells.states(cell) == ["present"] * 3


@contextlib.contextmanager
def _desynced(node: galera.Node) -> Iterator[None]:
    node.execute("SET GLOBAL wsrep_desync = ON")
    try:
        yield
    finally:
        node.execute("SET GLOBAL wsrep_desync = OFF")


@contextlib.contextmanager
def _in_backup(node: galera.Node) -> Iterator[None]:
    with contextlib.closing(node.connect()) as connection:
        connection.query("FLUSH TABLES WITH READ LOCK")
        yield


@pytest.mark.parametrize("state", [_desynced, _in_backup])
def test_a_node_out_of_sync_changes_nothing(
    cell: conftest.ClusterCell,
    state: Callable[[galera.Node], AbstractContextManager[None]],
) -> None:
    """It is refused before anything is sent; what it has can be asked for."""
    engine = live_cells.engine(cell.url(0))
    with state(cell.cluster.nodes[0]):
        with pytest.raises(
            exceptions.MigrationError, match="node1 is Donor/Desynced and not"
        ):
            migrations.upgrade(engine, allow_toi=True, policy=ONCE)
        assert len(migrations.missing(engine)) == 1
    cell.cluster.wait_synced()
    assert live_cells.states(cell) == ["missing"] * 3


def test_a_node_without_its_cluster_changes_nothing(
    cell: conftest.ClusterCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command says so, whether it was connected before or not."""
    url, first = cell.url(0), cell.cluster.nodes[0]
    known = sa.create_engine(url)
    assert len(migrations.missing(known)) == 1
    first.isolate()
    for engine in (known, live_cells.engine(url)):
        for call in (
            migrations.upgrade,
            migrations.downgrade,
            migrations.status,
            migrations.statements,
        ):
            with pytest.raises(
                exceptions.MigrationError, match="Nothing was changed"
            ) as caught:
                call(engine)
            assert "primary component" in str(caught.value)
    for command in ("upgrade", "check", "sql"):
        assert shell.main(["db", command, "--db", url]) == 2
        assert "primary component" in capsys.readouterr().err
    known.dispose()
    first.rejoin()
    cell.cluster.wait_synced()
    assert live_cells.states(cell) == ["missing"] * 3


def test_a_node_behind_is_waited_for(
    cell: conftest.ClusterCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it has not applied yet is not taken for what is there."""
    first, _, third = cell.cluster.nodes
    url = cell.url(2)
    with third.provider("repl.causal_read_timeout", "PT1S"):
        with third.lag(first):
            assert live_cells.upgrade(cell.url(0)).action == "created"
            for command in ("check", "upgrade"):
                arguments = ["db", command, "--db", url]
                if command == "upgrade":
                    arguments += ["--attempts", "1"]
                assert shell.main(arguments) == 1
                captured = capsys.readouterr()
                assert "blocked" in captured.out
                assert "node3 did not apply in time" in captured.err
        # An upgrade under way when it goes on again finds it done.
        [step] = migrations.upgrade(live_cells.engine(url))
        assert step.action == "present"
