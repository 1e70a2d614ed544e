# SPDX-License-Identifier: Apache-2.0
"""Results of Nova without the plugin, kept from run to run.

A kept result is used only for the same tests of the same Nova with the same
packages beside it, on the same database.
"""

from collections.abc import Sequence
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
) -> tuple[results.Run, bool]:
    """Give the results of a suite without the plugin.

    :param way: how; its mode is not looked at
    :param version: of the database server, empty for SQLite
    :returns: the results, and whether they had to be made
    :raises RunError: the suite could not be run
    """
    plain = running.Way(
        mariadb_url=way.mariadb_url, concurrency=way.concurrency
    )
    kind = f"{suite.name}-mariadb" if version else suite.name
    path = folder() / tree.release / f"{kind}.json"
    key = {
        "nova": tree.release,
        "packages": _digest(running.packages(tree.release)),
        "tests": _digest(ids),
        "database": version,
    }
    try:
        kept, content = results.load(path)
    except (OSError, ValueError, KeyError, TypeError):
        content = {}
    if content.get("key") == key:
        return kept, False
    made = tree.run(suite, ids, plain)
    made.save(path, key=key)
    return made, True


def _digest(what: object) -> str:
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
