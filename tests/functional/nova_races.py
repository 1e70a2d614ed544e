# SPDX-License-Identifier: Apache-2.0
"""Runs of races inside Nova, each made once however many tests ask for it."""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Final

from tests.functional import nova_race_tables as tables
from tests.nova_side import runner
from tests.resources import schema
from tests.resources import servers

OLDEST: Final = schema.RELEASES[0]
NEWEST: Final = schema.RELEASES[-1]
TIMEOUT_S: Final = 3600
"""For the test that happens to be the first of a way."""


@dataclasses.dataclass(frozen=True)
class Way:
    """On what scenarios are run."""

    release: str
    database: str

    def __str__(self) -> str:
        return f"{self.release}-{self.database}"

    def url_on(self, server: servers.Server) -> str | None:
        """Give the URL to make databases at; ``None`` where none are made."""
        if self.database == "mariadb":
            return f"{server.url().rstrip('/')}/"
        return None


EVERY: Final = tuple(
    Way(release, database)
    for release in schema.RELEASES
    for database in ("sqlite", "mariadb")
)
"""Where every scenario can be run."""

WAYS: Final = (Way(OLDEST, "sqlite"), Way(NEWEST, "mariadb"))
"""Where every scenario is run with the plugin, unless more is asked for."""

RELEASES: Final = (OLDEST, NEWEST)
"""In which releases everything else is run, unless more is asked for."""

CONTROLS: Final = (Way(NEWEST, "sqlite"),)
"""Where every scenario is run without it, unless more is asked for."""


class Races:
    """What became of the scenarios of modules, run when first asked for."""

    def __init__(self) -> None:
        self._found: dict[tuple[Way, bool], dict[str, dict[str, str]]] = {}

    def of(
        self,
        module: str,
        way: Way,
        server: servers.Server | None,
        *,
        plugin: bool,
    ) -> Mapping[str, str]:
        """Give the outcomes of a module.

        :param module: ``build_cases`` and the like
        :param way: on what
        :param server: MariaDB; ``None`` for SQLite
        :param plugin: whether it is active
        :returns: scenario to ``ok`` or what it failed with
        """
        key = (way, plugin)
        if key not in self._found:
            self._found[key] = runner.run_modules(
                way.release,
                [*tables.DAMAGED_WITHOUT],
                plugin=plugin,
                database=way.database,
                mariadb_url=server and way.url_on(server),
                timeout_s=TIMEOUT_S,
            )
        return self._found[key][module]


RACES: Final = Races()


def wrong(
    found: Mapping[str, str],
    damaged: Mapping[str, str],
    unharmed: frozenset[str],
) -> Iterator[str]:
    """List what a run without the plugin was expected to show and did not.

    :param found: scenario to outcome
    :param damaged: scenario to what the failure says
    :param unharmed: scenarios that are right without the plugin too
    """
    for name in sorted({*found} ^ {*damaged, *unharmed}):
        yield f"{name} is in the run or in the tables, and not in both"
    for name, outcome in sorted(found.items()):
        said = damaged.get(name)
        if name in unharmed and outcome != runner.OK:
            yield f"{name} is not right without the plugin: {outcome}"
        if said and outcome == runner.OK:
            yield f"{name} passes without the plugin, and so proves nothing"
        elif said and said not in outcome:
            yield f"{name} fails with something else than {said}: {outcome}"
