# SPDX-License-Identifier: Apache-2.0
"""Help for a guest in trouble: rescue and the password."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names
from nova_db_states.machine.declared import shares

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER

_RESCUED_S: Final = names.HOUR
"""For the way to the host, [DEFAULT]shutdown_timeout (60 s), the download of
the rescue image, and the guest to be started from it."""

_UNRESCUED_S: Final = 10 * names.MINUTE
"""For the way to the host, and the guest to be started."""

_PASSWORD_S: Final = 5 * names.MINUTE
"""For the way to the host, and the agent in the guest to answer."""

PASSWORD: Final = model.Action(
    "set admin password",
    "Let the agent in the guest set a new password.",
    "active / NULL",
    f"{_API}.set_admin_password",
    (
        model.step(
            "active / NULL              -> = / updating_password",
            f"{_API}.set_admin_password",
            at_most_s=_PASSWORD_S,
        ),
        model.step(
            "active / updating_password -> = / NULL",
            f"{_MANAGER}.set_admin_password",
        ),
        model.fails(
            "active / updating_password -> = / NULL",
            f"{_MANAGER}.set_admin_password",
            when="the guest is off, or nobody in it can set a password",
            guarded=True,
        ),
        model.fails(
            "active / updating_password -> = / NULL",
            f"{_MANAGER}.set_admin_password",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    note="nova-compute does not look for it when it starts.",
)

RESCUE: Final = model.Action(
    "rescue",
    "Start the server from a rescue image, with its own disk beside it.",
    "active|stopped|error / NULL",
    f"{_API}.rescue",
    (
        model.step(
            "active|stopped|error / NULL     -> =       / rescuing",
            f"{_API}.rescue",
            at_most_s=_RESCUED_S,
        ),
        model.step(
            "active|stopped|error / rescuing -> rescued / NULL",
            f"{_MANAGER}.rescue_instance",
        ),
        *shares.not_ready("active|stopped|error / rescuing"),
        *shares.not_mounted("active|stopped|error / rescuing"),
        model.fails(
            "active|stopped|error / rescuing -> error   / =",
            f"{_MANAGER}.rescue_instance",
            via=names.ERROR,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|stopped|error / rescuing -> =       / NULL",
            f"{_MANAGER}.rescue_instance",
            via=names.REVERTS,
        ),
    ),
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    note="nova-compute does not look for it when it starts.",
)

UNRESCUE: Final = model.Action(
    "unrescue",
    "Start a rescued server from its own disk again.",
    "rescued / NULL",
    f"{_API}.unrescue",
    (
        model.step(
            "rescued / NULL             -> =      / unrescuing",
            f"{_API}.unrescue",
            at_most_s=_UNRESCUED_S,
        ),
        model.step(
            "rescued / unrescuing       -> active / NULL",
            f"{_MANAGER}.unrescue_instance",
        ),
        model.fails(
            "rescued / unrescuing       -> active / NULL",
            f"{_MANAGER}.unrescue_instance",
            via=names.ROLLBACK,
            when="the driver cannot do it",
        ),
        model.fails(
            "rescued / unrescuing       -> error  / =",
            f"{_MANAGER}.unrescue_instance",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "rescued|error / unrescuing -> =      / NULL",
            f"{_MANAGER}.unrescue_instance",
            via=names.REVERTS,
        ),
    ),
    on_failure="error / NULL",
    note="Where [DEFAULT]rescue_timeout is set, nova-compute asks the API "
    "for it when that time is over (ComputeManager._poll_rescued_instances). "
    "When nova-compute starts it does not look for it.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (PASSWORD, RESCUE, UNRESCUE)
