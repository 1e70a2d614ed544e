# SPDX-License-Identifier: Apache-2.0
"""A nova-conductor at the other end of a pipe.

``rpc_conductor.py URL [plugin]``: Nova's own ``ConductorManager`` on a cell
database. A line of standard input is a call, a line of standard output what
came of it; both are what Nova's serializers and oslo.messaging make of them.
Calls that begin with an underscore are for the test and not Nova's.
"""

import logging
import sys
from typing import Any

plugin = "plugin" in sys.argv[2:]
if plugin:
    from nova_db_states.nova import activation

    activation.activate()

from nova import config  # noqa: E402 - the plugin comes before Nova
from nova import objects  # noqa: E402
from nova import rpc  # noqa: E402
from nova.conductor import manager  # noqa: E402
import nova.conf  # noqa: E402
from nova.db.main import api as main_db  # noqa: E402
from nova.objects import base  # noqa: E402
from nova.objects import instance as instance_objects  # noqa: E402
import oslo_messaging  # noqa: E402
from oslo_messaging._drivers import common  # noqa: E402
from oslo_serialization import jsonutils  # noqa: E402


class Told(logging.Handler):
    """Keeps what the plugin says of conflicts."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


class Conductor:
    """The manager, and what the test asks beside it."""

    def __init__(self, told: Told) -> None:
        # Nova's own way would look for a scheduler and for placement.
        self._manager = manager.ConductorManager.__new__(
            manager.ConductorManager
        )
        self._told = told

    def call(self, context: Any, method: str, arguments: Any) -> Any:
        """Do what was asked."""
        target = self if method.startswith("_") else self._manager
        return getattr(target, method)(context, **arguments)

    def _lines(self, context: Any) -> list[str]:
        """Give the lines about conflicts since the last time."""
        del context
        lines = list(self._told.lines)
        self._told.lines.clear()
        return lines

    def _counters(self, context: Any) -> dict[str, int]:
        """Give the plugin's counters; nothing without the plugin."""
        del context
        counters = sys.modules.get("nova_db_states.nova.counters")
        return counters.snapshot() if counters else {}

    def _newer(self, context: Any, uuid: str, task_state: str) -> Any:
        """Give an object of a version that nobody else knows, changed."""

        @base.NovaObjectRegistry.register
        class Instance(instance_objects.Instance):  # type: ignore[misc]
            VERSION = "2.99"

        server = Instance.get_by_uuid(context, uuid)
        server.task_state = task_state
        return server


def main() -> None:
    """Answer until the other side goes."""
    told = Told()
    logger = logging.getLogger("nova_db_states")
    logger.setLevel(logging.INFO)
    logger.addHandler(told)
    config.parse_args(
        ["nova"], default_config_files=[], configure_db=False, init_rpc=False
    )
    nova.conf.CONF.set_override("connection", sys.argv[1], "database")
    main_db.configure(nova.conf.CONF)
    objects.register_all()
    serializer = rpc.RequestContextSerializer(base.NovaObjectSerializer())
    conductor = Conductor(told)
    for line in sys.stdin:
        asked = jsonutils.loads(line)
        context = serializer.deserialize_context(asked["context"])
        try:
            arguments = {
                name: serializer.deserialize_entity(context, value)
                for name, value in asked["args"].items()
            }
            result = conductor.call(context, asked["method"], arguments)
            said = {"result": serializer.serialize_entity(context, result)}
        except oslo_messaging.ExpectedException as error:
            failure = common.serialize_remote_exception(error.exc_info)
            said = {"failure": failure}
        except Exception:  # noqa: BLE001 - goes to the other side, as by RPC
            failure = common.serialize_remote_exception(sys.exc_info())
            said = {"failure": failure}
        sys.stdout.write(jsonutils.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
