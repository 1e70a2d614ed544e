# SPDX-License-Identifier: Apache-2.0
"""What the figures of scale count is what the server did."""

import gc
import time

import sqlalchemy as sa

from benchmarks import cell
from benchmarks import core
from benchmarks import crew
from benchmarks import lasting
from benchmarks import peer
from benchmarks import raw
from benchmarks import rivals
from benchmarks import through_nova
from tests.resources import rows


def test_contenders_write_the_same(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """Plain PyMySQL, Core and this project set a task and clear it again."""
    instance = rows.insert_instance(mariadb_engine)
    connection = cell.connect_to(mariadb_cell_url)
    engine = core.engine(mariadb_cell_url, 1)
    for call in (
        raw.Flip(connection, [instance]),
        core.Flip(engine, [instance]),
        peer.our_calls(mariadb_cell_url, [instance])["hold"],
    ):
        for number, task_state in enumerate((peer.NEW_STATE, None)):
            call(number)
            row = rows.read_instance(mariadb_engine, instance)
            assert row["task_state"] == task_state
            assert row["updated_at"] is not None
    connection.close()
    engine.dispose()


def _play(
    url: str, instance: str, update: peer.Update, conflict: type[Exception]
) -> rivals.Answer:
    bystander = through_nova.Rival(sa.make_url(url))
    bystander.set_task(instance, None)
    return rivals.Rivals(update, conflict, instance, 8).rounds(4, bystander)


def test_race_has_one_winner(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """Of all who want a server one gets it, round after round."""
    instance = rows.insert_instance(mariadb_engine)
    answer = _play(
        mariadb_cell_url, instance, *peer.our_update(mariadb_cell_url, 8)
    )
    assert answer.winners == [1] * 4
    assert (answer.strangers, answer.errors) == (0, {})
    assert len(answer.seconds) == 4


def test_race_without_guard_is_seen(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """Where nobody is refused, everybody wins."""
    instance = rows.insert_instance(mariadb_engine)
    _, conflict = peer.our_update(mariadb_cell_url)

    def update(
        server: str, values: dict[str, object], _expected: str | None
    ) -> None:
        with mariadb_engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE instances SET task_state = :task_state,"
                    " progress = :progress WHERE uuid = :server"
                ),
                {**values, "server": server},
            )

    answer = _play(mariadb_cell_url, instance, update, conflict)
    assert answer.winners == [8] * 4


def test_race_that_nobody_writes_is_seen(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """A success that did not happen is not taken for one; errors count."""
    instance = rows.insert_instance(mariadb_engine)

    def update(
        _server: str, values: dict[str, object], _expected: str | None
    ) -> None:
        if values["progress"]:
            raise ConnectionError("as asked for")

    answer = _play(mariadb_cell_url, instance, update, LookupError)
    assert (answer.winners, answer.strangers) == ([1] * 4, 4)
    assert answer.errors == {"ConnectionError: as asked for": 28}


def test_crews_share_out_the_servers(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """No thread touches another's, so that every guard holds."""
    servers = rows.insert_instances(mariadb_engine, 6)
    for kind in ("raw", "core", "ours", "progress"):
        settings = crew.Settings(kind, mariadb_cell_url, 3, 3)
        workers = list(crew.workers(settings, servers))
        answer = crew.together(workers, time.monotonic(), 0.02)
        assert min(map(len, answer.seconds)) > 0
        assert (answer.failed, answer.errors) == (0, [])


def test_process_says_what_it_keeps(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """Updates, new shapes and common ones are made, refused ones included."""
    servers = rows.insert_instances(mariadb_engine, 4)
    process = lasting.Lasting(mariadb_cell_url, servers)
    before = process.updates(20)
    after = process.shapes(20)
    assert set(before) == {"resident", "blocks", "collected"}
    # Each shape is remembered, for as long as there is room.
    assert after["blocks"] > before["blocks"] + 20 * 20
    assert len(process.common(4)) == 4
    gc.callbacks.remove(process._count)
