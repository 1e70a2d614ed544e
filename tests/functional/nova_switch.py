# SPDX-License-Identifier: Apache-2.0
"""Run by tests/resources/clouds.py with the Python of a Nova release.

    nova_switch.py CASE nova.conf [ARGUMENT ...]

begins as a service of Nova's does, does what the case says and answers with
one line of JSON.
"""

import json
import logging
import os
import sys
import threading
from typing import Any

from nova import monkey_patch

if os.environ.get("SWITCH_EVENTLET"):
    monkey_patch.patch(backend="eventlet")

import pathlib

from nova import config
from nova import context as nova_context
from nova import objects
import nova.conf
from nova.db.api import api as api_db
from nova.db.main import api as main_db
from oslo_log import log

STALE = {"vm_state": "building", "task_state": "spawning"}
"""What nobody may write over a delete."""


def seams() -> list[int]:
    """Count the seams in place; none where nothing of ours is loaded."""
    counters = sys.modules.get("nova_db_states.nova.counters")
    if counters is None:
        return [0, 0]
    counts = counters.snapshot()
    return [counts["lower"], counts["upper"]]


def outcome(function: Any, *args: Any, **kwargs: Any) -> str:
    """Say what becomes of a call: ``done`` or an exception's class."""
    try:
        function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - that is the answer
        return type(error).__name__
    return "done"


def admin() -> Any:
    """Make a context."""
    return nova_context.get_admin_context()


def engines(cell_url: str) -> Any:
    """Make each engine of a service, and tell what they are."""
    at_first = [seams()]
    api_db.get_engine()
    at_first.append(seams())
    cell = main_db.create_context_manager(cell_url)
    every = {
        "cell": cell.writer.get_engine(),
        "writer": main_db.get_engine(),
        "replica": main_db.context_manager._factory._reader_engine,
        "api": api_db.get_engine(),
    }
    with every["cell"].begin() as connection:
        connection.exec_driver_sql("CREATE TABLE foreign_table (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO foreign_table VALUES (1)")
        connection.exec_driver_sql("DROP TABLE foreign_table")
    return {
        "at_first": at_first,
        "then": seams(),
        "urls": {
            name: engine.url.render_as_string(hide_password=False)
            for name, engine in every.items()
        },
    }


def lazy() -> Any:
    """Make an engine of a server that is not there."""
    main_db.get_engine()
    return seams()


def update(uuid: str) -> Any:
    """Use the database for the first time with an update."""
    return [outcome(main_db.instance_update, admin(), uuid, STALE), seams()]


def update_and_get(uuid: str) -> Any:
    """Use it so with the other function."""
    function = main_db.instance_update_and_get_original
    return [outcome(function, admin(), uuid, STALE), seams()]


def good_updates(uuid: str) -> Any:
    """Use the database for the first time with what is allowed."""
    old, new = main_db.instance_update_and_get_original(
        admin(),
        uuid,
        {"task_state": "powering-off", "expected_task_state": [None]},
    )
    kept = main_db.instance_update
    done = kept(admin(), uuid, {"vm_state": "stopped", "task_state": None})
    return [
        old["task_state"],
        new["task_state"],
        done["vm_state"],
        list(new["system_metadata"]),
        seams(),
    ]


def save(uuid: str) -> Any:
    """Use the database for the first time with an object that was sent."""
    server = objects.Instance(admin(), id=1, uuid=uuid)
    server.vm_state, server.task_state = "building", "networking"
    server.obj_reset_changes()
    server.vm_state, server.task_state = STALE.values()
    return [outcome(server.save), seams()]


def kept_function(uuid: str) -> Any:
    """Use a function of Nova's that was looked up before."""
    kept = main_db.instance_update
    main_db.get_engine()
    return [
        kept is main_db.instance_update,
        outcome(kept, admin(), uuid, STALE),
    ]


def threads(uuid: str) -> Any:
    """Let many threads be the first at once, each with an engine."""
    barrier = threading.Barrier(8)
    url = nova.conf.CONF.database.connection
    found = []

    def body() -> None:
        context = admin()
        context.db_connection = main_db.create_context_manager(url)
        barrier.wait()
        found.append(outcome(main_db.instance_update, context, uuid, STALE))

    every = [threading.Thread(target=body) for _ in range(8)]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    return [sorted(set(found)), len(found), seams()]


def greenthreads(uuid: str) -> Any:
    """Let many greenthreads be the first at once."""
    import eventlet

    url = nova.conf.CONF.database.connection

    def body(_: int) -> str:
        context = admin()
        context.db_connection = main_db.create_context_manager(url)
        eventlet.sleep(0)
        return outcome(main_db.instance_update, context, uuid, STALE)

    found = list(eventlet.GreenPool().imap(body, range(8)))
    return [sorted(set(found)), len(found), seams()]


def forks(uuid: str) -> Any:
    """Be a worker of a service, forked before the first use and after."""
    found = []
    for _ in range(2):
        reader, writer = os.pipe()
        if os.fork() == 0:
            result = outcome(main_db.instance_update, admin(), uuid, STALE)
            os.write(writer, json.dumps([result, seams()]).encode())
            os._exit(0)
        os.close(writer)
        found.append(json.loads(os.read(reader, 1000)))
        os.close(reader)
        os.wait()
        main_db.get_engine().dispose()
    return found


def plain(uuid: str) -> Any:
    """Be a Nova that is not guarded: what happens, and twice."""
    return [
        outcome(main_db.instance_update, admin(), uuid, STALE),
        outcome(main_db.instance_update, admin(), uuid, STALE),
        seams(),
    ]


def broken(uuid: str) -> Any:
    """Let a part of the plugin not be importable."""
    sys.modules["nova_db_states.nova.rows"] = None  # type: ignore[assignment]
    return plain(uuid)


def half(uuid: str) -> Any:
    """Let the last thing fail that is put into Nova."""
    before = dict(vars(main_db)), dict(vars(objects.Instance))
    del objects.InstanceList.get_by_host
    result = plain(uuid)
    return [
        *result,
        before == (dict(vars(main_db)), dict(vars(objects.Instance))),
    ]


def modes(uuid: str) -> Any:
    """Change the mode in the file, and reload it as a SIGHUP does."""
    file = sys.argv[2]
    with pathlib.Path(file).open(encoding="utf-8") as stream:
        text = stream.read()
    found = {}
    for mode in ("enforce", "observe", "off", "enforce"):
        with pathlib.Path(file).open("w", encoding="utf-8") as stream:
            stream.write(f"{text}\n[nova_db_states]\nmode = {mode}\n")
        nova.conf.CONF.mutate_config_files()
        result = outcome(main_db.instance_update, admin(), uuid, STALE)
        found[f"{mode} {len(found)}"] = result
        if result == "done":
            nova.conf.CONF.set_override("mode", "off", "nova_db_states")
            main_db.instance_update(admin(), uuid, {"task_state": "deleting"})
            nova.conf.CONF.clear_override("mode", "nova_db_states")
    return found


def object_seam() -> Any:
    """Be a process without a database: which seams are there at once."""
    return seams()


def main() -> None:
    """Begin as a service of Nova's does."""
    case, file = sys.argv[1:3]
    config.parse_args(["nova", f"--config-file={file}"])
    log.setup(nova.conf.CONF, "nova")
    logging.captureWarnings(True)
    objects.register_all()
    sys.stdout.write(json.dumps(globals()[case](*sys.argv[3:])) + "\n")


main()
