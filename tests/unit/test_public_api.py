# SPDX-License-Identifier: Apache-2.0
"""The public names and signatures change only on purpose."""

import difflib
import enum

from tests.unit import public_api


def test_public_api_is_what_is_checked_in() -> None:
    """Names and signatures equal the list in public_api.txt."""
    checked_in = public_api.CHECKED_IN.read_text()
    difference = "\n".join(
        difflib.unified_diff(
            checked_in.splitlines(),
            public_api.render().splitlines(),
            "checked in",
            "now",
            lineterm="",
        )
    )
    assert not difference, (
        "The public names changed. If they should, run\n"
        "    python -m tests.unit.public_api\n"
        f"and commit its result with a release note.\n{difference}"
    )


class _Planted:
    def kept(self, one: int, *, two: str | None = None) -> str:
        return f"{one}{two}"

    @classmethod
    def made(cls, how: object = object()) -> None:
        """Take a default that shows an address."""

    @property
    def held(self) -> int:
        return 1

    def _hidden(self) -> None:
        """Stay out of the list."""


class _Colour(enum.StrEnum):
    RED = "red"


def test_a_class_is_shown_by_what_a_caller_can_use() -> None:
    """Methods, class methods and properties are listed, private ones not."""
    assert list(public_api.member("Planted", _Planted)) == [
        "    class Planted(object)",
        "        held: property",
        "        def kept(self, one: int, *, two: str | None = None) -> str",
        "        def made(cls, how: object = <object>) -> None",
    ]


def test_an_enum_is_shown_by_its_values() -> None:
    """A changed state string is a changed interface."""
    assert list(public_api.member("Colour", _Colour)) == [
        "    class Colour(StrEnum)",
        "        RED = 'red'",
    ]
