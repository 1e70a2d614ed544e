# SPDX-License-Identifier: Apache-2.0
"""Compares the writes that Nova's source makes with those that are declared.

A declaration and a place in the source belong together when they name the
same function, the same kind of write and the same helper. What the source
computes may be anything, but must be declared; what it says must be said by
the declarations, no less and no more. A guard of Nova's is the set of task
states before the arrow.
"""

from collections.abc import Iterable, Iterator
import dataclasses
from typing import Final

from nova_db_states.drift import findings
from nova_db_states.drift import sites
from nova_db_states.drift import tolerated
from nova_db_states.machine import model

__all__ = ["Declared", "compare_writes", "declared_in"]

_DECLARE: Final = "Look at it and declare it, or say why it needs none."
_WITHDRAW: Final = (
    "End the declaration with the release before, or say where it went."
)
_CORRECT: Final = "Look at it and declare what it does from this release on."


Key = tuple[str, str, str]

# Two wrappers of the conductor's around one helper.
_SAME: Final = {
    "_set_vm_state": "set_vm_state_and_notify",
    "_set_vm_state_and_notify": "set_vm_state_and_notify",
}

_COMPUTED: Final[sites.Values] = frozenset({sites.UNKNOWN})


@dataclasses.dataclass(frozen=True)
class Declared:
    """One declared write, in the terms of the scanner.

    :ivar action: the name of its action
    :ivar write: as it is declared
    """

    action: str
    write: model.Write

    @property
    def key(self) -> Key:
        """What a site must have in common with it."""
        via = self.write.via.rpartition(".")[2]
        return self.write.nova, self.write.event, _SAME.get(via, via)

    @property
    def from_task(self) -> sites.Values:
        """The task states that it starts from."""
        return frozenset(map(_plain, self.write.change.from_task))

    @property
    def from_vm(self) -> sites.Values:
        """The ``vm_state`` values that it starts from."""
        return frozenset(map(_plain, self.write.change.from_vm))

    def fits(self, site: sites.Site) -> bool:
        """Say whether it writes something that the source writes there."""
        if site.event == sites.SAVE:
            # It flushes what was refused before, whatever that was.
            return not self.write.guarded
        return bool(
            self.covered_vm(site) is not None
            and self.covered_task(site) is not None
        )

    def covered_vm(self, site: sites.Site) -> sites.Values | None:
        """Give what it says of the ``vm_state`` written at a site.

        :param site: the site
        :returns: the values; ``None`` if the source does not write that
        """
        change = self.write.change
        return self._or_kept(
            _covered(change.from_vm, change.to_vm, site.to_vm), site.to_vm
        )

    def covered_task(self, site: sites.Site) -> sites.Values | None:
        """Give what it says of the ``task_state`` written at a site.

        :param site: the site
        :returns: the values; ``None`` if the source does not write that
        """
        change = self.write.change
        return self._or_kept(
            _covered(change.from_task, change.to_task, site.to_task),
            site.to_task,
        )

    def _or_kept(
        self, covered: sites.Values | None, found: sites.Values
    ) -> sites.Values | None:
        """Let what is left in the object reach a column that is not set."""
        if covered is None and self.write.dirty and sites.KEEP in found:
            return frozenset({sites.KEEP})
        return covered

    def __str__(self) -> str:
        guard = "" if self.write.guarded else ", unguarded"
        return f"{self.write.change}{guard} ({self.action})"


def _plain(value: str | None) -> str | None:
    return None if value is None else str(value)


def _covered(
    before: Iterable[str | None],
    after: Iterable[str | None] | None,
    found: sites.Values,
) -> sites.Values | None:
    """Say what a declared column covers of one in the source.

    :param before: the values before the arrow
    :param after: those behind it, ``None`` for a column that is not set
    :param found: what the source writes
    :returns: the values of the source that it stands for, or ``None``
    """
    start = frozenset(map(_plain, before))
    # To leave the column as it is and to write what it holds are the same.
    ways = [frozenset({sites.KEEP}), start]
    if after is not None:
        end = frozenset(map(_plain, after))
        ways = [end]
        if end == start and len(end) == 1:
            ways.append(frozenset({sites.KEEP}))
    for way in ways:
        if way <= found:
            return way
    return ways[0] & found if sites.UNKNOWN in found else None


def declared_in(
    actions: Iterable[model.Action], release: int
) -> list[Declared]:
    """List what is declared of one release.

    :param actions: the declared actions
    :param release: the number of the release
    :returns: the writes
    """
    return [
        Declared(action.name, write)
        for action in actions
        for write in action.writes
        if write.is_in(release)
    ]


def compare_writes(
    inventory: sites.Inventory,
    declared: Iterable[Declared],
    release: int,
) -> Iterator[findings.Drift]:
    """Compare every write.

    :param inventory: what the source has
    :param declared: what is declared of its release
    :param release: the number of the release
    :returns: what is apart
    """
    groups: dict[Key, _Group] = {}
    for each in declared:
        groups.setdefault(each.key, _Group()).declared.append(each)
    for site in (*inventory.sites, *inventory.saves):
        group = groups.setdefault(_key(site), _Group())
        if site not in group.found:
            group.found.append(site)
    seen: set[tolerated.Tolerated] = set()
    for key in sorted(groups):
        yield from groups[key].compare(release, seen)
    for entry in tolerated.TABLE:
        if entry.is_in(release) and entry not in seen:
            yield findings.Drift(
                findings.Kind.GONE,
                entry.place,
                "nothing like it",
                f"tolerated: {entry.what}",
                _WITHDRAW,
            )


