# SPDX-License-Identifier: Apache-2.0
"""What a node of a Galera cluster tells of itself and of the others.

On a cluster a change of the schema concerns every node. A node that has lost
the others takes none, and one that has not applied what they committed does
not know yet which indexes there are.

Facts: MariaDB documentation, "Galera Cluster Status Variables" and "Galera
Cluster System Variables"; what a user without any grant may see.
"""

from collections.abc import Mapping
import dataclasses
from typing import Final

from oslo_utils import netutils
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import retry

__all__ = [
    "NOT_READY",
    "STATE",
    "SYNCED",
    "Member",
    "Node",
    "catch_up",
    "look",
    "members",
    "names",
    "outside",
    "require_synced",
    "use_total_order",
]

NOT_READY: Final = 1047
"""The error of a node that takes no statements, or no change of the schema."""

_LOCK_WAIT: Final = 1205

_VARIABLES: Final = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on',"
    " 'wsrep_provider', 'wsrep_node_name')"
)
_STATUS: Final = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready',"
    " 'wsrep_cluster_status', 'wsrep_local_state_comment',"
    " 'wsrep_cluster_size', 'wsrep_incoming_addresses',"
    " 'wsrep_local_index')"
)
# Nova's own user may not read that; it knows the nodes by their addresses.
_NAMES: Final = (
    "SELECT node_incoming_address, node_name FROM mysql.wsrep_cluster_members"
)

SYNCED: Final = "Synced"
"""The state of a node that takes part in its cluster in full."""

