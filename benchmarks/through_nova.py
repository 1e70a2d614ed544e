# SPDX-License-Identifier: Apache-2.0
"""Operations on ``Instance`` in a process of Nova's, with or without us.

Run as a script by Nova's Python. It reads a line with an operation and a
count, and answers with a line of JSON: the seconds of each call. Asked for
``statements`` and an operation, it answers with what the server was sent
during one call.

Without the plugin nothing of this project is imported: that is plain Nova.
"""

from collections.abc import Callable, Mapping
import contextlib
import dataclasses
import json
import sys
import time
from typing import Any, Final

FLIP: Final = ("powering-off", None)
"""Even calls set a task, odd ones end it."""


def _nothing(number: int) -> None:
    del number


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something that Nova does with an instance.

    :ivar call: is timed; given the number of the call
    :ivar prepare: comes before it, and is not timed
    """

    call: Callable[[int], object]
    prepare: Callable[[int], object] = _nothing


class Rival:
    """A plain connection beside Nova's, which nobody guards."""

    def __init__(self, url: Any) -> None:
        """Connect in autocommit.

        :param url: of the cell, as SQLAlchemy has it
        """
        import pymysql

        self._connection = pymysql.connect(
            host=url.host,
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            database=url.database,
            autocommit=True,
        )

    def run(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        """Run a statement and fetch everything."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, args or None)
            return list(cursor.fetchall())

    def set_task(self, server: str, task_state: str | None) -> None:
        """Set the task of a server."""
        self.run(
            "UPDATE instances SET task_state = %s WHERE uuid = %s",
            task_state,
            server,
        )

    def bring_back(self, server: str) -> None:
        """Undo the deletion of a server."""
        self.run(
            "UPDATE instances SET deleted = 0, deleted_at = NULL"
            " WHERE uuid = %s",
            server,
        )
        for table in ("instance_info_caches", "instance_system_metadata"):
            self.run(
                f"UPDATE {table} SET deleted = 0, deleted_at = NULL"
                " WHERE instance_uuid = %s",
                server,
            )

    def heard(self, call: Callable[[], object]) -> list[str]:
        """List what the server is told meanwhile by anybody else.

        :param call: what is done
        :returns: the statements, a ping as ``Ping``
        """
        self.run("SET GLOBAL log_output = 'TABLE'")
        self.run("TRUNCATE TABLE mysql.general_log")
        self.run("SET GLOBAL general_log = 1")
        try:
            call()
        finally:
            self.run("SET GLOBAL general_log = 0")
        return [
            text.decode() if isinstance(text, bytes) else (text or kind)
            for kind, text in self.run(
                "SELECT command_type, argument FROM mysql.general_log"
                " WHERE thread_id != CONNECTION_ID()"
            )
        ]


class Instances:
    """The operations, each on a server of its own."""

    def __init__(
        self, nova: Mapping[str, Any], rival: Rival, engine: Any
    ) -> None:
        """Do nothing yet.

        :param nova: modules of Nova's and a context, by name
        :param rival: who gets in between
        :param engine: Nova's, of the cell
        """
        self._objects = nova["objects"]
        self._db = nova["db"]
        self._exception = nova["exception"]
        self._context = nova["context"]
        self._rival = rival
        self._engine = engine
        self._interrupts: list[str] = []

    def operations(self, servers: Mapping[str, str]) -> dict[str, Operation]:
        """Make the operations.

        :param servers: operation to uuid
        :returns: operation by name
        """
        made = {}
        for name, server in servers.items():
            method = getattr(self, f"_{name.replace('-', '_')}")
            made[name] = method(server)
        return made

    def _load(self, server: str, *attributes: str) -> Any:
        return self._objects.Instance.get_by_uuid(
            self._context,
            server,
            expected_attrs=["info_cache", "system_metadata", *attributes],
        )

    def _flips(
        self, server: str, *attributes: str, **values: Any
    ) -> Operation:
        """Save a state there and back, and other fields with it."""
        instance = self._load(server, *attributes)

        def call(number: int) -> None:
            for name, value in values.items():
                setattr(instance, name, value(number))
            instance.task_state = FLIP[number % 2]
            instance.save(expected_task_state=[FLIP[1 - number % 2]])

        return Operation(call)

    def _save(self, server: str) -> Operation:
        return self._flips(server)

    def _save_flavor(self, server: str) -> Operation:
        """Save an object as nova-compute gets it: with its extra."""
        return self._flips(
            server,
            *("metadata", "flavor", "numa_topology", "pci_requests"),
            *("resources", "migration_context"),
        )

    def _save_metadata(self, server: str) -> Operation:
        def changed(number: int) -> dict[str, str]:
            kept = {f"image_property_{key}": "x" * 20 for key in range(19)}
            return {**kept, "image_property_19": str(number)}

        return self._flips(server, system_metadata=changed)

    def _save_extra(self, server: str) -> Operation:
        def changed(number: int) -> Any:
            return self._objects.VirtCPUModel(model=str(number))

        return self._flips(server, "vcpu_model", vcpu_model=changed)

    def _save_unguarded(self, server: str) -> Operation:
        """Save a state and expect nothing."""
        instance = self._load(server)

        def call(number: int) -> None:
            instance.task_state = FLIP[number % 2]
            instance.save()

        return Operation(call)

    def _save_stateless(self, server: str) -> Operation:
        instance = self._load(server)

        def call(number: int) -> None:
            instance.progress = number % 100
            instance.save()

        return Operation(call)

    def _save_nothing(self, server: str) -> Operation:
        instance = self._load(server)
        return Operation(lambda _: instance.save())

    def _update_and_get(self, server: str) -> Operation:
        def call(number: int) -> None:
            self._db.instance_update_and_get_original(
                self._context,
                server,
                {
                    "task_state": FLIP[number % 2],
                    "expected_task_state": FLIP[1 - number % 2],
                },
            )

        return Operation(call)

    def _update(self, server: str) -> Operation:
        def call(number: int) -> None:
            self._db.instance_update(
                self._context,
                server,
                {
                    "task_state": FLIP[number % 2],
                    "expected_task_state": FLIP[1 - number % 2],
                },
            )

        return Operation(call)

    def _update_stateless(self, server: str) -> Operation:
        def call(number: int) -> None:
            values = {"progress": number % 100}
            self._db.instance_update(self._context, server, values)

        return Operation(call)

    def _refused(self, server: str) -> Operation:
        instance = self._load(server)

        def call(number: int) -> None:
            del number
            instance.task_state = "powering-off"
            with self._conflict():
                instance.save(expected_task_state=["rebuilding"])

        return Operation(call)

    def _refused_below(self, server: str) -> Operation:
        """Have an update refused that no object makes."""

        def call(number: int) -> None:
            del number
            with self._conflict():
                self._db.instance_update(
                    self._context,
                    server,
                    {
                        "task_state": "powering-off",
                        "expected_task_state": "rebuilding",
                    },
                )

        return Operation(call)

    def _lost(self, server: str) -> Operation:
        """Lose to a commit after Nova has read the row."""
        from sqlalchemy import event

        instance = self._load(server)

        @event.listens_for(self._engine, "before_cursor_execute")
        def _(*given: Any) -> None:
            # Before whichever statement would lock the row.
            if self._interrupts and "UPDATE" in given[2]:
                self._rival.set_task(self._interrupts.pop(), "deleting")

        def prepare(number: int) -> None:
            del number
            self._rival.set_task(server, None)
            self._interrupts.append(server)

        def call(number: int) -> None:
            del number
            instance.task_state = "powering-off"
            with self._conflict():
                instance.save(expected_task_state=[None])

        return Operation(call, prepare)

    def _destroy(self, server: str) -> Operation:
        instances = []

        def prepare(number: int) -> None:
            del number
            self._rival.bring_back(server)
            instances.append(self._load(server))

        return Operation(lambda _: instances.pop().destroy(), prepare)

    def _get(self, server: str) -> Operation:
        return Operation(lambda _: self._load(server))

    def _refresh(self, server: str) -> Operation:
        instance = self._load(server)
        return Operation(lambda _: instance.refresh())

    @contextlib.contextmanager
    def _conflict(self) -> Any:
        try:
            yield
        except self._exception.UnexpectedTaskStateError:
            return
        raise RuntimeError("a write was made against its guard")


def serve(operations: Mapping[str, Operation], rival: Rival) -> None:
    """Answer requests until standard input ends."""
    clock = time.perf_counter
    done = dict.fromkeys(operations, 0)
    for line in sys.stdin:
        first, second = line.split()
        listens = first == "statements"
        name = second if listens else first
        operation = operations[name]
        answer: list[Any] = []
        for _ in range(1 if listens else int(second)):
            number = done[name]
            done[name] += 1
            operation.prepare(number)
            if listens:
                answer = rival.heard(lambda: operation.call(number))  # noqa: B023
                continue
            began = clock()
            operation.call(number)
            answer.append(clock() - began)
        print(json.dumps(answer), flush=True)


def _require_seams() -> None:
    """End if the plugin is not active, which would be measured for nothing."""
    from nova_db_states.nova import counters

    counts = counters.snapshot()
    if not (counts["lower"] and counts["upper"]):
        raise RuntimeError("the plugin is not active in this Nova")


def main(plugin: str, url: str, servers: str) -> None:
    """Serve Nova's operations.

    :param plugin: ``on`` or ``off``
    :param url: of the cell
    :param servers: operation to uuid, as JSON
    """
    if plugin == "on":
        from nova_db_states.nova import activation

        activation.activate()
    import nova.conf
    import nova.config
    import nova.context
    from nova.db.main import api
    import nova.exception
    import nova.objects
    import sqlalchemy as sa

    nova.config.parse_args(
        ["nova"], default_config_files=[], configure_db=False, init_rpc=False
    )
    nova.conf.CONF.set_override("connection", url, "database")
    api.configure(nova.conf.CONF)
    nova.objects.register_all()
    if plugin == "on":
        _require_seams()
    rival = Rival(sa.make_url(url))
    instances = Instances(
        {
            "objects": nova.objects,
            "db": api,
            "exception": nova.exception,
            "context": nova.context.get_admin_context(),
        },
        rival,
        api.context_manager.writer.get_engine(),
    )
    serve(instances.operations(json.loads(servers)), rival)


if __name__ == "__main__":
    main(*sys.argv[1:])
