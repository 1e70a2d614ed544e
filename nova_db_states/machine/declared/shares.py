# SPDX-License-Identifier: Apache-2.0
"""What a file share that is not ready does to whoever needs it.

Whatever starts or stops a guest mounts or unmounts its shares. The rows are
the same for all of them, but for where they start. None of them starts from
suspended or shelved: a server with a share may be neither, nor get one then.
"""

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["not_mounted", "not_ready", "not_ready_34"]

_MANAGER = names.MANAGER
_SHARES = "nova/compute/share_management.py:ShareManager"
_NOT_READY = "a share is still being attached or detached"


def not_ready(before: str) -> tuple[model.Write, ...]:
    """Declare that a share is still being attached or detached.

    :param before: the states, as before the arrow of a change
    :returns: the writes
    """
    return (
        model.fails(
            f"{before} -> error / NULL",
            f"{_MANAGER}._get_share_info",
            via=names.ERROR,
            when=_NOT_READY,
            releases=(None, 33),
        ),
        *not_ready_34(before),
    )


def not_ready_34(before: str) -> tuple[model.Write, ...]:
    """Declare the same where only Nova 34 lets a server with shares go.

    :param before: the states, as before the arrow of a change
    :returns: the writes
    """
    return (
        model.fails(
            f"{before} -> error / NULL",
            f"{_SHARES}.get_share_info",
            via=names.SHARE_ERROR,
            when=_NOT_READY,
            releases=(34, None),
        ),
    )


def not_mounted(before: str) -> tuple[model.Write, ...]:
    """Declare that a share cannot be mounted or unmounted.

    From Nova 34 on it is the caller's to say what that means.

    :param before: the states, as before the arrow of a change
    :returns: the writes
    """
    return (
        model.fails(
            f"{before} -> error / NULL",
            f"{_MANAGER}._set_share_mapping_and_instance_in_error",
            via=names.ERROR,
            when="a share cannot be mounted or unmounted",
            releases=(None, 33),
        ),
    )
