# SPDX-License-Identifier: Apache-2.0
"""What is tortured: an SQLite file, or servers behind a network that fails.

A target makes itself a cell, says which faults can be done to it, and tells
in the end what its nodes hold.
"""

import abc
from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import pathlib
from typing import Final, TypeAlias

import sqlalchemy as sa

from nova_db_states import tables
from tests.resources import rows
from tests.torture import history

SCHEMES: Final = ("mysql+pymysql", "mariadb+pymysql")
"""Workers take turns with these."""

Blow: TypeAlias = Callable[[int], contextlib.AbstractContextManager[object]]


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    :ivar lasts_s: the shortest and longest time that it is left there
    :ivar strikes: takes the number of a node; entering the block strikes,
        leaving it mends
    :ivar often: how often it strikes where the costly ones do once
    """

    lasts_s: tuple[float, float]
    strikes: Blow
    often: int = 1


class Target(abc.ABC):
    """Something to torture.

    :ivar nodes: the number of nodes
    """

    nodes: int = 1

    @abc.abstractmethod
    def urls(self, scheme: str) -> Sequence[str]:
        """Give the URL that workers use, for each node."""

    @abc.abstractmethod
    def engines(self) -> Sequence[sa.Engine]:
        """Make a plain engine for each node, past all faults."""

    @abc.abstractmethod
    def kinds(self) -> Mapping[str, Kind]:
        """Say which faults there are, apart from those of workers."""

    @abc.abstractmethod
    def settle(self) -> None:
        """Wait until nothing can change any more; the workers are gone."""

    def insert(self, instances: int) -> list[str]:
        """Make the table and its rows; give their uuids."""
        first, *_ = engines = self.engines()
        tables.metadata.create_all(first)
        made = [
            rows.insert_instance(
                first,
                progress=history.INITIAL,
                task_state=history.state_of(history.INITIAL),
            )
            for _ in range(instances)
        ]
        _dispose(engines)
        return made

    def finals(self, instances: Sequence[str]) -> list[list[int]]:
        """Read the tokens that the nodes hold, by instance."""
        engines = self.engines()
        found = [
            [
                int(str(rows.read_instance(engine, uuid)["progress"]))
                for engine in engines
            ]
            for uuid in instances
        ]
        _dispose(engines)
        return found


class SQLite(Target):
    """A file; what strikes are the deaths of its workers."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Make the file.

        :param folder: for it
        """
        self._url = f"sqlite:///{folder / 'cell.sqlite'}"
        with contextlib.closing(sa.create_engine(self._url).connect()):
            pass

    def urls(self, scheme: str) -> Sequence[str]:
        """Give the URL, which has one scheme only."""
        del scheme
        return [self._url]

    def engines(self) -> Sequence[sa.Engine]:
        """Make an engine."""
        return [sa.create_engine(self._url)]

    def kinds(self) -> Mapping[str, Kind]:
        """Say that there are none."""
        return {}

    def settle(self) -> None:
        """Do nothing: no session outlives its process."""


def _dispose(engines: Sequence[sa.Engine]) -> None:
    for engine in engines:
        engine.dispose()