def _key(site: sites.Site) -> Key:
    event = site.event
    if event == sites.SAVE:
        event = sites.UPDATE
    return site.place, event, _SAME.get(site.via, site.via)


@dataclasses.dataclass
class _Group:
    """What is found and what is declared of one kind of write of a function.

    :ivar found: the sites
    :ivar declared: the declarations
    """

    found: list[sites.Site] = dataclasses.field(default_factory=list)
    declared: list[Declared] = dataclasses.field(default_factory=list)

    def compare(
        self, release: int, seen: set[tolerated.Tolerated]
    ) -> Iterator[findings.Drift]:
        """Compare the two.

        :param release: the number of the release
        :param seen: is told what was found and is tolerated
        :returns: what is apart
        """
        matched: list[Declared] = []
        apart: list[sites.Site] = []
        for site in self.found:
            every = [each for each in self.declared if each.fits(site)]
            # What was refused before says nothing of what this line sets.
            fitting = [each for each in every if not each.write.dirty]
            if site.event == sites.SAVE:
                matched += every
            elif fitting:
                right = [each for each in fitting if _guard_fits(each, site)]
                matched += right
                matched += [
                    each
                    for each in every
                    if each.write.dirty and _guard_fits(each, site)
                ]
                drifts = list(_compare_site(site, right, fitting))
                if drifts:
                    apart.append(site)
                yield from drifts
            else:
                entry = tolerated.find(site, release)
                if entry is None:
                    others = self._without_a_site()
                    yield _unexpected(site, others)
                    apart.append(site)
                    matched += others
                else:
                    seen.add(entry)
        yield from self._missing(
            [
                each
                for each in self.declared
                if each not in matched
                and not any(each.fits(site) for site in apart)
            ]
        )

    def _without_a_site(self) -> list[Declared]:
        return [
            each
            for each in self.declared
            if not any(each.fits(site) for site in self.found)
        ]

    def _missing(self, lost: list[Declared]) -> Iterator[findings.Drift]:
        """Report the declarations that no site agrees with."""
        for site in self.found:
            here = [each for each in lost if each.fits(site)]
            if here:
                yield _drift(findings.Kind.GUARD, site, here, _CORRECT)
                lost = [each for each in lost if each not in here]
        if lost:
            others = [site for site in self.found if site.event != sites.SAVE]
            yield findings.Drift(
                findings.Kind.GONE,
                lost[0].write.nova,
                "; ".join(map(str, others)) or "nothing like it",
                "; ".join(map(str, lost)),
                _WITHDRAW,
            )


def _unexpected(site: sites.Site, others: list[Declared]) -> findings.Drift:
    if others:
        return _drift(findings.Kind.VALUES, site, others, _CORRECT)
    return _drift(findings.Kind.UNDECLARED, site, [], _DECLARE)


def _guard_fits(each: Declared, site: sites.Site) -> bool:
    if site.event != sites.UPDATE:
        return True
    if site.expected is None:
        return not each.write.guarded
    if sites.UNKNOWN in site.expected:
        return True
    return each.write.guarded and each.from_task <= site.expected


def _compare_site(
    site: sites.Site,
    right: list[Declared],
    fitting: list[Declared],
) -> Iterator[findings.Drift]:
    """Compare one site with the declarations that write the same.

    :param site: the site
    :param right: those whose guard can be the site's, too
    :param fitting: all of them
    :returns: what is apart
    """
    vm: set[str | None] = set()
    task: set[str | None] = set()
    for each in fitting:
        vm |= each.covered_vm(site) or frozenset()
        task |= each.covered_task(site) or frozenset()
    spare = tolerated.spare(site)
    vm |= spare.to_vm | _COMPUTED
    task |= spare.to_task | _COMPUTED
    if not (site.to_vm <= vm and site.to_task <= task):
        yield _drift(findings.Kind.VALUES, site, fitting, _CORRECT)
        return
    if site.event != sites.UPDATE:
        return
    stated = frozenset[str | None]().union(
        *(each.from_task for each in right if each.write.guarded)
    )
    guards = {(site.expected or frozenset()) - _COMPUTED: stated}
    if site.expected_vm is not None:
        guards[site.expected_vm - _COMPUTED] = frozenset().union(
            *(each.from_vm for each in right if each.write.guarded)
        )
    if not right or any(
        not known <= said | spare.expected for known, said in guards.items()
    ):
        yield _drift(findings.Kind.GUARD, site, fitting, _CORRECT)


def _drift(
    kind: findings.Kind,
    site: sites.Site,
    declared: Iterable[Declared],
    remedy: str,
) -> findings.Drift:
    return findings.Drift(
        kind,
        f"{site.place}, line {site.line}",
        str(site),
        "; ".join(map(str, declared)) or "nothing like it",
        remedy,
    )
