# SPDX-License-Identifier: Apache-2.0
"""Work that takes long, and looks at the state of its server meanwhile.

Nova checks the state before an image is downloaded and after. A watch checks
while the data flows: one guarded ``UPDATE`` now and then tells others that the
work goes on and how far it is, and tells the work if it is still wanted.
"""

from collections.abc import Callable, Iterable, Iterator
import math
import time
from typing import Any, cast, Final, Protocol, Self, TypeVar
import uuid

from oslo_utils import timeutils

from nova_db_states import api
from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import retry
from nova_db_states import states
from nova_db_states._actions import heartbeat
from nova_db_states._actions import progress as progress_
from nova_db_states._actions import streams
from nova_db_states._update import contexts

__all__ = ["POLLED_BY_AGE", "Watch", "watch"]

_Chunk = TypeVar("_Chunk")
_Chunk_co = TypeVar("_Chunk_co", covariant=True)
_FileLike = TypeVar("_FileLike")

# Nova finds a hung reboot by its old updated_at: in these states
# ComputeManager._poll_rebooting_instances (Nova 31 to 34), in the first of
# them also InstanceList.get_hung_in_rebooting. Every other poll of instances
# goes by another column: created_at, launched_at, deleted_at.
POLLED_BY_AGE: Final = frozenset(
    {
        states.TaskState.REBOOTING,
        states.TaskState.REBOOT_PENDING,
        states.TaskState.REBOOT_STARTED,
    }
)

# The data waits meanwhile, and another heartbeat comes.
_ONCE: Final = retry.Policy(max_attempts=1)


class _Stream(Iterator[_Chunk_co], Protocol[_Chunk_co]):
    """What may be done with chunks that pass a watch."""

    def close(self) -> None:
        """Close what the chunks come from; there are no more of them."""

    def __enter__(self) -> Self:
        """Enter a block that closes this at its end."""

    def __exit__(self, *exc_info: object) -> None:
        """Close this."""


class Watch:
    """A watch on one instance, made by :func:`watch`; threads may share it.

    Whatever passes it, and each :meth:`checkpoint`, checks the state when the
    interval is over. Once it has raised, every further use raises the same
    error at once, as a copy of its own, and nothing more is sent. Only what
    is a mistake in that use itself is raised and forgotten: a ``progress``
    that cannot be, or a transaction that is open in the context.
    """

    def __init__(
        self, heart: heartbeat.Heart, progress: progress_.Progress
    ) -> None:
        self._heart = heart
        self._progress = progress

    def checkpoint(self, *, progress: int | None = None) -> None:
        """Check the state if the interval is over.

        The watch itself can be called in place of this.

        :param progress: how far the work is, 0 to 100 percent, ``None`` to
            leave it. The largest given so far is written with the next
            heartbeat; where there is a ``total``, no 100 before all is there
        :raises InvalidUpdate: ``progress`` is neither
        :raises InstanceUpdateConflict: the state is not as expected any more,
            by the subclass that says how
        :raises InstanceNotFound: the row is gone
        :raises InvalidContext: the context has a transaction open; the next
            use outside of it checks
        :raises oslo_db.exception.DBError: the database was away too long; or
            :exc:`~nova_db_states.exceptions.UnknownUpdateOutcome` or
            :exc:`~nova_db_states.exceptions.UnknownInstanceUpdateConflict`
            where that was the last it said
        """
        if progress is not None:
            self._progress.tell(progress)
        heart = self._heart
        if heart.clock() >= heart.due:
            heart.beat()

    __call__ = checkpoint

    def iterate(self, chunks: Iterable[_Chunk]) -> _Stream[_Chunk]:
        """Let chunks through, each after the check.

        Once the watch has raised, ``chunks`` is closed, where it can be. So
        it is by the ``close()`` of what this returns, and at the end of a
        ``with`` block of that; there are no more chunks then. Merely leaving
        a loop leaves ``chunks`` open.

        :param chunks: for example those of an image that is downloaded; their
            lengths are counted where there is a ``total``, so make it bytes
        :returns: an iterator: yields the chunks, and raises what
            :meth:`checkpoint` does
        """
        progress = self._progress
        counted = None if progress.total is None else progress.source()
        return streams.Chunks(chunks, self._heart, counted)

    def file(self, file: _FileLike) -> _FileLike:
        """Let what is read from a file, or written to it, through.

        A read is checked when its data is there, and where that raises the
        data is not given.

        :param file: open; binary where there is a ``total``
        :returns: a file in its place, whose reads and writes raise what
            :meth:`checkpoint` does
        """
        self.checkpoint()
        watched = streams.File(file, self._heart, self._progress.source())
        return cast("_FileLike", watched)


