# SPDX-License-Identifier: Apache-2.0
"""Heartbeats hide nothing from the polls of real Nova releases."""

from collections.abc import Callable
import datetime
import json
import os
import pathlib
import subprocess
from typing import Final

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import states
from nova_db_states._actions import watch
from tests.resources import rows
from tests.resources import schema
from tests.resources import watched
from tools import nova_venvs

# What ComputeManager does once in a minute with its own host, driver and
# database; and the query of nova/db/main/api.py that asks for the same.
_POLL: Final = """
import json
import sys
import types

from nova import config
from nova import context as nova_context
import nova.conf
from nova import objects
from nova.compute import manager
from nova.db.main import api as nova_db

# It knows the options of osprofiler too.
config.parse_args(
    ["nova-conductor"],
    default_config_files=[],
    configure_db=False,
    init_rpc=False,
)
nova.conf.CONF.set_override("connection", sys.argv[1], "database")
nova.conf.CONF.set_override("reboot_timeout", 60)
nova_db.configure(nova.conf.CONF)
objects.register_all()
context = nova_context.get_admin_context()
polled = []
service = types.SimpleNamespace(
    host="compute1",
    driver=types.SimpleNamespace(
        poll_rebooting_instances=lambda _, found: polled.extend(found)
    ),
)
manager.ComputeManager._poll_rebooting_instances(service, context)
hung = nova_db.instance_get_all_hung_in_rebooting(context, 60)
print(json.dumps(
    [[one.uuid for one in polled], [one["uuid"] for one in hung]]
))
"""

_THEN: Final = datetime.datetime(2026, 1, 2)


def poll(release: str, url: str) -> tuple[set[str], set[str]]:
    """Ask a Nova release which of its reboots are hung."""
    nova_venvs.ensure(release)
    done = subprocess.run(
        [str(nova_venvs.python(release)), "-c", _POLL, url],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    polled, hung = json.loads(done.stdout.splitlines()[-1])
    return set(polled), set(hung)


def check(url: str, release: str) -> None:
    """Nova finds the same with a watch on every instance as without.

    In each state one instance is watched and one is not.
    """
    engine = sa.create_engine(url)
    alone: dict[str, str] = {}
    together: dict[str, str] = {}
    context = api.connect(url)
    for state in states.TaskState:
        for found in (alone, together):
            instance = rows.insert_instance(
                engine, task_state=str(state), updated_at=_THEN
            )
            found[instance] = str(state)
    for instance, expected in together.items():
        clock = watched.Clock()
        made = watch.watch(context, instance, expected, clock=clock)
        for percent in (10, 20):
            clock.now += watched.INTERVAL_S
            made.checkpoint(progress=percent)
        row = rows.read_instance(engine, instance)
        assert row["progress"] == 20
        left_alone = expected in watch.POLLED_BY_AGE
        assert (row["updated_at"] == _THEN) is left_alone
    polled, hung = poll(release, url)
    for found in (alone, together):
        assert {
            state for uuid, state in found.items() if uuid in polled
        } == set(watch.POLLED_BY_AGE)
        assert {state for uuid, state in found.items() if uuid in hung} == {
            states.TaskState.REBOOTING
        }
    context.close()
    engine.dispose()


@pytest.mark.parametrize("release", schema.RELEASES)
def test_hung_reboots_on_sqlite(
    make_nova_sqlite: Callable[[str], str], release: str
) -> None:
    """Every supported release still finds them."""
    check(make_nova_sqlite(release), release)


def test_hung_reboots_on_mariadb(
    shared_mariadb_cell: schema.SharedCell,
) -> None:
    """The newest release does on MariaDB too."""
    check(shared_mariadb_cell.url("mysql+pymysql"), schema.NEWEST)


# Two greenlets let endless data through one watch; another one deletes the
# server while a heartbeat may be under way.
_GREENLETS: Final = """
import eventlet

eventlet.monkey_patch()

import sys
import time

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states._actions import watch

url, instance = sys.argv[1:]
context = api.connect(url)
watched = watch.watch(context, instance, interval_s=0.2)
passed = [0, 0]


def endless():
    while True:
        time.sleep(0.01)
        yield b"x"


def work(number):
    try:
        for _ in watched.iterate(endless()):
            passed[number] += 1
    except exceptions.UnexpectedDeletingTaskStateError:
        return time.monotonic()


works = [eventlet.spawn(work, number) for number in range(2)]
time.sleep(0.5)
api.instance_update(context, instance, {"task_state": "deleting"})
deleted = time.monotonic()
print(max(each.wait() for each in works) - deleted, *passed)
"""


@pytest.mark.parametrize("release", schema.RELEASES[:1])
def test_greenlets(
    shared_mariadb_cell: schema.SharedCell, release: str
) -> None:
    """Under eventlet, which Nova's services run on, it is the same."""
    nova_venvs.ensure(release)
    url = shared_mariadb_cell.url("mysql+pymysql")
    engine = sa.create_engine(url)
    instance = rows.insert_instance(engine, task_state="spawning")
    engine.dispose()
    done = subprocess.run(
        [str(nova_venvs.python(release)), "-c", _GREENLETS, url, instance],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **os.environ,
            "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert done.returncode == 0, done.stderr
    seconds, *passed = done.stdout.split()
    # The second one is for a machine that has more to do than this.
    assert float(seconds) <= 0.2 + 1.0
    assert all(int(count) > 5 for count in passed)
