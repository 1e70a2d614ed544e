# SPDX-License-Identifier: Apache-2.0
"""Actions on Nova's own objects and threads; run by a Nova release's Python.

Arguments: the URL of a cell database, and the uuids of four active servers of
the project ``mine`` in it. What each scenario found is printed in one line of
JSON; the test that runs this file reads it.
"""

import eventlet

eventlet.monkey_patch()

import contextlib  # noqa: E402 - after the threads are green
import json  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from nova import config  # noqa: E402
from nova import context as nova_context  # noqa: E402
from nova import objects  # noqa: E402
from nova.compute import api as compute_api  # noqa: E402
import nova.conf  # noqa: E402
from nova.db.main import api as nova_db  # noqa: E402

from nova_db_states import actions  # noqa: E402
from nova_db_states import api  # noqa: E402
from nova_db_states import exceptions  # noqa: E402

STOP = {"action": "stop"}


class Methods:
    """Methods as Nova has them, under its decorators and over them."""

    def __init__(self) -> None:
        self.ran = 0

    @compute_api.check_instance_lock
    @actions.instance_action("stop")
    @compute_api.check_instance_host()
    def stop(self, context: Any, instance: Any) -> None:
        """Stop, which takes a moment."""
        del context, instance
        eventlet.sleep(0.01)
        self.ran += 1

    @actions.check_instance_state(vm_state=["active"])
    def attach(self, context: Any, instance: Any) -> str:
        """Attach something."""
        del context, instance
        return "attached"


def remembered(context: Any, uuid: str) -> dict[str, Any]:
    """Claim with an object that has changes of its own, and save it late."""
    instance = objects.Instance.get_by_uuid(context, uuid, expected_attrs=[])
    instance.display_name = "mine"
    Methods().stop(context, instance)
    found = {
        "task_state": instance.task_state,
        "dirty": sorted(instance.obj_what_changed()),
    }
    api.instance_update(context, uuid, {"task_state": "deleting"})
    instance.save()
    instance.refresh()
    return {**found, "saved": [instance.display_name, instance.task_state]}


def stale(context: Any, uuid: str) -> list[str]:
    """Ask with an object that still looks fine."""
    instance = objects.Instance.get_by_uuid(context, uuid, expected_attrs=[])
    api.instance_update(context, uuid, {"vm_state": "error"})
    found = []
    for method in (Methods().attach, Methods().stop, Methods().stop):
        try:
            method(context, instance)
        except exceptions.InstanceUpdateConflict as conflict:
            found.append(str(conflict.state))
        else:
            found.append(str(instance.task_state))
    return found


def projects(uuid: str) -> list[str]:
    """Ask as users of two projects."""
    found = []
    for project in ("yours", "mine"):
        context = nova_context.RequestContext(user_id="u", project_id=project)
        instance = objects.Instance(uuid=uuid, host="c", locked=False)
        try:
            Methods().stop(context, instance)
        except exceptions.InstanceNotFound as error:
            found.append(type(error).__name__)
        else:
            found.append("stopped")
    return found


def green(context: Any, uuid: str) -> dict[str, Any]:
    """Race green threads for a claim, and kill the worker of the winner."""
    methods = Methods()

    def stop() -> str:
        instance = objects.Instance(uuid=uuid, host="c", locked=False)
        try:
            methods.stop(context.elevated(), instance)
        except exceptions.UnexpectedTaskStateError as conflict:
            return type(conflict).__name__
        return "stopped"

    threads = [eventlet.spawn(stop) for _ in range(8)]
    raced = [thread.wait() for thread in threads]
    begun = eventlet.event.Event()

    def work() -> None:
        with actions.task(context, uuid, "powering-off", **STOP):
            begun.send()
            eventlet.sleep(60)

    worker = eventlet.spawn(work)
    begun.wait()
    before = api.instance_check(context, uuid)
    worker.kill()
    # It still has to talk to the database.
    with contextlib.suppress(eventlet.greenlet.GreenletExit):
        worker.wait()
    return {
        "ran": methods.ran,
        "raced": sorted(raced),
        "before": before,
        "after": api.instance_check(context, uuid),
    }


def main(url: str, *uuids: str) -> None:
    """Play every scenario."""
    # It knows the options of osprofiler too.
    config.parse_args(
        ["nova-conductor"],
        default_config_files=[],
        configure_db=False,
        init_rpc=False,
    )
    nova.conf.CONF.set_override("connection", url, "database")
    nova_db.configure(nova.conf.CONF)
    objects.register_all()
    api.register_resolver(nova_db.get_context_manager)
    context = nova_context.get_admin_context()
    found = {
        "remembered": remembered(context, uuids[0]),
        "stale": stale(context, uuids[1]),
        "projects": projects(uuids[2]),
        "green": green(context, uuids[3]),
        "stuck": sorted(
            one.instance_uuid for one in actions.stuck(context, 0)
        ),
    }
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
