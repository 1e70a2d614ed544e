# SPDX-License-Identifier: Apache-2.0
"""The revisions, in order, as alembic reads them from ``versions/``.

Alembic keeps where a database stands in a table of its own. A Nova cell must
not have one: ``nova-manage db archive_deleted_rows`` stops at the first table
that Nova does not know. So each revision declares the one index it makes, as
``INDEX``, and is applied where that index is.
"""

import dataclasses
import functools
import pathlib
import types
from typing import Final

from alembic import script as alembic_script
from alembic import util as alembic_util

from nova_db_states import exceptions
from nova_db_states.migrations import index

__all__ = ["Revision", "known", "load", "up_to"]

_HERE: Final = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True, slots=True)
class Revision:
    """One step: an index, and the alembic script that makes and drops it.

    :ivar revision: alembic's identifier, for example ``0001``
    :ivar summary: the first line of the script's docstring
    :ivar index: the index it makes
    :ivar module: the script, with ``upgrade()`` and ``downgrade()``
    """

    revision: str
    summary: str
    index: index.StateIndex
    module: types.ModuleType


@functools.cache
def load(folder: pathlib.Path = _HERE) -> tuple[Revision, ...]:
    """Read the revisions, the oldest first.

    :param folder: holds ``versions/``; this package unless a test says
        otherwise
    :returns: the revisions in the order of an upgrade
    :raises MigrationError: a script is broken or the line of revisions forks
    """
    directory = alembic_script.ScriptDirectory(str(folder))
    try:
        scripts = list(directory.walk_revisions("base", "head"))
    except alembic_util.CommandError as error:
        raise exceptions.MigrationError(
            f"The revisions in {folder / 'versions'} are not one line: "
            f"{error} Reinstall the package; in a checkout, correct "
            f"down_revision."
        ) from error
    return tuple(
        Revision(
            revision=found.revision,
            summary=(found.doc or "").strip(),
            index=found.module.INDEX,
            module=found.module,
        )
        for found in reversed(scripts)
    )


def up_to(
    revisions: tuple[Revision, ...], target: str | None
) -> tuple[Revision, ...]:
    """Take the revisions from the first to one.

    :param revisions: all, the oldest first
    :param target: the last revision wanted; ``None`` or ``head`` for all,
        ``base`` for none
    :returns: the revisions up to and with ``target``
    :raises MigrationError: there is no such revision
    """
    if target is None or target == "head":
        return revisions
    if target == "base":
        return ()
    for position, found in enumerate(revisions, start=1):
        if found.revision == target:
            return revisions[:position]
    known = ", ".join(found.revision for found in revisions)
    raise exceptions.MigrationError(
        f"There is no revision {target!r}. Give one of: base, {known}, head."
    )


def known(
    revisions: tuple[Revision, ...] | None,
) -> tuple[Revision, ...]:
    """Give the revisions that a caller means.

    :param revisions: the oldest first; ``None`` for this package's
    :returns: the revisions
    """
    return load() if revisions is None else revisions
