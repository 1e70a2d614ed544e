# SPDX-License-Identifier: Apache-2.0
"""To another host while the guest runs: live migration."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_CONDUCTOR = names.CONDUCTOR

_MIGRATED_S: Final = 24 * names.HOUR
"""For the turn among [DEFAULT]max_concurrent_live_migrations (1) of its
host, and the copy: [libvirt]live_migration_completion_timeout is 800 s for
each GiB of memory and disk, so more than 14 hours for 64 GiB."""

LIVE_MIGRATE: Final = model.Action(
    "live migrate",
    "Move a server to another host while its guest runs.",
    "active|paused / NULL",
    f"{_API}.live_migrate",
    (
        model.step(
            "active|paused / NULL      -> = / migrating",
            f"{_API}.live_migrate",
            at_most_s=_MIGRATED_S,
        ),
        *(
            write
            for function, releases in (
                ("post_live_migration_at_destination", (None, 33)),
                ("_do_post_live_migration_at_destination", (34, None)),
            )
            for write in (
                model.step(
                    "active|paused / migrating -> = / NULL",
                    f"{_MANAGER}.{function}",
                    when="the row names the destination from here on",
                    releases=releases,
                ),
                model.fails(
                    "active|paused / migrating -> error / NULL",
                    f"{_MANAGER}.{function}",
                    guarded=True,
                    when="the destination has the guest and a failure",
                    releases=releases,
                ),
            )
        ),
        model.fails(
            "active|paused / migrating -> = / NULL",
            f"{_CONDUCTOR}._live_migrate",
            via=names.NOTIFY,
            when="no host can take it",
        ),
        model.fails(
            "active|paused / migrating -> error / NULL",
            f"{_CONDUCTOR}._live_migrate",
            via=names.NOTIFY,
            when="something went wrong that nobody expected",
        ),
        model.fails(
            "active|paused / migrating -> = / NULL",
            f"{_MANAGER}._rollback_live_migration",
            guarded=True,
            when="it fails or is aborted: the guest stays on the source",
        ),
        model.fails(
            "active|paused / migrating -> = / NULL",
            f"{_MANAGER}.live_migration_abort",
            guarded=True,
            when="it is aborted before its turn came",
        ),
        model.fails(
            "active|paused / migrating -> error / NULL",
            f"{_MANAGER}._do_live_migration",
            via=names.ERROR,
            when="the driver fails, too late to go back",
        ),
        model.fails(
            "active|paused / NULL      -> error / NULL",
            f"{_MANAGER}._do_live_migration",
            via=names.ERROR,
            when="the guest has moved, and the source cannot clean up",
        ),
        model.fails(
            "active|paused / !NULL|migrating -> error / NULL",
            f"{_MANAGER}._do_live_migration",
            via=names.ERROR,
            when="as before, and something else has begun on it",
            defect="The server is at its destination, and the source takes "
            "it from whatever was begun on it there.",
        ),
        model.fails(
            "active|paused / migrating -> = / NULL",
            f"{_MANAGER}._post_live_migration_update_host",
            when="the guest has moved, and the source cannot clean up: it "
            "writes what the destination has not come to",
        ),
    ),
    kind=model.Kind.ADMIN,
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    gaps=(
        model.Gap(
            "active|paused / NULL",
            since=f"{_MANAGER}.post_live_migration_at_destination",
            until=f"{_MANAGER}._post_live_migration",
            allowed=None,
            why="The row names the destination and is idle while the source "
            "still cleans up. If that fails, the source sets the server to "
            "error, whatever has begun on it by then.",
        ),
    ),
    note="No lock is held, and nothing clears the task when a worker dies "
    "but the next start of nova-compute on the source.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (LIVE_MIGRATE,)
