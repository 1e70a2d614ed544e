# SPDX-License-Identifier: Apache-2.0
"""Switching the seams on in a process, whenever Nova is imported.

This may run before Nova has let eventlet patch the standard library, so it
imports next to nothing; the seams are imported when Nova's own modules are.
"""

from typing import Final

import wrapt

__all__ = ["HOOKS", "activate"]

_HOOKS: Final = {
    "nova.config": ("nova_db_states.nova.starting:config",),
    "nova.service": ("nova_db_states.nova.starting:service",),
    "nova.objects.instance": ("nova_db_states.nova.seams:instance",),
    "nova.compute.api": ("nova_db_states.nova.compute_api:install",),
    "nova.compute.manager": (
        "nova_db_states.nova.watching:install",
        "nova_db_states.nova.handlers:manager",
        "nova_db_states.nova.startup:install",
    ),
    "nova.compute.resource_tracker": (
        "nova_db_states.nova.handlers:resource_tracker",
    ),
    "nova.conductor.manager": ("nova_db_states.nova.handlers:conductor",),
    "nova.scheduler.utils": ("nova_db_states.nova.handlers:scheduler_utils",),
}
"""Module of Nova's to the functions that are called once it is imported. That
is done by ``care.imported``, which lets no failure of ours reach Nova."""

HOOKS: Final = _HOOKS

_done: Final[dict[str, object]] = {}
"""Adding to a dict needs no lock, and one made here would be of the wrong
kind once eventlet has patched the standard library."""


def activate() -> None:
    """Put the seams into Nova, or let that be done when Nova is imported.

    May be called at any time, from any thread and more than once. A caller
    that must not go on before another one is done has to see to that.

    :raises UnsupportedNova: the Nova here is none that the map speaks of, and
        ``mode = enforce`` stands in the configuration itself
    """
    mine = object()
    if _done.setdefault("activate", mine) is mine:
        for module in _HOOKS:
            wrapt.register_post_import_hook(
                "nova_db_states.nova.care:imported", module
            )
