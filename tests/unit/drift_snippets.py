# SPDX-License-Identifier: Apache-2.0
"""Lets the scanner read a few lines, with a handful of states."""

import ast
import textwrap
from typing import Final

from nova_db_states import states
from nova_db_states.drift import sites
from nova_db_states.drift import source
from nova_db_states.drift import vocabulary
from nova_db_states.machine import status

NOVA: Final = "nova/file.py:f"
"""The function that the snippets are of."""

FIELDS: Final = """
class InstanceState(BaseNovaEnum):
    ACTIVE = 'active'
    STOPPED = 'stopped'
    ERROR = 'error'
    ALL = (ACTIVE, STOPPED, ERROR)

class InstanceTaskState(BaseNovaEnum):
    REBOOTING = "rebooting"
    PAUSING = 'pausing'
    DELETING = 'deleting'
"""
VM_STATES: Final = """
ACTIVE = fields.InstanceState.ACTIVE
STOPPED = fields.InstanceState.STOPPED
ERROR = fields.InstanceState.ERROR
ALLOW = [ACTIVE] + [STOPPED]
"""
TASK_STATES: Final = """
REBOOTING = fields.InstanceTaskState.REBOOTING
PAUSING = \\
    fields.InstanceTaskState.PAUSING
DELETING = fields.InstanceTaskState.DELETING
ALLOW_REBOOT = [None, REBOOTING]
"""
WORDS: Final = vocabulary.read(
    *(ast.parse(text) for text in (FIELDS, VM_STATES, TASK_STATES))
)


def writes(text: str) -> list[str]:
    """Scan a file; give each write as ``function: what it does``."""
    read = source.Source("nova/file.py", textwrap.dedent(text), WORDS)
    return [f"{site.function}: {site}" for site in read.writes()]


def in_function(text: str) -> list[str]:
    """Scan the body of one function; give what it writes."""
    body = textwrap.indent(textwrap.dedent(text), "    ")
    found = writes(f"def f(self, instance):\n{body}")
    return [line.removeprefix("f: ") for line in found]


def inventory(
    *found: sites.Site, checks: tuple[sites.Check, ...] = ()
) -> sites.Inventory:
    """Make an inventory whose names and statuses are right."""
    return sites.Inventory(
        sites=tuple(each for each in found if each.event != sites.SAVE),
        saves=tuple(each for each in found if each.event == sites.SAVE),
        functions=frozenset({NOVA}),
        conditions={},
        checks=checks,
        vm_states={each.name: str(each) for each in states.VMState},
        task_states={each.name: str(each) for each in states.TaskState},
        statuses={
            str(vm): {
                "default": status.reported_status(vm),
                **{
                    str(task): status.reported_status(vm, task)
                    for task in states.TaskState
                },
            }
            for vm in states.VMState
        },
    )


def scanned(body: str) -> sites.Inventory:
    """Scan the body of ``f`` in ``nova/file.py``."""
    lines = "\n    ".join(body.splitlines())
    text = f"def f(self, instance):\n    {lines}\n"
    read = source.Source("nova/file.py", text, WORDS)
    return inventory(*read.writes())


def replaced(found: sites.Inventory, **changes: object) -> sites.Inventory:
    """Give an inventory that differs in something."""
    return sites.Inventory(**{**vars(found), **changes})