STATE: Final = "SHOW STATUS LIKE 'wsrep_local_state_comment'"
"""The statement that tells it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A node, as it saw itself and its cluster when it was asked.

    :ivar name: its ``wsrep_node_name``
    :ivar ready: whether it takes statements, as a member of its cluster
    :ivar component: ``Primary``, or what it is in instead
    :ivar state: ``Synced``, or what keeps it from being that
    :ivar size: how many are in the cluster, itself and arbitrators included
    :ivar addresses: of all of them; that of an arbitrator is empty, one that
        its node could not find out is ``AUTO``
    :ivar index: the position of its own
    """

    name: str
    ready: bool
    component: str
    state: str
    size: int
    addresses: tuple[str, ...]
    index: int

    @property
    def synced(self) -> bool:
        """Whether it takes part in the cluster in full."""
        return self.ready and self.state == SYNCED

    @property
    def shown(self) -> str:
        """The node among its cluster, in words and one line."""
        # A name may be anything, and must not end a comment.
        name = " ".join(self.name.split())
        return f"{name}, one of {self.size} nodes of a Galera cluster"


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One node of the cluster, to be connected to by itself.

    :ivar name: its name, ``None`` where this user may not see it
    :ivar url: the URL that was given, but of this node; ``None`` where the
        cluster does not tell its address
    """

    name: str | None
    url: sa.URL | None


def look(connection: sa.Connection) -> Node | None:
    """Ask a server whether it is a node, and how it is.

    :param connection: to any database; no grant is needed
    :returns: the node; ``None`` if it is no node of a Galera cluster
    :raises DBAPIError: of SQLAlchemy
    """
    if not database.is_mysql(connection.dialect):
        return None
    variables = _named(connection, _VARIABLES)
    is_on = variables.get("wsrep_on", "OFF").upper() in {"ON", "1"}
    if not is_on or variables.get("wsrep_provider") in {None, "", "none"}:
        return None
    status = _named(connection, _STATUS)
    return Node(
        name=variables["wsrep_node_name"],
        ready=status["wsrep_ready"] == "ON",
        component=status["wsrep_cluster_status"],
        state=status["wsrep_local_state_comment"],
        size=int(status["wsrep_cluster_size"]),
        addresses=tuple(status["wsrep_incoming_addresses"].split(",")),
        index=int(status["wsrep_local_index"]),
    )


def _named(connection: sa.Connection, statement: str) -> dict[str, str]:
    rows = connection.exec_driver_sql(statement)
    return {str(name).lower(): str(value) for name, value in rows}


def names(connection: sa.Connection) -> dict[str, str]:
    """Read what the nodes of a cluster are called.

    :param connection: to one of them
    :returns: address to name; empty where this user may not see it
    """
    try:
        rows = connection.exec_driver_sql(_NAMES).all()
    except sa_exc.DBAPIError:
        return {}
    return {str(address): str(name) for address, name in rows}


def members(
    node: Node, url: sa.URL, known: Mapping[str, str]
) -> tuple[Member, ...]:
    """List the nodes of a cluster, the one that was asked first.

    :param node: what that one said
    :param url: the way to it that was given
    :param known: what :func:`names` answered
    :returns: at least one; without arbitrators, which have no data
    """
    its_own = url
    if node.index < len(node.addresses):
        its_own = _of(url, node.addresses[node.index]) or url
    others = [
        Member(known.get(address), _of(url, address))
        for position, address in enumerate(node.addresses)
        if address and position != node.index
    ]
    return (Member(node.name, its_own), *others)


def _of(url: sa.URL, address: str) -> sa.URL | None:
    if ":" not in address:
        return None
    host, port = netutils.parse_host_port(address)
    return url.set(host=host, port=port)


def outside(url: sa.URL, node: Node | None) -> exceptions.MigrationError:
    """Say that a node takes no statements.

    :param url: where it is
    :param node: what it says of itself; ``None`` if it did not even do that
    :returns: to be raised
    """
    where = database.masked(url)
    what = "this node of a Galera cluster"
    if node is not None:
        what = (
            f"{node.name} ({node.component}, {node.state}; "
            f"wsrep_cluster_status, wsrep_local_state_comment)"
        )
    return exceptions.MigrationError(
        f"{where}: {what} is not in its cluster's primary component and "
        f"takes no statements (error {NOT_READY}). Nothing was changed. Give "
        f"the URL of a node that is, or run it again when SHOW STATUS LIKE "
        f"'wsrep_cluster_status' says Primary there."
    )


def require_synced(url: sa.URL, node: Node) -> None:
    """Refuse to change the schema through a node that is not in sync.

    :param url: where it is
    :param node: what it says of itself
    :raises MigrationError: it is not ``Synced``
    """
    if not node.ready:
        raise outside(url, node)
    if node.synced:
        return
    raise exceptions.MigrationError(
        f"{database.masked(url)}: {node.name} is {node.state} and not "
        f"{SYNCED}: a backup runs on it, it gives its data to another node, "
        f"is being changed by itself (RSU), or is catching up. Nothing was "
        f"changed. Run it again when {STATE} says {SYNCED}, or give the URL "
        f"of another node."
    )


def catch_up(connection: sa.Connection, node: Node | None) -> None:
    """Wait until a node has applied what its cluster committed before.

    That includes a change of the schema that is under way.

    :param connection: in autocommit
    :param node: what it says of itself; for ``None``, and for one that is
        not in sync and could not catch up, nothing is waited for
    :raises MigrationBlocked: it did not within ``repl.causal_read_timeout``,
        which is 30 seconds unless somebody set it
    :raises DBAPIError: of SQLAlchemy
    """
    if node is None or not node.synced:
        return
    connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1")
    behind: Exception | None = None
    try:
        connection.exec_driver_sql("SELECT 1")
    except sa_exc.DBAPIError as error:
        if retry.error_code(error) != _LOCK_WAIT:
            raise
        behind = error
    connection.exec_driver_sql("SET SESSION wsrep_sync_wait = DEFAULT")
    if behind is not None:
        raise exceptions.MigrationBlocked(
            f"{database.masked(connection.engine.url)}: {node.name} did not "
            f"apply in time what its cluster has committed. Perhaps an index "
            f"is being built there, or LOCK TABLES or a backup keeps it from "
            f"going on (SHOW FULL PROCESSLIST on that node). Run it again."
        ) from behind


def use_total_order(connection: sa.Connection) -> None:
    """Make changes of the schema go to all nodes, whatever the default is.

    :param connection: whose session this is about
    :raises DBAPIError: of SQLAlchemy
    """
    connection.exec_driver_sql("SET SESSION wsrep_OSU_method = 'TOI'")
