# SPDX-License-Identifier: Apache-2.0
"""A process as nova-compute is one: no database, a conductor on a pipe.

``rpc_compute.py URL OTHER_PYTHON SIDES``: plays every scenario, and prints as
JSON what came of each. The sides that have the plugin are in the last
argument, as ``compute``, ``conductor`` or both with a comma between. The URL
is for the conductor, and for the hands of somebody else in the same row.
"""

import json
import pathlib
import subprocess
import sys
from typing import Any

SIDES = sys.argv[3].split(",")
if "compute" in SIDES:
    from nova_db_states.nova import activation

    activation.activate()

from nova import config  # noqa: E402
from nova import context as nova_context  # noqa: E402
from nova import exception  # noqa: E402
from nova import objects  # noqa: E402
from nova import rpc  # noqa: E402
from nova.conductor import rpcapi  # noqa: E402
from nova.network import model as network_model  # noqa: E402
from nova.objects import base  # noqa: E402
from oslo_versionedobjects import base as ovo_base  # noqa: E402
import sqlalchemy as sa  # noqa: E402

from tests.nova_side import rpc_pipe  # noqa: E402

KEY = "nova_db_states"

# A function of nova-compute, as far as anybody can see.
WRITER = """
class ComputeManager:
    def spawn_it(self, server):
        server.save()
"""


