# SPDX-License-Identifier: Apache-2.0
"""What the plugin costs and saves Nova: its own operations, with and without.

Two processes of Nova's virtualenv do the same to the same cell by turns, one
of them with the plugin. They use servers of their own, which have what Nova
gives a server: metadata, an info cache and an extra.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import json
from typing import Final

import sqlalchemy as sa

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import peers
from benchmarks import sampling
from benchmarks import through_nova

__all__ = ["NAMES", "measure"]

_SYSTEM_METADATA: Final = 20
_LIMIT_S: Final = 30.0

PLUGIN: Final = "plugin"
NOVA: Final = "Nova"


@dataclasses.dataclass(frozen=True, slots=True)
class _Promise:
    """What an operation has to be, compared with Nova's own.

    :ivar operation: its name in ``through_nova``
    :ivar what: in words
    :ivar faster: how many times at least
    """

    operation: str
    what: str
    faster: float


_PROMISES: Final = {
    "nova-save": _Promise(
        "save", "Instance.save() of a state, Nova's against the plugin's", 3.0
    ),
    "nova-update-and-get": _Promise(
        "update-and-get",
        "instance_update_and_get_original, Nova's against the plugin's",
        3.0,
    ),
    "nova-refused": _Promise(
        "refused", "a refused save, Nova's against the plugin's", 5.0
    ),
    "nova-lost": _Promise(
        "lost",
        "a save lost inside a snapshot, Nova's against the plugin's",
        100.0,
    ),
}

_OTHERS: Final = (
    "save-unguarded",
    "save-stateless",
    "save-metadata",
    "save-extra",
    "save-flavor",
    "update",
    "update-stateless",
    "refused-below",
    "destroy",
    "get",
    "refresh",
)
"""Which must not be slower."""

_NOTHING: Final = "save-nothing"
_NOTHING_MS: Final = 0.25
"""A save without any change sends nothing; what is added is time alone."""

# Two processes alternate, and the machine has its moods: what is the same on
# both sides differs by this much between two runs.
_NOISE: Final = 1.05

NAMES: Final = (*_PROMISES, "nova-others")

_SCHEMES: Final = ("mysql+pymysql", "mariadb+pymysql")

Peers = Mapping[tuple[str, str], peers.Peer]


def measure(
    cell: cell_.Cell, names: Sequence[str], say: Callable[[str], None]
) -> Iterator[figure.Figure]:
    """Time Nova's operations with and without the plugin.

    :param cell: where
    :param names: some of :data:`NAMES`
    :param say: is told what is under way
    :returns: yields the figures
    """
    operations = [
        *(one.operation for one in _PROMISES.values()),
        *_OTHERS,
        _NOTHING,
    ]
    with contextlib.ExitStack() as stack:
        there = {
            (scheme, plugin): stack.enter_context(
                _peer(cell, scheme, plugin, operations)
            )
            for scheme in _SCHEMES
            for plugin in ("off", "on")
        }
        for name in names:
            say(name)
            if name in _PROMISES:
                yield _promised(name, there)
            else:
                yield from _others(there)
                yield _nothing(there)


@contextlib.contextmanager
def _peer(
    cell: cell_.Cell, scheme: str, plugin: str, operations: Sequence[str]
) -> Iterator[peers.Peer]:
    url = sa.make_url(cell.url).set(drivername=scheme)
    offset = (2 * _SCHEMES.index(scheme) + (plugin == "on")) * len(operations)
    chosen = cell.quiet_servers(len(operations) * 2 * len(_SCHEMES))
    servers = dict(zip(operations, chosen[offset:], strict=False))
    with contextlib.closing(cell_.connect(cell)) as connection:
        for server in servers.values():
            _furnish(connection, server)
    with peers.running(
        through_nova,
        plugin,
        url.render_as_string(hide_password=False),
        json.dumps(servers),
    ) as peer:
        yield peer


def _furnish(connection: cell_.Connection, server: str) -> None:
    """Give a server what Nova gives one when it makes it."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO instance_system_metadata"
            " (created_at, instance_uuid, `key`, `value`, deleted)"
            " VALUES (NOW(), %s, %s, %s, 0)",
            [
                (server, f"image_property_{number}", "x" * 20)
                for number in range(_SYSTEM_METADATA)
            ],
        )
        cursor.execute(
            "INSERT INTO instance_info_caches"
            " (created_at, instance_uuid, network_info, deleted)"
            " VALUES (NOW(), %s, '[]', 0)",
            (server,),
        )
        cursor.execute(
            "INSERT INTO instance_extra"
            " (created_at, instance_uuid, flavor, deleted)"
            " VALUES (NOW(), %s, %s, 0)",
            (server, json.dumps(_FLAVOR)),
        )


