# SPDX-License-Identifier: Apache-2.0
"""Updates that were on their way into Nova's functions before the seam was.

The engine is made when a process first needs the database, and with it the
seam. If that first need is an update, or if a caller kept one of Nova's
functions, the function that runs is Nova's; but it looks up the one that does
the work only then, and finds this.
"""

import contextvars
import functools
from typing import Any, Final

from nova_db_states.nova import db_api
from nova_db_states.nova import settings

__all__ = ["install"]

_inside: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar(
    "nova_db_states_first", default=False
)


def install(db: Any, seam: db_api.Seam) -> None:
    """Guard what Nova's own functions call.

    :param db: the module ``nova.db.main.api``
    :param seam: its guarded functions
    """
    theirs = db._instance_update

    @functools.wraps(theirs)
    def _instance_update(
        context: Any,
        instance_uuid: str,
        values: Any,
        expected: Any,
        original: Any = None,
    ) -> Any:
        # The guarded function itself falls back on Nova's for what only that
        # one understands.
        if settings.is_off() or _inside.get():
            return theirs(context, instance_uuid, values, expected, original)
        token = _inside.set(True)
        try:
            return seam._update(context, True, instance_uuid, values, expected)
        finally:
            _inside.reset(token)

    db._instance_update = _instance_update