def watch(
    context: Any,
    instance_uuid: str | uuid.UUID,
    expected_task_state: Any = "spawning",
    interval_s: float = 5.0,
    *,
    expected_vm_state: Any = states.ANY,
    total: int | None = None,
    max_away_s: float = 60.0,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], object] | None = None,
    _ask: Callable[[Callable[[], None]], None] | None = None,
) -> Watch:
    """Watch an instance while something long is done to it.

    The state is checked before this returns, so that no work begins on a
    server that is being deleted; and then by whatever passes the watch, at
    most every ``interval_s``. Each check is one guarded ``UPDATE``, which
    writes the progress if that is known, and ``updated_at`` as a sign of
    life; that is left alone where ``expected_task_state`` admits
    ``rebooting``, ``reboot_pending`` or ``reboot_started``, since Nova finds
    hung reboots by it.

    An error of the database is logged, and the check tried again after the
    interval, until there is no answer ``max_away_s`` after the first check
    that had none. The first check of all waits as long before any work
    begins; but an error there that trying again does not mend is raised at
    once.

    :param context: as for :func:`nova_db_states.api.instance_update`, without
        a transaction open
    :param instance_uuid: the instance
    :param expected_task_state: the work is wanted while this holds: a state,
        ``None`` (NULL), a collection of these, ``Not(...)``, or ``ANY``
    :param interval_s: seconds from an answer to the next check; 0 to check at
        every use
    :param expected_vm_state: the same for ``vm_state``
    :param total: bytes that will pass, to compute the progress; ``None`` not
        to
    :param max_away_s: seconds without an answer that the work outlives, from
        the first check that fails
    :param clock: seconds from any fixed point, never going back; ``None`` for
        ``time.monotonic``
    :param sleep: waits that many seconds, before the first answer only;
        ``None`` for ``time.sleep``
    :param _ask: for :class:`Task` only: is given each check, and makes it
    :returns: the watch
    :raises InvalidUpdate: not a uuid, or an ``interval_s``, ``total`` or
        ``max_away_s`` that cannot be
    :raises InvalidGuard: an expectation that cannot be a guard, or none
    :raises InvalidState: a state that Nova does not have
    :raises InvalidContext: the context leads to no cell database, or has a
        transaction open
    :raises InstanceUpdateConflict: the state is not as expected, by the
        subclass that says how
    :raises InstanceNotFound: no such row is visible
    :raises oslo_db.exception.DBError: there was no first answer; or
        :exc:`~nova_db_states.exceptions.UnknownUpdateOutcome` or
        :exc:`~nova_db_states.exceptions.UnknownInstanceUpdateConflict` where
        that was the last that was said
    """
    name = columns.canonical_uuid(instance_uuid)
    given = guards.normalise(expected_vm_state, expected_task_state)
    if not given:
        raise exceptions.InvalidGuard(
            "There is nothing to watch, as both expectations are ANY. Give "
            "expected_task_state or expected_vm_state, for example "
            "expected_task_state=Not('deleting', 'soft-deleting')."
        )
    progress = progress_.Progress(total)

    def update() -> None:
        _write(context, name, given, progress.percent())

    heart = heartbeat.Heart(
        # A task takes note of what its watches are told: it asks for them.
        update if _ask is None else lambda: _ask(update),
        name,
        _checked_seconds("interval_s", interval_s),
        _checked_seconds("max_away_s", max_away_s),
        # Looked up now: a program may have patched the module since import.
        time.monotonic if clock is None else clock,
    )
    heart.start(time.sleep if sleep is None else sleep)
    return Watch(heart, progress)


def _write(
    context: Any,
    name: str,
    given: tuple[guards.Guard, ...],
    percent: int | None,
) -> None:
    if contexts.has_open_transaction(context, contexts.manager_of(context)):
        raise exceptions.InvalidContext(
            f"The context has a transaction open. In it the heartbeats of "
            f"instance {name} would be seen by nobody and keep the row locked "
            f"to the end. Close it before the work begins, or give the watch "
            f"a context of its own."
        )
    values: dict[str, Any] = {}
    if percent is not None:
        values["progress"] = percent
    if not _is_polled_by_age(given):
        values["updated_at"] = timeutils.utcnow()
    expected = {guard.column: guard.expectation for guard in given}
    api.instance_update(
        context,
        name,
        values,
        expected_vm_state=expected.get("vm_state", states.ANY),
        expected_task_state=expected.get("task_state", states.ANY),
        retry_policy=_ONCE,
        touch=False,
    )


def _is_polled_by_age(given: tuple[guards.Guard, ...]) -> bool:
    return all(
        any(guard.admits(state) for state in POLLED_BY_AGE)
        for guard in given
        if guard.column == "task_state"
    )


def _checked_seconds(name: str, seconds: Any) -> float:
    number = isinstance(seconds, (int, float)) and type(seconds) is not bool
    if not number or not 0 <= seconds < math.inf:
        raise exceptions.InvalidUpdate(
            f"{name}={seconds!r}: give a number of seconds, at least 0."
        )
    return float(seconds)
