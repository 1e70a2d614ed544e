# SPDX-License-Identifier: Apache-2.0
"""Lets the scanner read a few lines, with a handful of states."""

import ast
import textwrap
from typing import Final

from nova_db_states.drift import source
from nova_db_states.drift import vocabulary

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
