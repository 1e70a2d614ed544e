# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, one class for each reaction a caller can have.

Every class is below :class:`NovaDBStatesError`. The facts are attributes, the
message ends with what to do. Errors of the database that are not about an
instance (a deadlock that outlived every retry, a server that cannot be
reached) stay what they are for every user of oslo.db: classes of
``oslo_db.exception``.

Nova's classes of the same names (``nova/exception.py``) are not used: this
package works without Nova, and inside Nova the plugin raises Nova's own.
"""

from collections.abc import Mapping
import types
from typing import Any

__all__ = [
    "InstanceError",
    "InstanceNotFound",
    "InstanceUpdateConflict",
    "InvalidContext",
    "InvalidGuard",
    "InvalidMap",
    "InvalidRequest",
    "InvalidState",
    "InvalidUpdate",
    "MigrationBlocked",
    "MigrationError",
    "MultipleInstancesMatched",
    "NovaDBStatesError",
    "PartialUpdate",
    "TransitionNotAllowed",
    "UnexpectedDeletingTaskStateError",
    "UnexpectedTaskStateError",
    "UnexpectedVMStateError",
    "UnknownInstanceUpdateConflict",
    "UnknownUpdateOutcome",
    "UnsupportedDatabase",
]


class NovaDBStatesError(Exception):
    """The root of everything this project raises."""


class InvalidRequest(NovaDBStatesError, ValueError):
    """The call itself is wrong; no statement was sent, nothing was written.

    It is a ``ValueError`` as well, which is what callers of a Python library
    expect for an argument of the right kind with a wrong value.
    """


class InvalidUpdate(InvalidRequest):
    """The instance uuid or the new values cannot be written as they are."""


class InvalidGuard(InvalidRequest):
    """An expectation cannot be a guard: empty, unknown column, wrong type."""


class InvalidState(InvalidRequest):
    """A ``vm_state`` or ``task_state`` that no Nova release has.

    :ivar field: ``vm_state`` or ``task_state``
    :ivar value: what was given
    :ivar nearest: the valid state most like it, or ``None``
    """

    def __init__(
        self, message: str, *, field: str, value: object, nearest: str | None
    ) -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.nearest = nearest

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_state, (
            str(self),
            self.field,
            self.value,
            self.nearest,
        )


def _rebuild_state(
    message: str, field: str, value: object, nearest: str | None
) -> InvalidState:
    return InvalidState(message, field=field, value=value, nearest=nearest)


class InvalidContext(InvalidRequest):
    """The context does not lead to a cell database, or not to a writer."""


class UnsupportedDatabase(InvalidRequest):
    """The URL, its dialect or the schema behind it is not a Nova cell."""


class InvalidMap(NovaDBStatesError):
    """A state map contradicts itself; raised where it is declared.

    :ivar problems: what is wrong, one line each, with the states in it
    """

    def __init__(self, message: str, *, problems: tuple[str, ...]) -> None:
        super().__init__(message)
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_map, (str(self), self.problems)


def _rebuild_map(message: str, problems: tuple[str, ...]) -> InvalidMap:
    return InvalidMap(message, problems=problems)


class InstanceError(NovaDBStatesError):
    """Something about one instance.

    :ivar instance_uuid: the instance that was asked for
    :ivar expected: what the caller expected: a column's name to a tuple of
        the values it admitted (``None`` for NULL) or to a ``Not``
    :ivar actual: what was there instead: a column's name to its value
    """

    def __init__(
        self,
        message: str,
        *,
        instance_uuid: str,
        expected: Mapping[str, Any] | None = None,
        actual: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.instance_uuid = instance_uuid
        self.expected = types.MappingProxyType(dict(expected or {}))
        self.actual = types.MappingProxyType(dict(actual or {}))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy and keyword-only arguments do not survive pickling,
        # and these errors travel between the processes of a worker pool.
        notes = getattr(self, "__notes__", None)
        return (
            _rebuild,
            (type(self), str(self), self._facts()),
            {"__notes__": notes} if notes else None,
        )

    def _facts(self) -> dict[str, Any]:
        """List what it was made with, apart from its message."""
        return {
            "instance_uuid": self.instance_uuid,
            "expected": dict(self.expected),
            "actual": dict(self.actual),
        }


def _rebuild(
    cls: type[InstanceError], message: str, facts: dict[str, Any]
) -> InstanceError:
    return cls(message, **facts)


class InstanceNotFound(InstanceError):
    """No row of that uuid is visible to the context.

    It never existed, is deleted (and the context's ``read_deleted`` leaves
    such rows out), or belongs to another project. Give up.
    """


class InstanceUpdateConflict(InstanceError):
    """Another writer was first; nothing was written.

    ``expected`` and ``actual`` hold the fields that differ, and only those.
    Stop what you were about to do, or decide anew from ``actual``.

    :ivar state: ``vm_state`` and ``task_state`` as the same read found them,
        ``None`` in it for NULL; ``None`` where nothing was read
    :ivar allowed_actions: names of what may be asked for in that state.
        ``api`` leaves it empty: it never consults the map
    """

    def __init__(
        self,
        message: str,
        *,
        instance_uuid: str,
        expected: Mapping[str, Any] | None = None,
        actual: Mapping[str, Any] | None = None,
        state: tuple[str | None, str | None] | None = None,
        allowed_actions: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            message,
            instance_uuid=instance_uuid,
            expected=expected,
            actual=actual,
        )
        self.state = state
        self.allowed_actions = allowed_actions

    def _facts(self) -> dict[str, Any]:
        return {
            **super()._facts(),
            "state": self.state,
            "allowed_actions": self.allowed_actions,
        }


class UnexpectedVMStateError(InstanceUpdateConflict):
    """``vm_state`` is not what the caller expected, ``task_state`` is."""


class UnexpectedTaskStateError(InstanceUpdateConflict):
    """``task_state`` is not what the caller expected."""


class UnexpectedDeletingTaskStateError(UnexpectedTaskStateError):
    """The server is being deleted. Stop, clean up, leave its state alone."""


class UnknownInstanceUpdateConflict(InstanceError):
    """The update matched no row, and each time the row fitted again after.

    Nothing was written. The state changes to and fro faster than it can be
    read; try again later.
    """


class UnknownUpdateOutcome(InstanceError):
    """The connection was lost when the change may already have been made.

    Neither success nor failure can be claimed. ``actual`` holds the row as it
    was found afterwards, by a read that waits for whoever is changing it; it
    is empty where that could not be read. A statement that was still on its
    way through the network then may be executed even later: where that
    matters, read again before you decide.
    """


class MultipleInstancesMatched(InstanceError):
    """One uuid matched several rows; rolled back, nothing was written.

    Inside a transaction of the caller's, rolling back is the caller's part.
    A Nova schema cannot hold such rows (``uniq_instances0uuid``): the schema
    is damaged. Run ``nova-manage db sync`` and look for the duplicates.
    """


class PartialUpdate(NovaDBStatesError):
    """A change of many rows was stopped by an error of the database.

    The batches before it are committed; ``__cause__`` is the error. Calling
    again with the same guards does the rest.

    :ivar changed_so_far: number of rows changed and committed
    :ivar in_doubt: number of rows, 0 or one batch, for which the connection
        was lost before the server's answer: they may or may not be changed
    """

    def __init__(
        self, message: str, *, changed_so_far: int, in_doubt: int = 0
    ) -> None:
        super().__init__(message)
        self.changed_so_far = changed_so_far
        self.in_doubt = in_doubt

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_partial, (
            str(self),
            self.changed_so_far,
            self.in_doubt,
        )


def _rebuild_partial(
    message: str, changed: int, in_doubt: int
) -> PartialUpdate:
    return PartialUpdate(message, changed_so_far=changed, in_doubt=in_doubt)


class TransitionNotAllowed(InstanceError):
    """The declared map has no way from the present state to the asked one.

    No statement was sent.

    :ivar action: the name of the action that was under way
    :ivar states: what the row may hold by then, as pairs of ``vm_state`` and
        ``task_state``
    :ivar declared: the pairs that the action may lead to from there
    """

    def __init__(
        self,
        message: str,
        *,
        instance_uuid: str,
        expected: Mapping[str, Any] | None = None,
        actual: Mapping[str, Any] | None = None,
        action: str = "",
        states: tuple[tuple[str | None, str | None], ...] = (),
        declared: tuple[tuple[str | None, str | None], ...] = (),
    ) -> None:
        super().__init__(
            message,
            instance_uuid=instance_uuid,
            expected=expected,
            actual=actual,
        )
        self.action = action
        self.states = states
        self.declared = declared

    def _facts(self) -> dict[str, Any]:
        return {
            **super()._facts(),
            "action": self.action,
            "states": self.states,
            "declared": self.declared,
        }


class MigrationError(NovaDBStatesError):
    """A change of the schema could not be made."""


class MigrationBlocked(MigrationError):
    """The table stayed locked by other transactions; nothing was changed.

    :ivar blockers: a line for each transaction that is in the way, as far as
        the grants of this database user show them
    """

    def __init__(
        self, message: str, *, blockers: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.blockers = blockers
