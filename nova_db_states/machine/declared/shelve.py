# SPDX-License-Identifier: Apache-2.0
"""Shelve, offload and unshelve."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_CONDUCTOR = names.CONDUCTOR
_MANAGER = names.MANAGER

_POWERED_OFF_S: Final = 30 * names.MINUTE
"""For the way to the host, the lock, [DEFAULT]shutdown_timeout (60 s); or,
when the disk is a volume, for all that offloading takes."""

_READ_S: Final = 2 * names.HOUR
"""For the disk to be read and converted."""

_UPLOAD_S: Final = 6 * names.HOUR
"""For the disk to travel to the image service, or to be cloned in Ceph."""

_OFFLOADED_S: Final = 30 * names.MINUTE
"""For the way to the host, the lock, the disk to be removed, ports to be
unbound and volumes to be disconnected."""

_SCHEDULED_S: Final = 15 * names.MINUTE
"""For a host to be chosen, accelerators to be bound, and the way there."""

_SPAWNED_S: Final = 2 * names.HOUR
"""For volumes to be connected, the image to be downloaded, ports to be
plugged ([DEFAULT]vif_plugging_timeout, 300 s), the guest to be started."""

_SWITCHED_S: Final = 10 * names.MINUTE
"""As for start."""

_STUCK_IN_API: Final = (
    "Nova's API writes the task first and asks the other services after it: "
    "where one of them fails, nobody clears the task."
)

SHELVE: Final = model.Action(
    "shelve",
    "Power the guest off and keep it as an image; off its host in the end.",
    "active|stopped|paused|suspended / NULL",
    f"{_API}.shelve",
    (
        model.step(
            "active|stopped|paused|suspended / NULL -> = / shelving",
            f"{_API}.shelve",
            at_most_s=_POWERED_OFF_S,
        ),
        model.step(
            "active|stopped|paused|suspended / shelving "
            "-> = / shelving_image_pending_upload",
            f"{_MANAGER}._shelve_instance.update_task_state",
            when="the driver is libvirt's, VMware's or z/VM's",
            at_most_s=_READ_S,
        ),
        model.step(
            "active|stopped|paused|suspended / shelving "
            "-> = / shelving_image_uploading",
            f"{_MANAGER}._shelve_instance.update_task_state",
            when="the driver is the fake one",
            at_most_s=_UPLOAD_S,
        ),
        model.step(
            "active|stopped|paused|suspended / shelving_image_pending_upload "
            "-> = / shelving_image_uploading",
            f"{_MANAGER}._shelve_instance.update_task_state",
            at_most_s=_UPLOAD_S,
        ),
        model.step(
            "active|stopped|paused|suspended / shelving_image_uploading "
            "-> = / shelving_image_pending_upload",
            f"{_MANAGER}._shelve_instance.update_task_state",
            when="libvirt's disk cannot be cloned in place after all",
            at_most_s=_READ_S,
        ),
        model.step(
            "active|stopped|paused|suspended "
            "/ shelving|shelving_image_uploading "
            "-> shelved / shelving_offloading",
            f"{_MANAGER}._shelve_instance",
            when="[DEFAULT]shelved_offload_time is 0, its default",
            at_most_s=_OFFLOADED_S,
        ),
        model.step(
            "active|stopped|paused|suspended "
            "/ shelving|shelving_image_uploading -> shelved / NULL",
            f"{_MANAGER}._shelve_instance",
            when="[DEFAULT]shelved_offload_time is another",
        ),
        model.step(
            "shelved / shelving_offloading -> shelved_offloaded / NULL",
            f"{_MANAGER}._shelve_offload_instance",
        ),
        model.step(
            "active|stopped|paused|suspended / shelving "
            "-> shelved_offloaded / NULL",
            f"{_MANAGER}._shelve_offload_instance",
            when="its disk is a volume, so that no image is needed",
        ),
        model.fails(
            "active|stopped|paused|suspended / shelving"
            "|shelving_image_pending_upload|shelving_image_uploading "
            "-> = / NULL",
            f"{_MANAGER}.shelve_instance",
            via=names.REVERTS,
        ),
        model.fails(
            "shelved / shelving_offloading -> = / NULL",
            f"{_MANAGER}.shelve_instance",
            via=names.REVERTS,
        ),
        model.fails(
            "active|stopped|paused|suspended / shelving -> = / NULL",
            f"{_MANAGER}.shelve_offload_instance",
            via=names.REVERTS,
            when="its disk is a volume",
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    gaps=(
        model.Gap(
            "shelved / NULL",
            since=f"{_MANAGER}._shelve_instance",
            until=f"{_MANAGER}._poll_shelved_instances",
            allowed=None,
            why="[DEFAULT]shelved_offload_time is not 0: the server keeps "
            "its place on its host until it is offloaded, and nothing in "
            "the row says when that will be.",
        ),
        model.Gap(
            "shelved_offloaded / NULL",
            since=f"{_MANAGER}._shelve_offload_instance",
            until=f"{_MANAGER}._shelve_offload_instance",
            allowed=None,
            why="For a moment the row still names the old host. The write "
            "that clears it has no guard, so it may clear the new host of "
            "an unshelve that is quick.",
        ),
    ),
    note=f"{_STUCK_IN_API} nova-compute does not look for it when it starts.",
)

_OFFLOAD: Final = (
    model.step(
        "shelved / shelving_offloading -> shelved_offloaded / NULL",
        f"{_MANAGER}._shelve_offload_instance",
    ),
    model.fails(
        "shelved / shelving_offloading -> =                 / NULL",
        f"{_MANAGER}.shelve_offload_instance",
        via=names.REVERTS,
    ),
)

_OLD_HOST: Final = model.Gap(
    "shelved_offloaded / NULL",
    since=f"{_MANAGER}._shelve_offload_instance",
    until=f"{_MANAGER}._shelve_offload_instance",
    allowed=None,
    why="As for shelve: for a moment the row still names the old host.",
)

OFFLOAD: Final = model.Action(
    "shelve offload",
    "Take a shelved server off its host.",
    "shelved / NULL",
    f"{_API}.shelve_offload",
    (
        model.step(
            "shelved / NULL                -> =                 "
            "/ shelving_offloading",
            f"{_API}.shelve_offload",
            at_most_s=_OFFLOADED_S,
        ),
        *_OFFLOAD,
    ),
    kind=model.Kind.ADMIN,
    gaps=(_OLD_HOST,),
    note=f"{_STUCK_IN_API} nova-compute does not look for it when it starts.",
)

OFFLOAD_PERIODIC: Final = model.Action(
    "shelve offload (periodic)",
    "Take servers off their host that have been shelved long enough.",
    "shelved / NULL",
    f"{_MANAGER}._poll_shelved_instances",
    (
        model.step(
            "shelved / NULL                -> =                 "
            "/ shelving_offloading",
            f"{_MANAGER}._poll_shelved_instances",
            at_most_s=_OFFLOADED_S,
        ),
        *_OFFLOAD,
    ),
    kind=model.Kind.PERIODIC,
    gaps=(_OLD_HOST,),
    note="Off unless [DEFAULT]shelved_offload_time is above 0.",
)

UNSHELVE: Final = model.Action(
    "unshelve (shelved)",
    "Power a shelved server on again, on the host where it still is.",
    "shelved / NULL",
    f"{_API}.unshelve",
    (
        model.step(
            "shelved / NULL        -> =      / unshelving",
            f"{_API}.unshelve",
            at_most_s=_SCHEDULED_S,
        ),
        model.step(
            "shelved / unshelving  -> =      / powering-on",
            f"{_CONDUCTOR}.unshelve_instance",
            at_most_s=_SWITCHED_S,
        ),
        model.step(
            "shelved / powering-on -> active / NULL",
            f"{_MANAGER}.start_instance",
        ),
        model.fails(
            "shelved / powering-on -> =      / NULL",
            f"{_MANAGER}.start_instance",
            via=names.REVERTS,
        ),
    ),
    on_failure="",
    note="Nobody gives up while the task is unshelving: nova-conductor "
    "clears it only for servers that were offloaded.",
)

UNSHELVE_OFFLOADED: Final = model.Action(
    "unshelve (shelved_offloaded)",
    "Start an offloaded server from its image, on a new host.",
    "shelved_offloaded / NULL",
    f"{_API}.unshelve",
    (
        model.step(
            "shelved_offloaded / NULL       -> =      / unshelving",
            f"{_API}.unshelve",
            at_most_s=_SCHEDULED_S,
        ),
        model.step(
            "shelved_offloaded / unshelving -> =      / spawning",
            f"{_MANAGER}._unshelve_instance",
            at_most_s=_SPAWNED_S,
            guarded=False,
        ),
        model.step(
            "shelved_offloaded / spawning   -> active / NULL",
            f"{_MANAGER}._unshelve_instance",
        ),
        model.fails(
            "shelved_offloaded / unshelving -> error  / =",
            f"{_CONDUCTOR}.unshelve_instance",
            when="its image is gone",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "shelved_offloaded / unshelving -> =      / NULL",
            f"{_CONDUCTOR}.unshelve_instance",
            when="no host was found, or it could not be asked",
        ),
        model.fails(
            "shelved_offloaded / unshelving|spawning -> = / NULL",
            f"{_MANAGER}.unshelve_instance",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.START_UP),
)

ACTIONS: Final[tuple[model.Action, ...]] = (
    SHELVE,
    OFFLOAD,
    OFFLOAD_PERIODIC,
    UNSHELVE,
    UNSHELVE_OFFLOADED,
)