class Scenarios:
    """What happens between the two sides; each gives what came of it."""

    def __init__(self, pipe: rpc_pipe.Pipe, engine: sa.Engine) -> None:
        self.pipe = pipe
        self.engine = engine
        self.context = nova_context.get_admin_context()

    def play(self) -> dict[str, Any]:
        """Play all of them."""
        return {
            name: getattr(self, name)()
            for name in sorted(vars(type(self)))
            if name[0] != "_" and name != "play"
        }

    def _made(self, vm_state: Any = "active", task_state: Any = None) -> Any:
        server = objects.Instance(
            self.context,
            project_id="project",
            user_id="user",
            host="host1",
            vm_state=vm_state,
            task_state=task_state,
        )
        server.create()
        return self._read(server)

    def _read(self, server: Any) -> Any:
        return objects.Instance.get_by_uuid(self.context, server.uuid)

    def _other(self, server: Any, **values: Any) -> None:
        settings = ", ".join(f"{name} = :{name}" for name in values)
        with self.engine.begin() as connection:
            connection.execute(
                sa.text(f"UPDATE instances SET {settings} WHERE uuid = :key"),
                {**values, "key": server.uuid},
            )

    def _row(self, server: Any) -> str:
        with self.engine.begin() as connection:
            row = connection.execute(
                sa.text(
                    "SELECT vm_state, task_state FROM instances "
                    "WHERE uuid = :key"
                ),
                {"key": server.uuid},
            ).one()
        return f"{row[0]}/{row[1]}"

    def _dirty(self, server: Any) -> str:
        names = sorted(server.obj_what_changed())
        return f"{server.vm_state}/{server.task_state} {','.join(names)}"

    def guarded_chain(self) -> list[str]:
        """Go through what Nova guards itself."""
        server = self._made("building", "scheduling")
        said = []
        for vm_state, task_state, expected in (
            ("building", None, ["scheduling", None]),
            ("building", "networking", [None]),
            ("building", "block_device_mapping", None),
            ("building", "spawning", ["block_device_mapping"]),
            ("active", None, ["spawning"]),
        ):
            server.vm_state = vm_state
            server.task_state = task_state
            said.append(
                rpc_pipe.attempt(server.save, expected_task_state=expected)
            )
        return [*said, self._row(server)]

    def over_a_delete(self) -> list[str]:
        """Build on over a delete, then save something else."""
        server = self._made("building", "networking")
        self._other(server, task_state="deleting")
        server.task_state = "block_device_mapping"
        said = [rpc_pipe.attempt(server.save), self._dirty(server)]
        server.progress = 7
        said.append(rpc_pipe.attempt(server.save))
        return [*said, self._row(server)]

    def expectation_fails(self) -> list[str]:
        """Expect something that is not so, as Nova does."""
        server = self._made()
        self._other(server, task_state="powering-off")
        server.task_state = "rebooting"
        said = rpc_pipe.attempt(server.save, expected_task_state=[None])
        return [said, self._dirty(server), self._row(server)]

    def suspend_of_an_error(self) -> list[str]:
        """Find another ``vm_state``, and the ``task_state`` as it was."""
        server = self._made()
        self._other(server, vm_state="error")
        server.task_state = "suspending"
        said = rpc_pipe.attempt(server.save, expected_task_state=[None])
        return [said, self._row(server)]

    def stale(self) -> list[str]:
        """Come too late where nothing but a belief can tell."""
        server = self._made()
        self._other(server, vm_state="stopped")
        server.task_state = "rebuilding"
        said = rpc_pipe.attempt(server.save)
        return [said, self._dirty(server), self._row(server)]

    def stale_of_a_list(self) -> list[str]:
        """Do the same with an object out of a list."""
        made = self._made()
        [server] = objects.InstanceList.get_by_filters(
            self.context, {"uuid": made.uuid}
        )
        self._other(server, vm_state="stopped")
        server.task_state = "rebuilding"
        return [rpc_pipe.attempt(server.save), self._row(server)]

    def stale_of_a_replica(self) -> list[str]:
        """Write with an object of a replica, which may be old."""
        made = self._made()
        servers = objects.InstanceList.get_by_host(
            self.context, "host1", use_slave=True
        )
        server = next(one for one in servers if one.uuid == made.uuid)
        self._other(server, vm_state="stopped")
        server.task_state = "rebuilding"
        return [rpc_pipe.attempt(server.save), self._row(server)]

    def stale_of_an_older_version(self) -> list[str]:
        """Do the same with an object of an old version."""
        made = self._made()
        versions = {**ovo_base.obj_tree_get_versions("Instance")}
        versions["Instance"] = "2.6"
        server = base.NovaObject.indirection_api.object_class_action_versions(
            self.context,
            "Instance",
            "get_by_uuid",
            versions,
            (made.uuid,),
            {},
        )
        self._other(server, vm_state="stopped")
        server.task_state = "rebuilding"
        return [
            server.VERSION,
            rpc_pipe.attempt(server.save),
            self._row(server),
        ]

    def stale_of_a_newer_version(self) -> list[str]:
        """Do the same with one that has to be made older first."""
        made = self._made()
        server = self.pipe.call(
            self.context, "_newer", uuid=made.uuid, task_state="rebuilding"
        )
        self._other(server, vm_state="stopped")
        return [rpc_pipe.attempt(server.save), self._row(server)]

    def from_nova_alone(self) -> list[str]:
        """Save an object that a plain nova-api changed and sent."""
        server = self._made("stopped")
        server.task_state = "powering-on"
        primitive = server.obj_to_primitive()
        primitive.pop(KEY, None)
        sent = objects.Instance.obj_from_primitive(primitive, self.context)
        return [rpc_pipe.attempt(sent.save), self._row(server)]

    def by_hand(self) -> list[str]:
        """Make an object only to write an error with it."""
        said = []
        for task_state in ("rebuilding", "deleting"):
            made = self._made("active", task_state)
            server = objects.Instance(
                self.context,
                uuid=made.uuid,
                vm_state="error",
                task_state=None,
            )
            server.obj_reset_changes(["uuid"])
            said += [rpc_pipe.attempt(server.save), self._row(server)]
        return said

    def delete_comes_late(self) -> list[str]:
        """Delete in spite of a belief that is wrong."""
        server = self._made()
        self._other(server, vm_state="error", task_state="rebuilding")
        server.task_state = "deleting"
        said = [rpc_pipe.attempt(server.save), self._row(server)]
        server.vm_state = "deleted"
        server.task_state = None
        said += [rpc_pipe.attempt(server.save), self._row(server)]
        return [*said, rpc_pipe.attempt(server.destroy)]

    def nothing_to_write(self) -> list[str]:
        """Expect something without a change."""
        server = self._made()
        said = rpc_pipe.attempt(server.save, expected_task_state=[None])
        self._other(server, task_state="deleting")
        return [
            said,
            rpc_pipe.attempt(server.save, expected_task_state=[None]),
        ]

    def refreshed(self) -> list[str]:
        """Refresh, and be right again."""
        server = self._made()
        self._other(server, vm_state="stopped")
        server.refresh()
        server.task_state = "powering-on"
        return [rpc_pipe.attempt(server.save), self._row(server)]

    def other_fields(self) -> list[Any]:
        """Write what else an object has with a state."""
        server = self._made()
        server.metadata = {"a": "1"}
        server.system_metadata = {"b": "2"}
        server.info_cache.network_info = network_model.NetworkInfo(
            [network_model.VIF(id="port")]
        )
        server.task_state = "rebuilding"
        said = rpc_pipe.attempt(server.save)
        after = self._read(server)
        return [
            said,
            after.metadata,
            after.system_metadata,
            [vif["id"] for vif in after.info_cache.network_info],
            [vif["id"] for vif in server.info_cache.network_info],
            self._dirty(server),
        ]

    def writer(self) -> list[str]:
        """Let the conductor say who was refused."""
        path = pathlib.Path("/x") / "nova" / "compute" / "manager.py"
        names: dict[str, Any] = {}
        exec(compile(WRITER, str(path), "exec"), names)  # noqa: S102
        server = self._made("building", "networking")
        self._other(server, task_state="deleting")
        server.task_state = "block_device_mapping"
        self.pipe.call(self.context, "_lines")
        said = rpc_pipe.attempt(
            lambda: names["ComputeManager"]().spawn_it(server)
        )
        lines = self.pipe.call(self.context, "_lines")
        told = [json.loads(line[line.index("{") :]) for line in lines]
        return [said, *(one["caller"] for one in told)]

    def what_it_says(self) -> list[Any]:
        """Look at the facts of a refusal from the other side."""
        server = self._made("building", "networking")
        self._other(server, task_state="deleting")
        server.task_state = "block_device_mapping"
        try:
            server.save()
        except exception.UnexpectedTaskStateError as error:
            return [error.kwargs["actual"], server.uuid in str(error)]
        return []

    def in_a_handler(self) -> list[str]:
        """Be refused in an error handler, where another error is raised."""
        server = self._made("active", "rebuilding")
        self._other(server, task_state="deleting")
        said = ""
        try:
            try:
                {}[server.uuid]
            except KeyError:
                server.vm_state = "error"
                server.task_state = None
                server.save()
                raise
        except (KeyError, exception.NovaException) as error:
            said = type(error).__name__.removesuffix("_Remote")
        return [said, self._row(server)]

    def said_beside_the_fields(self) -> list[str]:
        """List what a message has that Nova does not know."""
        self.pipe.sent.clear()
        server = self._made()
        server.task_state = "rebuilding"
        server.save()
        return sorted(
            {
                name
                for line in self.pipe.sent
                for name in json.loads(line)["args"].get("objinst", {})
                if not name.startswith("nova_object.")
            }
        )


def main() -> None:
    """Start the other side, play, and say what came of it."""
    url, python = sys.argv[1:3]
    config.parse_args(
        ["nova"], default_config_files=[], configure_db=False, init_rpc=False
    )
    objects.register_all()
    other = pathlib.Path(__file__).with_name("rpc_conductor.py")
    asked = [python, str(other), url]
    if "conductor" in SIDES:
        asked.append("plugin")
    engine = sa.create_engine(url)
    with subprocess.Popen(
        asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        serializer = base.NovaObjectSerializer()
        pipe = rpc_pipe.Pipe(process, rpc.RequestContextSerializer(serializer))
        api = rpcapi.ConductorAPI.__new__(rpcapi.ConductorAPI)
        api.client = pipe
        serializer._conductor = api
        base.NovaObject.indirection_api = api
        scenarios = Scenarios(pipe, engine)
        played = scenarios.play()
        counted = pipe.call(scenarios.context, "_counters")
        assert process.stdin is not None
        process.stdin.close()
    engine.dispose()
    here = sys.modules.get("nova_db_states.nova.counters")
    sys.stdout.write(
        json.dumps(
            {
                "played": played,
                "conductor": counted,
                "compute": here.snapshot() if here else {},
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
