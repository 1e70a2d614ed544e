# SPDX-License-Identifier: Apache-2.0
"""Results of Nova without the plugin, kept from run to run.

A kept result is used only for the same test of the same Nova with the same
packages beside it, on the same database.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Final

from tests.conformance import results
from tests.conformance import running
from tests.conformance import suites
from tools import nova_venvs

FOLDER_VARIABLE: Final = "NOVA_DB_STATES_BASELINES"
MAX_AGAIN: Final = 40
"""How many tests are run again; so many at once are no accident."""


def folder() -> pathlib.Path:
    """Give the folder that the environment names, or one beside Nova's."""
    given = os.environ.get(FOLDER_VARIABLE)
    return pathlib.Path(given) if given else nova_venvs.FOLDER / "baseline"


def run(
    tree: running.Tree,
    suite: suites.Suite,
    ids: Sequence[str],
    way: running.Way,
    version: str = "",
) -> tuple[results.Run, int]:
    """Give the results of tests without the plugin.

    :param way: how; its mode is not looked at
    :param version: of the database server, empty for SQLite
    :returns: the results, and how many tests had to be run for them
    :raises RunError: the suite could not be run
    """
    kind = suite.part_of or suite.name
    path = (
        folder()
        / tree.release
        / (f"{kind}-mariadb.json" if version else f"{kind}.json")
    )
    key = {
        "nova": tree.release,
        "packages": _digest(running.packages(tree.release)),
        "database": version,
    }
    kept = _kept(path, key)
    missing = [id_ for id_ in ids if id_ not in _plain(kept.results)]
    if missing:
        plain = dataclasses.replace(way, mode="")
        made = tree.run(suite, missing, plain)
        kept = results.Run(
            {**kept.results, **_settled(tree, suite, missing, made, plain)},
            made.reports,
            kept.seconds + made.seconds,
        )
        kept.save(path, key=key)
    wanted = set(ids)
    found = {
        id_: result
        for id_, result in kept.results.items()
        if wanted & _names(id_)
    }
    return dataclasses.replace(kept, results=found), len(missing)


def _settled(
    tree: running.Tree,
    suite: suites.Suite,
    ids: Sequence[str],
    made: results.Run,
    plain: running.Way,
) -> Mapping[str, results.Result]:
    """Run what did not pass again, alone: a busy machine is no reason."""
    found = dict(made.results)
    bad = {
        id_.split("(", maxsplit=1)[0]
        for id_, result in found.items()
        if not result.is_good
    }
    if len(bad) <= MAX_AGAIN:
        for id_ in sorted(bad & set(ids)):
            found |= tree.run(suite, [id_], plain).results
    return found


def _kept(path: pathlib.Path, key: Mapping[str, str]) -> results.Run:
    """Read what is kept, if it is of the same Nova in the same place."""
    try:
        kept, content = results.load(path)
    except (OSError, ValueError, KeyError, TypeError):
        return results.Run({})
    there = content.get("key", {})
    same = all(there.get(name) == value for name, value in key.items())
    return kept if same else results.Run({})


def _plain(ids: Iterable[str]) -> set[str]:
    return {name for id_ in ids for name in _names(id_)}


def _names(id_: str) -> set[str]:
    """Give the id and, for a scenario, that of the test that it is of."""
    return {id_, id_.split("(", maxsplit=1)[0]}


def _digest(what: object) -> str:
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
