# SPDX-License-Identifier: Apache-2.0
"""What a column of ``instances`` accepts, checked before any SQL.

MySQL without a strict ``sql_mode`` cuts off a value that is too long and
clips a number that is too large; a guard made from such a value would then
compare with something the caller never wrote. So the check is here, and it is
the same on every database.
"""

from collections.abc import Callable, Iterable
import datetime
import difflib
import enum
from typing import Any, Final
import uuid

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables

__all__ = ["canonical_uuid", "column", "value"]

_COLUMNS: Final = tables.instances.c

_VOCABULARY: Final[dict[str, type[enum.StrEnum]]] = {
    "vm_state": states.VMState,
    "task_state": states.TaskState,
}

# MEDIUMTEXT holds 2**24 - 1 bytes (MySQL manual, "Data Type Storage
# Requirements"); SQLite sets no limit, but a cell may move to MySQL one day.
_MAX_TEXT_BYTES: Final = 2**24 - 1

# user_data and key_data run to kilobytes; a message need not.
_SHOWN_CHARACTERS: Final = 60


def canonical_uuid(
    instance_uuid: str | uuid.UUID,
    error: Callable[[str], Exception] = exceptions.InvalidUpdate,
) -> str:
    """Bring a uuid to the spelling that Nova stores.

    :param instance_uuid: the uuid of an instance, in any spelling that
        :class:`uuid.UUID` reads
    :param error: makes the exception to raise from a message
    :returns: lower case, with hyphens
    :raises InvalidUpdate: not a uuid; or whatever ``error`` makes
    """
    try:
        return str(uuid.UUID(str(instance_uuid)))
    except ValueError:
        raise error(
            f"{instance_uuid!r} is not the uuid of an instance. Give one like "
            f"'2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11', as 'openstack server "
            f"list' shows it."
        ) from None


def column(
    name: object, error: Callable[[str], Exception] = exceptions.InvalidGuard
) -> sa.Column[Any]:
    """Look up a column of ``instances``.

    :param name: the column's name
    :param error: makes the exception to raise from a message
    :returns: the column
    :raises InvalidGuard: no such column; or whatever ``error`` makes
    """
    found = _COLUMNS.get(name) if isinstance(name, str) else None
    if found is None:
        raise error(
            f"The table instances has no column {name!r}."
            f"{_nearest_hint(name, _COLUMNS.keys())} The columns are listed "
            f"in nova_db_states/tables.py."
        )
    return found


def value(
    name: str,
    given: Any,
    error: Callable[[str], Exception] = exceptions.InvalidGuard,
) -> Any:
    """Check one value against its column, and make it what drivers take.

    :param name: the column's name; it must exist
    :param given: the value; ``None`` means NULL and always passes
    :param error: makes the exception to raise from a message
    :returns: the value to bind: a plain string for a state, naive UTC for a
        time
    :raises InvalidState: a state that no Nova release has
    :raises InvalidGuard: wrong type, too long or out of range; or whatever
        ``error`` makes
    """
    if given is None:
        return None
    if name in _VOCABULARY:
        return _state(name, given)
    if name == "uuid":
        return canonical_uuid(given, error)
    kind = _COLUMNS[name].type
    # Enum is a String, and BigInteger an Integer: the narrower one first.
    if isinstance(kind, sa.Enum):
        return _choice(name, given, kind.enums, error)
    if isinstance(kind, (sa.String, sa.Text)):
        return _text(name, given, kind.length, error)
    if isinstance(kind, sa.Boolean):
        return _boolean(name, given, error)
    if isinstance(kind, sa.BigInteger):
        return _integer(name, given, 64, error)
    if isinstance(kind, sa.Integer):
        return _integer(name, given, 32, error)
    return _time(name, given, error)


def _state(name: str, given: Any) -> str:
    vocabulary = _VOCABULARY[name]
    try:
        return vocabulary(given).value
    except ValueError:
        pass
    names = [str(member) for member in vocabulary]
    nearest = difflib.get_close_matches(str(given).lower(), names, n=1)
    raise exceptions.InvalidState(
        f"{name} {given!r} is not a state that Nova has."
        f"{_nearest_hint(given, names)} Accepted are "
        f"{', '.join(names)}, and None for NULL.",
        field=name,
        value=given,
        nearest=nearest[0] if nearest else None,
    )


def _choice(
    name: str,
    given: Any,
    choices: Iterable[str],
    error: Callable[[str], Exception],
) -> str:
    accepted = list(choices)
    if given not in accepted:
        raise error(
            f"{name} {given!r} is not accepted; {name} is one of "
            f"{', '.join(accepted)}, or None for NULL."
        )
    return accepted[accepted.index(given)]


def _text(
    name: str,
    given: Any,
    length: int | None,
    error: Callable[[str], Exception],
) -> str:
    if not isinstance(given, str):
        raise _wrong_type(name, given, "a string", error)
    # Not str(given): a subclass, an enum for one, may say anything there.
    text: str = str.__str__(given)
    if length is not None and len(text) > length:
        raise error(
            f"{name} {_shortened(text)} has {len(text)} characters; the "
            f"column holds {length}. Shorten it."
        )
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise error(
            f"{name} {_shortened(text)} has half of a surrogate pair in it, "
            f"which no database stores. Decode the text it came from anew."
        ) from None
    if length is None and size > _MAX_TEXT_BYTES:
        raise error(
            f"{name} {_shortened(text)} has more than {_MAX_TEXT_BYTES} "
            f"bytes, which is what the column holds. Shorten it."
        )
    return text


def _boolean(name: str, given: Any, error: Callable[[str], Exception]) -> bool:
    if not isinstance(given, bool):
        raise _wrong_type(name, given, "True or False", error)
    return given


def _integer(
    name: str, given: Any, bits: int, error: Callable[[str], Exception]
) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise _wrong_type(name, given, "an integer", error)
    limit = 2 ** (bits - 1)
    if not -limit <= given < limit:
        raise error(
            f"{name} {given} does not fit its {bits}-bit column; accepted is "
            f"{-limit} to {limit - 1}."
        )
    return int(given)


def _time(
    name: str, given: Any, error: Callable[[str], Exception]
) -> datetime.datetime:
    if not isinstance(given, datetime.datetime):
        raise _wrong_type(
            name, given, "a datetime, naive in UTC or with a time zone", error
        )
    try:
        return timeutils.normalize_time(given)
    except OverflowError:
        raise error(
            f"{name} {given} is outside of the years 1 to 9999 in UTC."
        ) from None


def _wrong_type(
    name: str, given: Any, wanted: str, error: Callable[[str], Exception]
) -> Exception:
    return error(
        f"{name} {_shortened(given)} is of type {type(given).__name__}; the "
        f"column takes {wanted}, or None for NULL."
    )


def _shortened(given: Any) -> str:
    text = states.plain(given)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[: _SHOWN_CHARACTERS - 20]}...{text[-10:]}"


def _nearest_hint(given: object, names: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(str(given).lower(), list(names), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
