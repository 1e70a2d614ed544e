# SPDX-License-Identifier: Apache-2.0
"""Reads a tree of Nova's source, without importing any of it."""

import ast
from collections.abc import Iterator
import pathlib
from typing import Final

from nova_db_states.drift import sites
from nova_db_states.drift import source
from nova_db_states.drift import values
from nova_db_states.drift import vocabulary

__all__ = ["scan"]

_FIELDS: Final = "objects/fields.py"
_VM_STATES: Final = "compute/vm_states.py"
_TASK_STATES: Final = "compute/task_states.py"
_STATUSES: Final = "api/openstack/common.py"
_API: Final = "nova/compute/api.py"

_LEFT_OUT: Final = "tests"


def scan(root: pathlib.Path) -> sites.Inventory:
    """Find everything about states in a tree of Nova's source.

    :param root: the folder of the package ``nova``
    :returns: what was found
    :raises OSError: if a file cannot be read that every release has
    :raises SyntaxError: if a file is written in a newer Python than this
    """
    words = vocabulary.read(
        *(_parse(root / name) for name in (_FIELDS, _VM_STATES, _TASK_STATES))
    )
    every = [source.Source(file, text, words) for file, text in _files(root)]
    heads = {
        name: function
        for each in every
        if each.file == _API
        for name, function in each.heads().items()
    }
    found = [site for each in every for site in each.writes()]
    return sites.Inventory(
        sites=tuple(site for site in found if site.event != sites.SAVE),
        saves=tuple(site for site in found if site.event == sites.SAVE),
        functions=frozenset(
            place for each in every for place in each.places()
        ),
        conditions={
            place: conditions
            for each in every
            for place, conditions in each.conditions()
        },
        checks=tuple(check for each in every for check in each.checks(heads)),
        vm_states=words.vm_states,
        task_states=words.task_states,
        statuses=vocabulary.statuses(
            _parse(root / _STATUSES), values.Evaluator(words.constants)
        ),
    )


def _parse(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _files(root: pathlib.Path) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if inside.parts[0] == _LEFT_OUT:
            continue
        text = path.read_text(encoding="utf-8")
        if source.MENTION.search(text):
            yield f"nova/{inside.as_posix()}", text
