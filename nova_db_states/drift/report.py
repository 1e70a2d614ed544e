# SPDX-License-Identifier: Apache-2.0
"""Holds the map to the source of one Nova."""

from collections.abc import Iterable
import dataclasses
import pathlib
from typing import Final

from nova_db_states.drift import agree
from nova_db_states.drift import compare
from nova_db_states.drift import conditions
from nova_db_states.drift import find
from nova_db_states.drift import findings
from nova_db_states.drift import repeats
from nova_db_states.drift import scan
from nova_db_states.drift import sites
from nova_db_states.machine import instance
from nova_db_states.machine import model

__all__ = ["KNOWN_RELEASES", "Report", "judge", "verify"]

KNOWN_RELEASES: Final = (instance.RELEASES[0], instance.RELEASES[-1])
"""The first and the last release that the map was made from."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a comparison found.

    :ivar tree: what was read
    :ivar compared_with: the release whose declarations it was compared with
    :ivar writes: how many writes were found
    :ivar drifts: what is apart; empty if the map holds
    """

    tree: find.Tree
    compared_with: int
    writes: int
    drifts: tuple[findings.Drift, ...]

    @property
    def holds(self) -> bool:
        """Whether the map is right for this Nova."""
        return not self.drifts


def verify(
    path: pathlib.Path | None = None, version: str | None = None
) -> Report:
    """Compare the map with the source of a Nova.

    Nothing of that Nova is imported or run. A release that is newer than the
    newest known one is compared with that, an older one with the oldest.

    :param path: where it is; ``None`` for the one that is installed
    :param version: its version, where the metadata beside it does not say
    :returns: what is apart
    :raises NovaSourceError: it cannot be found or read
    """
    tree = find.find_nova(path, version)
    try:
        inventory = scan.scan(tree.root)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise find.NovaSourceError(
            f"The source of Nova {tree.version} in {tree.root} cannot be "
            f"read: {error}. If it is written for a newer Python, run this "
            "with that one."
        ) from error
    first, last = KNOWN_RELEASES
    release = min(max(tree.release, first), last)
    drifts = judge(inventory, instance.MAP.actions.values(), release)
    return Report(tree, release, len(inventory.sites), drifts)


def judge(
    inventory: sites.Inventory,
    actions: Iterable[model.Action],
    release: int,
) -> tuple[findings.Drift, ...]:
    """Compare what was found in a source with some actions.

    :param inventory: what was found
    :param actions: the actions
    :param release: the number of the release
    :returns: what is apart
    """
    every = tuple(actions)
    declared = compare.declared_in(every, release)
    writes = list(compare.compare_writes(inventory, declared, release))
    apart = {drift.where for drift in writes}
    return (
        *agree.compare_names(inventory),
        *writes,
        *repeats.compare_counts(inventory.sites, apart, release),
        *conditions.compare_conditions(inventory, release),
        *agree.compare_functions(inventory, every, release),
        *agree.compare_checks(inventory, every),
        *agree.compare_statuses(inventory),
    )