_FLAVOR: Final = {
    "cur": {
        "nova_object.name": "Flavor",
        "nova_object.namespace": "nova",
        "nova_object.version": "1.2",
        "nova_object.data": {
            "id": 1,
            "name": "m1.small",
            "memory_mb": 2048,
            "vcpus": 1,
            "root_gb": 20,
            "ephemeral_gb": 0,
            "flavorid": "2",
            "swap": 0,
            "rxtx_factor": 1.0,
            "vcpu_weight": 0,
            "disabled": False,
            "is_public": True,
            "extra_specs": {"hw:cpu_policy": "shared"},
            "deleted": False,
            "created_at": None,
            "updated_at": None,
            "deleted_at": None,
            "description": None,
        },
    },
    "old": None,
    "new": None,
}


def _promised(name: str, there: Peers) -> figure.Figure:
    promise = _PROMISES[name]
    # Nova sleeps for a second in each of these.
    slow = name == "nova-lost"
    times = _timed(
        there,
        promise.operation,
        rounds=3 if slow else 60,
        calls=2 if slow else 10,
    )
    first = _SCHEMES[0]
    return figure.Figure(
        name,
        promise.what,
        _ratio(times, first, NOVA, PLUGIN),
        promise.faster,
        "times",
        at_least=True,
        samples=times,
        numbers=_statements(there, promise.operation),
    )


def _others(there: Peers) -> Iterator[figure.Figure]:
    for operation in _OTHERS:
        times = _timed(there, operation, rounds=40, calls=10)
        yield figure.Figure(
            "nova-others",
            f"{operation}, the plugin's against Nova's",
            max(_ratio(times, scheme, PLUGIN, NOVA) for scheme in _SCHEMES),
            _NOISE,
            "times",
            samples=times,
            numbers=_statements(there, operation),
        )


def _nothing(there: Peers) -> figure.Figure:
    times = _timed(there, _NOTHING, rounds=40, calls=10)
    added = [
        _p50(times, scheme, PLUGIN) - _p50(times, scheme, NOVA)
        for scheme in _SCHEMES
    ]
    return figure.Figure(
        "nova-others",
        "save-nothing, added by the plugin",
        max(added),
        _NOTHING_MS,
        "ms",
        samples=times,
        numbers=_statements(there, _NOTHING),
    )


def _timed(
    there: Peers, operation: str, *, rounds: int, calls: int
) -> dict[str, sampling.Summary]:
    samples = sampling.interleave(
        {
            _who(operation, scheme, plugin): peer.block(operation)
            for (scheme, plugin), peer in there.items()
        },
        rounds=rounds,
        calls=calls,
        limit_s=_LIMIT_S,
    )
    return {
        who: sampling.summarise(seconds) for who, seconds in samples.items()
    }


def _who(operation: str, scheme: str, plugin: str) -> str:
    who = PLUGIN if plugin == "on" else NOVA
    return f"{operation}: {who}, {scheme}"


def _ratio(
    times: Mapping[str, sampling.Summary], scheme: str, one: str, other: str
) -> float:
    return _p50(times, scheme, one) / _p50(times, scheme, other)


def _p50(
    times: Mapping[str, sampling.Summary], scheme: str, who: str
) -> float:
    (found,) = (
        one.p50_ms
        for name, one in times.items()
        if name.endswith(f": {who}, {scheme}")
    )
    return found


def _statements(there: Peers, operation: str) -> dict[str, float]:
    """Count what the server is told in one call."""
    return {
        f"statements, {_who(operation, scheme, plugin)}": len(
            peer.ask("statements", operation)
        )
        for (scheme, plugin), peer in there.items()
    }
