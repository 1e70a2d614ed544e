# SPDX-License-Identifier: Apache-2.0
"""The edges that are allowed, one a line, for programs and spreadsheets."""

import csv
import io
from typing import Final

from nova_db_states.machine.render import parts

__all__ = ["COLUMNS", "render"]

COLUMNS: Final = (
    "from_vm_state",
    "from_task_state",
    "to_vm_state",
    "to_task_state",
    "action",
    "path",
    "nova",
)


def render(part: parts.Part) -> str:
    """Write the allowed edges of a part as CSV, sorted, none twice.

    An empty state is NULL. A boot starts from the ``vm_state`` ``(none)``;
    where a row is marked as deleted it keeps its states.

    :param part: what to write
    :returns: a header and a line for each edge, action, path and function
    """
    rows = dict.fromkeys(
        (*edge.from_, *edge.to, edge.action, edge.path, edge.nova)
        for edge in part.transitions
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()
