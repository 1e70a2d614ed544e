# SPDX-License-Identifier: Apache-2.0
"""What a change of the schema means for a Galera cluster, in words.

Two ways lead to an index on every node. In total order (TOI) one statement
changes all nodes at once, and the cluster writes nothing meanwhile. Node by
node (RSU) nothing stops, and a person does it.
"""

from collections.abc import Sequence
import dataclasses
import math
import textwrap
from typing import Final

import sqlalchemy as sa

from nova_db_states import database
from nova_db_states.migrations import galera
from nova_db_states.migrations import index as index_

__all__ = ["Plan", "Size", "make", "node_heading"]

_WIDTH: Final = 78

_SIZE: Final = sa.text(
    "SELECT TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name"
)

# What was measured, rounded, with one index of ours on MariaDB 10.11: a
# server of its own with the table in memory; and three nodes that shared two
# cores with much else. The last one is no measurement but what a disk gives.
_BEST_ROWS_PER_S: Final = 600_000
_WORST_ROWS_PER_S: Final = 40_000
_DISK_BYTES_PER_S: Final = 50_000_000

_MINUTE_S: Final = 60
_LONG_S: Final = 2 * _MINUTE_S


_ALWAYS: Final = (
    (
        "Transactions that have the table open are rolled back on every node, "
        "with error 1213; this package begins its own anew, Nova most of its "
        "own. LOCK TABLES on any node is waited for without end, and the "
        "cluster with it: --lock-timeout and --attempts bound nothing here."
    ),
    (
        "What has begun cannot be stopped, by Ctrl-C or KILL neither. Run it "
        "again after whatever failure: it goes on with what is missing."
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How large ``instances`` is, as the server estimates it.

    :ivar rows: number of rows
    :ivar data_bytes: what they take, indexes not included
    """

    rows: int
    data_bytes: int

    @property
    def shown(self) -> str:
        """The size in words."""
        return f"about {self.rows:,} rows, {self.data_bytes / 1e6:,.0f} MB"

    def build_s(self) -> tuple[float, float]:
        """Estimate how long one index takes to build, in seconds.

        :returns: at the best and at the worst rate that is reckoned with
        """
        return (
            self.rows / _BEST_ROWS_PER_S,
            self.rows / _WORST_ROWS_PER_S
            + self.data_bytes / _DISK_BYTES_PER_S,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A change of the schema that a cluster is to be asked for.

    :ivar url: where it was to be made
    :ivar node: what that node said
    :ivar members: the nodes, that one first
    :ivar size: of the table, on that node
    :ivar indexes: their names
    :ivar down: whether they are dropped
    :ivar to: the revision that was asked for, ``None`` for none
    """

    url: sa.URL
    node: galera.Node
    members: tuple[galera.Member, ...]
    size: Size
    indexes: tuple[str, ...]
    down: bool
    to: str | None

    def announcement(self) -> str:
        """Say what is about to happen in total order."""
        return "\n".join(
            (
                f"{database.masked(self.url)}:",
                *_paragraphs(
                    f"{'Dropping' if self.down else 'Building'} "
                    f"{', '.join(self.indexes)} through {self.node.shown}, on "
                    f"all of them in total order (TOI).",
                    *self._consequences(),
                ),
            )
        )

    def refusal(self) -> str:
        """Say that a way has to be chosen, and what each one is."""
        what = "drop" if self.down else "make"
        return "\n".join(
            (
                f"{database.masked(self.url)}:",
                *_paragraphs(
                    f"This is {self.node.shown}. To {what} "
                    f"{', '.join(self.indexes)} concerns all of them, and "
                    f"there are two ways. Nothing was changed.",
                ),
                "",
                "All nodes at once, in total order (TOI): --galera=toi",
                *_paragraphs(*self._consequences(), indent=2),
                "",
                "Node by node (RSU), while the others go on writing:",
                *_steps(
                    "Take one node out of the proxy and let its transactions "
                    "end.",
                    f"Print its statements, and run them on that node in one "
                    f"session. If it is still in use they give up after "
                    f"--lock-timeout and change nothing: run them again."
                    f"{self._on_passwords()}",
                ),
                *self._commands(),
                *_steps(
                    f"When {galera.STATE} says {galera.SYNCED}, and db check "
                    f"with that --db says "
                    f"{'missing' if self.down else 'present'}, put it back, "
                    f"and go on with the next.",
                    first=3,
                ),
            )
        )

    def _consequences(self) -> tuple[str, ...]:
        """Say what total order does to everybody else."""
        return (
            f"No node commits a write to any table meanwhile: {self._pause()}",
            *_ALWAYS,
        )

    def _pause(self) -> str:
        if self.down:
            return (
                "well under a second on every node as a rule, however many "
                "rows there are."
            )
        best, worst = self.size.build_s()
        each = " for each index" if len(self.indexes) > 1 else ""
        return (
            f"{_span(best, worst)}{each}. That is an estimate, from "
            f"{self.size.shown} in information_schema, and from "
            f"{_BEST_ROWS_PER_S:,} rows a second (measured, in memory) down "
            f"to {_WORST_ROWS_PER_S:,} (measured, on busy nodes) with the "
            f"table read from a disk of {_DISK_BYTES_PER_S / 1e6:.0f} MB/s. "
            f"The slowest node counts."
        )

    def _on_passwords(self) -> str:
        return "" if self.url.password is None else " *** is the password."

    def _commands(self) -> tuple[str, ...]:
        """Give for each node the command that prints its statements."""
        options = " --down" if self.down else ""
        if self.to is not None:
            options += f" --to {self.to}"
        lines = []
        for member in self.members:
            name = f"{member.name}: " if member.name else ""
            if member.url is None:
                lines.append(f"     {name}address not known; as the others")
                continue
            lines += [
                f"     {name}nova-db-states db sql{options} \\",
                f"       --db '{database.masked(member.url)}'",
            ]
        return tuple(lines)


def make(
    connection: sa.Connection,
    node: galera.Node,
    indexes: Sequence[str],
    *,
    down: bool,
    to: str | None,
) -> Plan:
    """Find out what a change would mean.

    :param connection: to a node, in autocommit
    :param node: what it says of itself
    :param indexes: the names of those that are to be made or dropped
    :param down: whether they are dropped
    :param to: the revision that was asked for, ``None`` for none
    :returns: what to tell the person who wants it
    :raises DBAPIError: of SQLAlchemy
    """
    rows, data_bytes = connection.execute(_SIZE, {"name": index_.TABLE}).one()
    url = connection.engine.url
    return Plan(
        url,
        node,
        galera.members(node, url, galera.names(connection)),
        Size(int(rows or 0), int(data_bytes or 0)),
        tuple(indexes),
        down,
        to,
    )


def node_heading(node: galera.Node) -> str:
    """Write above the statements for one node what they are, as SQL.

    :param node: the node
    :returns: comments, and the statement that keeps them on this node
    """
    return (
        f"-- {node.shown}.\n"
        f"-- These are for it alone: run them on the node itself, out of the\n"
        f"-- proxy, in one session. The next line keeps them from the other\n"
        f"-- nodes; without it no node writes while they run. The node is\n"
        f"-- back in its cluster when this says {galera.SYNCED}:\n"
        f"-- {galera.STATE};\n"
        f"SET SESSION wsrep_OSU_method = 'RSU';"
    )


def _paragraphs(*texts: str, indent: int = 0) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=" " * indent,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
    ]


def _steps(*texts: str, first: int = 1) -> list[str]:
    return [
        line
        for number, text in enumerate(texts, first)
        for line in textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {number}. ",
            subsequent_indent="     ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    ]


def _span(best_s: float, worst_s: float) -> str:
    """Put two durations into words, the shorter one first."""
    low, high = _spoken(best_s), _spoken(worst_s)
    if worst_s <= 1:
        return "about a second"
    if best_s <= 1:
        return f"up to about {high}"
    return f"about {low} to {high}"


def _spoken(seconds: float) -> str:
    if seconds < _LONG_S:
        return f"{max(1, math.ceil(seconds))} s"
    return f"{math.ceil(seconds / _MINUTE_S)} min"
