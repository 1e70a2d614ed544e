# SPDX-License-Identifier: Apache-2.0
"""What is attached or asked for and leaves the states alone."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER


def _gap(states: str, name: str, why: str) -> tuple[model.Gap, ...]:
    """Declare that nothing shows while nova-compute works on a request.

    :param states: the states, as before the arrow of a change
    :param name: the function that nova-api and nova-compute have for it
    :param why: what happens meanwhile
    :returns: the gap
    """
    return (
        model.Gap(
            states,
            since=f"{_API}.{name}",
            until=f"{_MANAGER}.{name}",
            allowed=None,
            why=why,
        ),
    )


_VOLUME_STATES: Final = (
    "active|paused|stopped|resized|soft-delete|shelved|shelved_offloaded "
    "/ NULL"
)

ATTACH_VOLUME: Final = model.Action(
    "attach volume",
    "Give the server one more disk.",
    _VOLUME_STATES,
    f"{_API}.attach_volume",
    (
        model.fails(
            "active|paused|stopped|resized|soft-delete|shelved / !NULL "
            "-> = / NULL",
            f"{_MANAGER}.reserve_block_device_name",
            via=names.REVERTS,
            defect="Attaching a volume sets no task_state, so the one that "
            "this clears is another's.",
        ),
    ),
    on_failure="",
    gaps=_gap(
        _VOLUME_STATES,
        "attach_volume",
        "No state is written while the volume is connected to the host and "
        "to the guest; only the server's lock on its host is held.",
    ),
)

DETACH_VOLUME: Final = model.Action(
    "detach volume",
    "Take a disk from the server.",
    _VOLUME_STATES,
    f"{_API}.detach_volume",
    on_failure="",
    gaps=_gap(
        _VOLUME_STATES,
        "detach_volume",
        "No state is written while the guest gives the disk up, which it may "
        "be asked for several times.",
    ),
)

SWAP_VOLUME: Final = model.Action(
    "swap volume",
    "Copy a volume to another while the guest uses it, and exchange them.",
    "active|paused|resized / NULL",
    f"{_API}.swap_volume",
    kind=model.Kind.ADMIN,
    on_failure="",
    gaps=_gap(
        "active|paused|resized / NULL",
        "swap_volume",
        "No state is written while the volume is copied, which takes hours "
        "for a large one.",
    ),
)

ATTACH_INTERFACE: Final = model.Action(
    "attach interface",
    "Give the server one more port.",
    "active|paused|stopped / NULL",
    f"{_API}.attach_interface",
    on_failure="",
    gaps=_gap(
        "active|paused|stopped / NULL",
        "attach_interface",
        "No state is written while the port is made, bound and plugged.",
    ),
)

DETACH_INTERFACE: Final = model.Action(
    "detach interface",
    "Take a port from the server.",
    "active|paused|stopped / NULL",
    f"{_API}.detach_interface",
    on_failure="",
    gaps=_gap(
        "active|paused|stopped / NULL",
        "detach_interface",
        "No state is written while the guest gives the port up.",
    ),
)

ATTACH_SHARE: Final = model.Action(
    "attach share",
    "Let the server mount a file share from its next start on.",
    "stopped / *",
    f"{_API}.allow_share",
    launched=False,
    on_failure="",
    gaps=_gap(
        "stopped / NULL",
        "allow_share",
        "No state is written while access to the share is granted. A server "
        "that is started meanwhile goes to error.",
    ),
    note="Nova looks at the vm_state in its controller (server_shares.py).",
)

DETACH_SHARE: Final = model.Action(
    "detach share",
    "Let the server mount a file share no longer.",
    "stopped|error / *",
    f"{_API}.deny_share",
    launched=False,
    on_failure="",
    gaps=_gap(
        "stopped|error / NULL",
        "deny_share",
        "No state is written while access to the share is withdrawn. A "
        "server that is started or rebooted meanwhile goes to error.",
    ),
    note="Nova looks at the vm_state in its controller (server_shares.py).",
)

LOCK: Final = model.Action(
    "lock / unlock",
    "Keep its users from changing the server, or let them again.",
    "* / *",
    f"{_API}.lock",
    launched=False,
    on_failure="",
    note="A lock is a column of its own; it ends nothing that runs.",
)

FORCE_COMPLETE: Final = model.Action(
    "force-complete live migration",
    "Let a live migration end, if need be with the guest standing still.",
    "active / migrating",
    f"{_API}.live_migrate_force_complete",
    kind=model.Kind.ADMIN,
    on_failure="",
    note="The states are those of the live migration.",
)

ABORT: Final = model.Action(
    "abort live migration",
    "Let the guest stay where it is.",
    "* / migrating",
    f"{_API}.live_migrate_abort",
    kind=model.Kind.ADMIN,
    on_failure="",
    note="The states are those of the live migration.",
)

VOLUME_SNAPSHOT_CREATE: Final = model.Action(
    "create volume snapshot (assisted)",
    "Let the hypervisor snapshot a volume, for Cinder drivers that cannot.",
    "* / NULL",
    f"{_API}.volume_snapshot_create.do_volume_snapshot_create",
    kind=model.Kind.ADMIN,
    on_failure="",
    gaps=_gap(
        "* / NULL",
        "volume_snapshot_create",
        "No state is written while the guest's disk gets a new file.",
    ),
)

VOLUME_SNAPSHOT_DELETE: Final = model.Action(
    "delete volume snapshot (assisted)",
    "Let the hypervisor merge such a snapshot back.",
    "* / NULL",
    f"{_API}.volume_snapshot_delete.do_volume_snapshot_delete",
    kind=model.Kind.ADMIN,
    on_failure="",
    gaps=_gap(
        "* / NULL",
        "volume_snapshot_delete",
        "No state is written while the files of the disk are merged, which "
        "takes hours for a large one.",
    ),
)

UPDATE_METADATA: Final = model.Action(
    "update metadata",
    "Set the server's own key-value pairs.",
    "active|paused|suspended|stopped / *",
    f"{_API}.update_instance_metadata",
    on_failure="",
)

DELETE_METADATA: Final = model.Action(
    "delete metadata",
    "Delete one of the server's own key-value pairs.",
    "active|paused|suspended|stopped / *",
    f"{_API}.delete_instance_metadata",
    on_failure="",
)

_CONSOLES: Final = tuple(
    model.Action(
        f"get {name} console",
        f"Ask for the address of the guest's {name} console.",
        "* / !deleting|migrating",
        f"{_API}.{function}",
        launched=False,
        on_failure="",
    )
    for name, function in (
        ("VNC", "get_vnc_console"),
        ("SPICE", "get_spice_console"),
        ("serial", "get_serial_console"),
        ("MKS", "get_mks_console"),
    )
)

ACTIONS: Final[tuple[model.Action, ...]] = (
    ATTACH_VOLUME,
    DETACH_VOLUME,
    SWAP_VOLUME,
    ATTACH_INTERFACE,
    DETACH_INTERFACE,
    ATTACH_SHARE,
    DETACH_SHARE,
    LOCK,
    FORCE_COMPLETE,
    ABORT,
    VOLUME_SNAPSHOT_CREATE,
    VOLUME_SNAPSHOT_DELETE,
    UPDATE_METADATA,
    DELETE_METADATA,
    *_CONSOLES,
)
