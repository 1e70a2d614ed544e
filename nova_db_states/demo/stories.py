# SPDX-License-Identifier: Apache-2.0
"""What each side of a race does, in Nova's order, and when it gives up.

The times stand for longer ones, and the image is counted and not sent.
"""

from collections.abc import Callable, Iterator
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
    "INTERVAL_S",
    "REFUSED",
    "SIDES",
    "Download",
    "Player",
    "Side",
    "Work",
]

IMAGE_CHUNKS: Final = 40
IMAGE_CHUNK_MIB: Final = 50

# The download takes twenty times as long as a watch waits between two looks;
# where it takes minutes, the 5 s that are the default are often enough.
_PIECE_S: Final = 0.005
INTERVAL_S: Final = 0.010

_MOMENT_S: Final = 0.010
_API_S: Final = 0.005
# Between the API's check and its save: policy, quota, placement.""

REFUSED: Final = (
    exceptions.InstanceNotFound,
    exceptions.InstanceUpdateConflict,
)
"""What stops an operation: the row is gone, or somebody else was first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """How an image comes.

    :ivar pieces: how many
    :ivar piece_s: how long each takes
    :ivar interval_s: how long a watch waits from one look to the next
    """

    pieces: int = IMAGE_CHUNKS
    piece_s: float = _PIECE_S
    interval_s: float = INTERVAL_S


class Work(Protocol):
    """What a host can do in a task; ``actor`` does it and writes it down."""

    def step(self, write: saves.Write) -> None:
        """Take a step, write down how it went, raise why not."""

    def end(self, write: saves.Write) -> None:
        """Take the last step, write down how it went, raise why not."""

    def download(self, download: Download) -> None:
        """Get an image, write down what came, raise why it was stopped."""


class Player(Protocol):
    """What a story can do; ``actor`` does it and writes it down."""

    server: saves.Server

    def load(self) -> bool:
        """Read the row anew; false if it is deleted."""

    def accept(self, write: saves.Write) -> None:
        """Accept an action, write down how it went, raise why not."""

    def task(
        self, first: saves.Write
    ) -> contextlib.AbstractContextManager[Work]:
        """Do an action on a host, raise why not.

        :param first: what it begins with; written down here where nova-api
            has not made that write
        """

    def write(self, write: saves.Write) -> None:
        """Make any other write, write down how it went, raise why not."""

    def destroy(self, write: saves.Write) -> None:
        """Set ``deleted``, write down how it went, raise why not."""

    def clean_up(self, write: saves.Write) -> None:
        """Write what is written after a refusal; a deleted row ends it."""

    def work(self, seconds: float) -> None:
        """Do what takes a while and touches no row."""

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
    # Refused at its start, Nova returns before it holds anything.
    with (
        contextlib.suppress(*REFUSED),
        player.task(writes.START) as task,
        _cleaned_up(player, writes.ABORT_CLAIM),
    ):
        player.work(_MOMENT_S)
        player.write(writes.CLAIM)
        player.work(_MOMENT_S)
        task.step(writes.NETWORKING)
        player.work(_MOMENT_S)
        task.step(writes.BLOCK_DEVICES)
        player.work(_MOMENT_S)
        task.step(writes.SPAWNING)
        task.download(Download())
        player.work(_MOMENT_S)
        task.end(writes.ACTIVE)
    _after_the_lock(player, race)


@contextlib.contextmanager
def _cleaned_up(player: Player, write: saves.Write) -> Iterator[None]:
    """Write what Nova writes after a refusal on a host."""
    try:
        yield
    except REFUSED:
        player.clean_up(write)
        raise


def _stop(player: Player, race: plan.Race) -> None:
    # @reverts_task_state leaves the row alone after a refusal.
    with contextlib.suppress(*REFUSED):
        player.accept(writes.API_STOP)
        with player.task(writes.API_STOP) as task:
            player.work(2 * _MOMENT_S)
            task.end(writes.STOPPED)
    _after_the_lock(player, race)


def _resize(player: Player, race: plan.Race) -> None:
    """Resize a server; its other process deletes it without waiting."""
    del race
    *steps, last = writes.RESIZE
    # In the API the user just gets the error; on a host Nova goes through
    # _error_out_instance_on_exception.
    with contextlib.suppress(*REFUSED):
        player.accept(writes.API_RESIZE)
        player.work(2 * _MOMENT_S)
        with (
            _cleaned_up(player, writes.ERROR),
            player.task(writes.API_RESIZE) as task,
        ):
            for step in steps:
                task.step(step)
                player.work(2 * _MOMENT_S)
            task.end(last)
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
        player.accept(writes.API_DELETING)
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
    values = {**writes.DESTROYED.values, "terminated_at": timeutils.utcnow()}
    with contextlib.suppress(exceptions.InstanceNotFound):
        with player.task(writes.API_DELETING) as task:
            player.work(_MOMENT_S)
            task.end(dataclasses.replace(writes.DESTROYED, values=values))
        player.destroy(writes.DESTROY)


def _rescue(player: Player, race: plan.Race) -> None:
    del race
    with contextlib.suppress(*REFUSED):
        if _accepted(player, "rescue", writes.API_RESCUE):
            _done(player, writes.API_RESCUE, writes.RESCUE)


def _evacuate(player: Player, race: plan.Race) -> None:
    del race
    with contextlib.suppress(*REFUSED):
        if _accepted(player, "evacuation", writes.API_EVACUATE):
            with _cleaned_up(player, writes.ERROR):
                _done(player, writes.API_EVACUATE, writes.EVACUATE)


def _accepted(player: Player, name: str, first: saves.Write) -> bool:
    """Play a method of the API that looks at the states before it writes."""
    player.load()
    row = player.server.row
    # @check_instance_state, on what was read.
    if row.vm_state != states.VMState.ACTIVE or row.task_state is not None:
        player.note(f"{name} turned away: {row}")
        return False
    player.work(_API_S)
    player.accept(first)
    return True


def _done(
    player: Player, first: saves.Write, writes_: tuple[saves.Write, ...]
) -> None:
    *steps, last = writes_
    with player.task(first) as task:
        for step in steps:
            player.work(_MOMENT_S)
            task.step(step)
        player.work(_MOMENT_S)
        task.end(last)


SIDES: Final[dict[plan.Pair, tuple[Side, Side]]] = {
    plan.Pair.BUILD_DELETE: (_build, _delete),
    plan.Pair.STOP_DELETE: (_stop, _delete),
    plan.Pair.RESIZE_DELETE: (_resize, _delete),
    plan.Pair.RESCUE_RESCUE: (_rescue, _rescue),
    plan.Pair.EVACUATE_EVACUATE: (_evacuate, _evacuate),
}
