# SPDX-License-Identifier: Apache-2.0
"""What each side of a race does, in Nova's order, and when it gives up.

The times stand for longer ones, and the image is counted and not sent.
"""

from collections.abc import Callable
import contextlib
import dataclasses
from typing import Final, Protocol

from oslo_utils import timeutils

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.demo import plan
from nova_db_states.demo import saves
from nova_db_states.demo import writes

__all__ = [
    "IMAGE_CHUNKS",
    "IMAGE_CHUNK_MIB",
    "SIDES",
    "Player",
    "Side",
]

IMAGE_CHUNKS: Final = 20
IMAGE_CHUNK_MIB: Final = 100

_CHUNK_S: Final = 0.005
_MOMENT_S: Final = 0.010
_API_S: Final = 0.005
# Between the API's check and its save: policy, quota, placement.""

# What stops an operation: the row is gone, or somebody else was first.
_REFUSED: Final = (
    exceptions.InstanceNotFound,
    exceptions.InstanceUpdateConflict,
)


class Player(Protocol):
    """What a story can do; ``actor`` does it and writes it down."""

    server: saves.Server

    def load(self) -> bool:
        """Read the row anew; false if it is deleted."""

    def write(self, write: saves.Write) -> None:
        """Make one write, write down how it went, raise why not."""

    def destroy(self, write: saves.Write) -> None:
        """Set ``deleted``, write down how it went, raise why not."""

    def work(self, seconds: float) -> None:
        """Do what takes a while and touches no row."""

    def download(self, chunks: int, chunk_s: float) -> None:
        """Get an image, piece by piece."""

    def note(self, did: str) -> None:
        """Write down what touched no row."""

    def send(self, message: str) -> None:
        """Cast to the other side."""

    def receive(self) -> str:
        """Wait for the cast of the other side."""


Side = Callable[[Player, plan.Race], None]

_TERMINATE: Final = "terminate"
_NOTHING: Final = "nothing"


def _build(player: Player, race: plan.Race) -> None:
    """Build a server on this host, then what was cast to it meanwhile."""
    try:
        player.write(writes.START)
    except _REFUSED:
        # Nova returns here, before it holds anything.
        pass
    else:
        _build_with_claim(player)
    _after_the_lock(player, race)


def _build_with_claim(player: Player) -> None:
    try:
        player.work(_MOMENT_S)
        player.write(writes.CLAIM)
        player.work(_MOMENT_S)
        player.write(writes.NETWORKING)
        player.work(_MOMENT_S)
        player.write(writes.BLOCK_DEVICES)
        player.work(_MOMENT_S)
        player.write(writes.SPAWNING)
        player.download(IMAGE_CHUNKS, _CHUNK_S)
        player.work(_MOMENT_S)
        player.write(writes.ACTIVE)
    except _REFUSED:
        _quietly(player, writes.ABORT_CLAIM)


def _stop(player: Player, race: plan.Race) -> None:
    try:
        player.write(writes.API_STOP)
        player.work(2 * _MOMENT_S)
        player.write(writes.STOPPED)
    except _REFUSED:
        # @reverts_task_state leaves the row alone after a refusal.
        pass
    _after_the_lock(player, race)


def _resize(player: Player, race: plan.Race) -> None:
    """Resize a server; its other process deletes it without waiting."""
    del race
    for number, step in enumerate(writes.RESIZE):
        try:
            player.write(step)
        except _REFUSED:
            if number:
                # On a compute host, _error_out_instance_on_exception; in
                # the API the user just gets the error.
                _quietly(player, writes.ERROR)
            break
        player.work(2 * _MOMENT_S)
    player.receive()


def _delete(player: Player, race: plan.Race) -> None:
    """Accept a delete, as ``API._delete``, and cast the rest of it."""
    message = _NOTHING
    try:
        if player.load() and _mark(player):
            message = _TERMINATE
            if race.pair is plan.Pair.RESIZE_DELETE:
                # A resize does not hold the lock that a delete waits for.
                _terminate(player)
                message = _NOTHING
    finally:
        player.send(message)


def _mark(player: Player) -> bool:
    """Write that the delete is accepted; say if a host has to do the rest."""
    player.work(_API_S)
    if player.server.row.host is None:
        try:
            player.destroy(writes.API_DESTROY)
        except exceptions.InstanceUpdateConflict:
            # It has a host by now: Nova reads it again and goes on.
            if not player.load():
                return False
        except exceptions.InstanceNotFound:
            return False
        else:
            return False
    try:
        player.write(writes.API_DELETING)
    except exceptions.InstanceNotFound:
        return False
    return True


def _after_the_lock(player: Player, race: plan.Race) -> None:
    """Do on the host what waited for the instance's lock.

    The delete was cast while the operation before it held the lock. If
    nova-compute is restarted now, the cast is lost, and ``_init_instance``
    (compute/manager.py:1098) goes by the row alone.
    """
    if player.receive() != _TERMINATE or not player.load():
        return
    if not race.restart:
        _terminate(player)
        return
    row = player.server.row
    if row.host is None:
        player.note("restarted: no row names this host")
    elif row.task_state != states.TaskState.DELETING:
        player.note("restarted: the row asks for no delete")
    else:
        player.note("restarted: the row says deleting")
        _terminate(player)


def _terminate(player: Player) -> None:
    player.work(_MOMENT_S)
    values = {**writes.DESTROYED.values, "terminated_at": timeutils.utcnow()}
    try:
        player.write(dataclasses.replace(writes.DESTROYED, values=values))
        player.destroy(writes.DESTROY)
    except exceptions.InstanceNotFound:
        pass


def _rescue(player: Player, race: plan.Race) -> None:
    del race
    _checked(player, "rescue", writes.API_RESCUE, (writes.RESCUED,))


def _evacuate(player: Player, race: plan.Race) -> None:
    del race
    _checked(player, "evacuation", writes.API_EVACUATE, writes.EVACUATE)


def _checked(
    player: Player,
    name: str,
    accept: saves.Write,
    steps: tuple[saves.Write, ...],
) -> None:
    """Play an action of the API that looks at the states before it writes."""
    player.load()
    row = player.server.row
    # @check_instance_state, on what was read.
    if row.vm_state != states.VMState.ACTIVE or row.task_state is not None:
        player.note(f"{name} turned away: {row}")
        return
    player.work(_API_S)
    try:
        player.write(accept)
    except _REFUSED:
        return
    try:
        for step in steps:
            player.work(_MOMENT_S)
            player.write(step)
    except _REFUSED:
        if steps is writes.EVACUATE:
            _quietly(player, writes.ERROR)


def _quietly(player: Player, write: saves.Write) -> None:
    """Write what Nova writes after a failure; a deleted row ends it."""
    with contextlib.suppress(exceptions.InstanceNotFound):
        player.write(write)


SIDES: Final[dict[plan.Pair, tuple[Side, Side]]] = {
    plan.Pair.BUILD_DELETE: (_build, _delete),
    plan.Pair.STOP_DELETE: (_stop, _delete),
    plan.Pair.RESIZE_DELETE: (_resize, _delete),
    plan.Pair.RESCUE_RESCUE: (_rescue, _rescue),
    plan.Pair.EVACUATE_EVACUATE: (_evacuate, _evacuate),
}
