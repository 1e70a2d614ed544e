# SPDX-License-Identifier: Apache-2.0
"""Writing an instance through Nova's own objects, for the demo.

Each process has one Nova, with the plugin or without it; nothing else tells
the two ways apart. Nova goes on writing after a refusal, and so do both.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import time
import types
from typing import Any, TypeVar
import warnings

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.demo import saves
from nova_db_states.nova import activation
from nova_db_states.nova import counters
from nova_db_states.nova import transfers

# Imported here and not by each process, which are forked from one that has.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nova import config
    import nova.conf
    import nova.context
    from nova.db.main import api
    import nova.exception
    import nova.objects

    nova.objects.register_all()

__all__ = ["PlainNova", "PluginNova"]

_Piece = TypeVar("_Piece")


@dataclasses.dataclass(slots=True)
class _Server(saves.Server):
    """A server with Nova's object of it.

    :ivar instance: a ``nova.objects.Instance``
    """

    instance: Any = None


class PlainNova(saves.Base):
    """Nova as it is."""

    name = "direct"
    cleans_up = True

    def __init__(self, url: str, turn: saves.Turn) -> None:
        """Begin as a service of Nova's does.

        :param url: of the cell
        :param turn: to be held while writing
        """
        self._activate()
        config.parse_args(
            ["nova"],
            default_config_files=[],
            configure_db=False,
            init_rpc=False,
        )
        nova.conf.CONF.set_override("connection", url, "database")
        api.configure(nova.conf.CONF)
        self._nova = nova.context.get_admin_context()
        self._reading = sa.create_engine(url, hide_parameters=True)
        self._writing = api.context_manager.writer.get_engine()
        if turn is not None:
            saves.take_turns(self._writing, turn)

    def _activate(self) -> None:
        """Leave Nova alone."""

    def close(self) -> None:
        """Close what is open."""
        self._writing.dispose()
        self._reading.dispose()

    def warm_up(self) -> None:
        """Load and save a row that does not exist."""
        self.load(saves.NOBODY)
        instance = nova.objects.Instance(
            self._nova, uuid=saves.NOBODY, vm_state="active", task_state=None
        )
        instance.obj_reset_changes()
        row = saves.Row(0, "active", None, None, 0)
        write = saves.Write("", "", {"task_state": "powering-off"}, (None,))
        with contextlib.suppress(exceptions.InstanceNotFound):
            self.write(_Server(saves.NOBODY, row, instance=instance), write)

    def load(self, uuid: str) -> saves.Server | None:
        """Read an object of Nova's; of a deleted row there is none."""
        try:
            instance = nova.objects.Instance.get_by_uuid(
                self._nova, uuid, expected_attrs=["system_metadata"]
            )
        except nova.exception.InstanceNotFound:
            return super().load(uuid)
        return _Server(uuid, _row(instance), instance=instance)

    def expectation(self, write: saves.Write) -> str:
        """Say what Nova's code expects there; empty for nothing."""
        return "no host" if write.unhosted else saves.shown(write.nova)

    def accept(self, server: saves.Server, write: saves.Write) -> None:
        """Save, as anywhere else."""
        self.write(server, write)

    def write(self, server: saves.Server, write: saves.Write) -> None:
        """Assign what is written, and save.

        :raises InstanceUpdateConflict: it was refused
        :raises InstanceNotFound: the row is deleted
        """
        instance = _instance(server)
        for name, value in write.values.items():
            setattr(instance, name, value)
        with _told(server.uuid):
            if write.nova is states.ANY:
                instance.save()
            else:
                instance.save(expected_task_state=list(write.nova))
        server.row = _row(instance)

    def destroy(self, server: saves.Server, write: saves.Write) -> None:
        """Destroy the object."""
        del write
        with _told(server.uuid):
            _instance(server).destroy()

    @contextlib.contextmanager
    def task(
        self, server: saves.Server, first: saves.Write
    ) -> Iterator["_Task"]:
        """Save what a host saves."""
        if not first.by_api:
            self.write(server, first)
        yield _Task(self, server)

    def watched(
        self,
        server: saves.Server,
        pieces: Iterator[_Piece],
        interval_s: float,
    ) -> Iterator[_Piece]:
        """Let everything through: Nova looks before it and after it."""
        del server, interval_s
        return pieces


class PluginNova(PlainNova):
    """Nova with the plugin."""

    name = "guarded"

    def _activate(self) -> None:
        """Do what the plugin does in a service.

        :raises RuntimeError: it could not, and Nova runs without
        """
        activation.activate()
        counts = counters.snapshot()
        if not (counts["lower"] and counts["upper"]):
            raise RuntimeError("the plugin is not active in this Nova")

    def expectation(self, write: saves.Write) -> str:
        """Say what is expected there besides what was last seen."""
        given = super().expectation(write)
        task_state = write.values.get("task_state")
        if task_state == states.TaskState.DELETING:
            return given
        if {"vm_state", "task_state"}.isdisjoint(write.values):
            return given or "no delete"
        return f"{given}, as seen" if given else "as last seen"

    def watched(
        self,
        server: saves.Server,
        pieces: Iterator[_Piece],
        interval_s: float,
    ) -> Iterator[_Piece]:
        """Look at the row meanwhile, as the plugin does in nova-compute.

        :raises InstanceUpdateConflict: the server is not ours any more
        :raises InstanceNotFound: the row is deleted
        """
        manager = types.SimpleNamespace(
            objects=nova.objects, exception=nova.exception
        )
        # Its own interval is a second at least.
        step = transfers.Step(
            manager, _instance(server), {"spawning"}, image_id=None
        )
        looked = 0.0
        for piece in pieces:
            if time.monotonic() - looked >= interval_s:
                with _told(server.uuid):
                    step.begin()
                looked = time.monotonic()
            yield piece


class _Task:
    """Saves in a row, which is all that a task is in Nova."""

    def __init__(self, way: PlainNova, server: saves.Server) -> None:
        self._way = way
        self._server = server
        self.expectation = way.expectation

    def step(self, write: saves.Write) -> None:
        """Save."""
        self._way.write(self._server, write)

    end = step

    def watched(
        self, pieces: Iterator[_Piece], interval_s: float
    ) -> Iterator[_Piece]:
        """Let an image through."""
        return self._way.watched(self._server, pieces, interval_s)


def _instance(server: saves.Server) -> Any:
    """Give the object of a server.

    :raises InstanceNotFound: its row was deleted when it was loaded
    """
    if not isinstance(server, _Server):
        raise exceptions.InstanceNotFound(
            f"Instance {server.uuid} is deleted.", instance_uuid=server.uuid
        )
    return server.instance


def _row(instance: Any) -> saves.Row:
    return saves.Row(
        instance.id,
        instance.vm_state,
        instance.task_state,
        instance.host,
        instance.id if instance.deleted else 0,
    )


@contextlib.contextmanager
def _told(uuid: str) -> Iterator[None]:
    """Say in the demo's words what Nova raises."""
    try:
        yield
    except nova.exception.InstanceNotFound as error:
        raise exceptions.InstanceNotFound(
            str(error), instance_uuid=uuid
        ) from error
    except (
        nova.exception.InstanceUpdateConflict,
        nova.exception.ObjectActionError,
    ) as error:
        raise exceptions.InstanceUpdateConflict(
            str(error), instance_uuid=uuid, expected={}, actual={}
        ) from error
