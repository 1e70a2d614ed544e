# SPDX-License-Identifier: Apache-2.0
"""What a column accepts."""

import datetime
import enum
from typing import Any
import uuid

import pytest

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import states

CANONICAL = "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11"


class Host(str, enum.Enum):  # noqa: UP042 - what is under test
    """What callers had before StrEnum; ``str()`` gives its qualified name."""

    COMPUTE = "c1"
    ADMIN = "admin"


@pytest.mark.parametrize(
    ("name", "given", "bound"),
    [("host", Host.COMPUTE, "c1"), ("locked_by", Host.ADMIN, "admin")],
)
def test_a_string_enum_is_its_value(name: str, given: str, bound: str) -> None:
    """Whatever ``str()`` makes of a subclass, its text is what is meant."""
    result = columns.value(name, given)
    assert result == bound
    assert type(result) is str


@pytest.mark.parametrize(
    "spelling",
    [
        CANONICAL,
        CANONICAL.upper(),
        CANONICAL.replace("-", ""),
        uuid.UUID(CANONICAL),
    ],
)
def test_uuid_is_brought_to_one_spelling(spelling: str | uuid.UUID) -> None:
    """However a uuid is written, the row is found on every database."""
    assert columns.canonical_uuid(spelling) == CANONICAL


@pytest.mark.parametrize("given", ["", "server1", None, 7, CANONICAL[:-1]])
def test_not_a_uuid(given: Any) -> None:
    """What is not a uuid is refused by name."""
    with pytest.raises(exceptions.InvalidUpdate, match="is not the uuid"):
        columns.canonical_uuid(given)


@pytest.mark.parametrize(
    ("name", "given", "bound"),
    [
        ("vm_state", states.VMState.ACTIVE, "active"),
        ("task_state", None, None),
        ("host", "h" * 255, "h" * 255),
        ("uuid", CANONICAL.upper(), CANONICAL),
        ("user_data", "x" * 70_000, "x" * 70_000),
        ("progress", 100, 100),
        ("memory_mb", -(2**31), -(2**31)),
        ("compute_id", 2**63 - 1, 2**63 - 1),
        ("locked", True, True),
        ("locked_by", "admin", "admin"),
        (
            "launched_at",
            datetime.datetime(2026, 1, 1, 12),
            datetime.datetime(2026, 1, 1, 12),
        ),
        (
            "launched_at",
            datetime.datetime(
                2026,
                1,
                1,
                12,
                tzinfo=datetime.timezone(datetime.timedelta(hours=2)),
            ),
            datetime.datetime(2026, 1, 1, 10),
        ),
    ],
)
def test_accepted(name: str, given: Any, bound: Any) -> None:
    """A value that fits is bound as drivers take it."""
    result = columns.value(name, given)
    assert result == bound
    assert type(result) is type(bound)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("host", "h" * 256, "256 characters; the column holds 255"),
        ("host", 5, "of type int; the column takes a string"),
        ("user_data", "é" * 2**23, "bytes"),
        ("progress", True, "of type bool; the column takes an integer"),
        ("progress", 2**31, "32-bit"),
        ("compute_id", 2**63, "64-bit"),
        ("locked", 1, "True or False"),
        ("locked_by", "root", "one of owner, admin"),
        ("launched_at", "2026-01-01", "datetime"),
        ("hostname", "half \ud83d", "surrogate"),
        (
            "launched_at",
            datetime.datetime(
                1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
            ),
            "years 1 to 9999",
        ),
    ],
)
def test_refused(name: str, given: Any, says: str) -> None:
    """A value that does not fit is refused, with what would be."""
    with pytest.raises(exceptions.InvalidUpdate, match=says):
        columns.value(name, given, exceptions.InvalidUpdate)


def test_long_values_are_shown_short() -> None:
    """A message does not carry kilobytes of user data."""
    with pytest.raises(exceptions.InvalidGuard) as caught:
        columns.value("hostname", "x" * 5000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "given", "nearest"),
    [
        ("vm_state", "ACTIVE", "active"),
        ("vm_state", "soft_deleted", "soft-delete"),
        ("task_state", "powering_off", "powering-off"),
        ("task_state", "xyzzy", None),
        ("task_state", 5, None),
        ("vm_state", ["active"], "active"),
    ],
)
def test_a_state_nova_does_not_have(
    name: str, given: Any, nearest: str | None
) -> None:
    """A misspelt state is refused, and the nearest valid one named."""
    with pytest.raises(exceptions.InvalidState) as caught:
        columns.value(name, given)
    assert caught.value.field == name
    assert caught.value.value == given
    assert caught.value.nearest == nearest
