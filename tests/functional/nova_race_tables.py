# SPDX-License-Identifier: Apache-2.0
"""What becomes of each scenario where the plugin is not active."""

from collections.abc import Mapping
from typing import Final

__all__ = ["DAMAGED_WITHOUT", "UNHARMED"]

_UNTOLD: Final = "409 != 500"
"""The claim is lost, and the user told that Nova is broken."""
_ACCEPTED: Final = "409 != 202"
"""The user is told that what cannot be done is on its way."""
_TO_ERROR: Final = "!= ('error', "
_DESTROYED: Final = "bound method Instance.destroy"
"""It should have been refused, and was not."""

DAMAGED_WITHOUT: Final[Mapping[str, Mapping[str, str]]] = {
    "build_cases": {
        "Build.test_at_every_write": "-> building/networking",
        "Build.test_before_active": "-> active/None",
        "Build.test_before_block_device_mapping": (
            "-> building/block_device_mapping"
        ),
        "Build.test_before_networking": "-> building/networking",
        "Build.test_before_spawning": "-> building/spawning",
        "Failures.test_abort_under_a_delete": "-> error/None",
        "Failures.test_deleted_at_every_write_of_a_reschedule": (
            "-> building/networking"
        ),
        "Failures.test_networks_fail_under_a_delete": "-> error/None",
        "Failures.test_reschedule_under_a_delete": "-> building/scheduling",
        "Volumes.test_before_block_device_mapping": (
            "-> building/block_device_mapping"
        ),
        "Volumes.test_before_spawning": "-> building/spawning",
    },
    "reboot_cases": {
        "Reboot.test_before_the_driver": "-> active/None",
        "Reboot.test_during_the_driver": "-> active/None",
        "Reboot.test_failure_of_a_running_guest": "-> active/None",
        "Reboot.test_failure_of_a_stopped_guest": "-> error/None",
        "Reboot.test_hard_at_every_write": "-> active/None",
        "Reboot.test_soft_at_every_write": "-> active/None",
        "Reboot.test_stale_after_a_pause": "DAMAGE: accepted",
        "Rescue.test_failure_of_a_rescue": "-> error/None",
        "Rescue.test_failure_of_an_unrescue": "-> error/None",
    },
    "images_cases": {
        "Snapshots.test_failure_of_a_backup": "-> active/None",
        "Snapshots.test_failure_of_a_rotation": "-> active/None",
        "Snapshots.test_failure_of_a_snapshot": "-> active/None",
        "Snapshots.test_image_lost": "-> active/None",
    },
    "shelve_cases": {
        "Shelving.test_failure_of_a_spawn": "-> shelved_offloaded/None",
        "Shelving.test_failure_of_an_offload": "-> shelved/None",
        "Shelving.test_failure_of_an_upload": "-> active/None",
        "Shelving.test_offload_at_every_write": "STRANDED",
        "Shelving.test_shelve_and_offload_at_every_write": "STRANDED",
        "Shelving.test_missing_image": "DAMAGE: ('error', 'unshelving')",
        "Shelving.test_no_host_under_a_delete": "-> shelved_offloaded/None",
        "Shelving.test_offloaded_server_keeps_its_new_host": "DAMAGE",
    },
    "rebuild_cases": {
        "Rebuild.test_failure_before_it_begins": "-> error/None",
        "Rebuild.test_failure_in_the_conductor": "-> error/None",
        "Rebuild.test_failure_of_a_destroy": "-> error/None",
        "Rebuild.test_failure_of_a_spawn": "-> error/None",
        "Rebuild.test_failure_of_a_stop": "-> error/None",
        "Rebuild.test_stale": "DAMAGE: ('active', None)",
        "Rebuild.test_stopped_at_every_write": "-> active/powering-off",
    },
    "standby_cases": {
        "Standby.test_failure_of_a_pause": "-> active/None",
        "Standby.test_failure_of_a_resume": "-> error/None",
        "Standby.test_failure_of_a_start": "-> stopped/None",
        "Standby.test_failure_of_a_stop": "-> active/None",
        "Standby.test_failure_of_a_suspend": "-> error/None",
        "Standby.test_failure_of_an_unpause": "-> paused/None",
        "Standby.test_suspend_of_an_error": "DAMAGE: accepted",
        "Volumes.test_no_device_name_during_a_reboot": (
            "DAMAGE: ('active', None)"
        ),
        "Volumes.test_no_device_name_under_a_delete": "-> active/None",
    },
    "moves_cases": {
        "Resize.test_deleted_before_a_claim_that_fails": (
            "-> active/resize_prep"
        ),
        "Resize.test_deleted_before_resize_finish": "-> error/resize_finish",
        "Resize.test_deleted_before_resize_migrating": (
            "-> error/resize_migrating"
        ),
        "Resize.test_deleted_before_resize_prep": _UNTOLD,
        "Resize.test_deleted_before_resized": "-> error/None",
        "Resize.test_deleted_during_a_copy_that_fails": "-> error/None",
        "Resize.test_deleted_during_a_copy_that_is_refused": "-> active/None",
        "Resize.test_deleted_during_a_finish_that_fails": "-> error/None",
        "Resize.test_deleted_during_the_copy": "'host1' != 'host2'",
        "Resize.test_deleted_when_no_host_is_found": "-> active/None",
        "Resize.test_deleted_when_the_conductor_fails": "-> active/None",
        "Resized.test_delete_after_the_last_guard_of_a_revert": (
            "-> active/None"
        ),
        "Resized.test_error_of_a_revert_during_a_delete": "-> error/None",
        "Resized.test_revert_after_the_confirm_of_a_delete": _ACCEPTED,
        "Resized.test_revert_during_a_confirm": _TO_ERROR,
    },
    "cross_cell_cases": {
        "Resize.test_deleted_during_a_snapshot_that_fails": "-> active/None",
        "Resize.test_deleted_during_a_spawn_that_fails": "-> error/None",
        "Resize.test_deleted_during_a_spawn_that_is_refused": "-> error/None",
        "Resize.test_deleted_during_the_snapshot": "-> error/resize_migrated",
        "Resized.test_deleted_during_a_confirm_that_fails": "-> error/None",
        "Resized.test_deleted_during_a_revert": "-> error/None",
        "Resized.test_deleted_during_a_revert_that_fails": "-> error/None",
        "Resized.test_revert_that_a_delete_was_faster_than": _UNTOLD,
    },
    "live_cases": {
        "Live.test_deleted_before_a_failure_at_the_destination": (
            "-> active/None"
        ),
        "Live.test_deleted_before_a_rollback": "-> error/None",
        "Live.test_deleted_before_the_claim": _UNTOLD,
        "Live.test_deleted_before_the_end_at_the_destination": (
            "-> active/None"
        ),
        "Live.test_deleted_before_the_source_fallback": "-> active/None",
        "Live.test_deleted_when_no_host_is_found": "-> active/None",
        "Live.test_deleted_when_the_conductor_fails": "-> error/None",
        "Live.test_deleted_while_memory_is_copied": "-> active/None",
        "Live.test_deleted_while_the_driver_fails": "-> error/None",
        "Live.test_progress_during_a_delete": "-> active/None",
    },
    "evacuate_cases": {
        "Evacuate.test_deleted_before_the_claim": _ACCEPTED,
        "Evacuate.test_one_of_two_after_each_other_wins": _ACCEPTED,
        "Evacuate.test_one_of_two_at_once_wins": _ACCEPTED,
        "Evacuate.test_refused_over_a_delete": _ACCEPTED,
        "Evacuate.test_refused_over_a_soft_delete": _ACCEPTED,
        "Evacuate.test_stopped_before_the_claim": _ACCEPTED,
        "Failing.test_allocation_fails": "-> error/None",
        "Failing.test_claim_fails": "-> active/None",
        "Failing.test_forced_host_is_invalid": "-> active/None",
        "Failing.test_no_valid_host": "-> error/None",
        "Failing.test_spawn_fails": "-> error/None",
        "Migrating.test_conductor_fails": "STAYED",
        "Migrating.test_no_valid_host": "STAYED",
    },
    "deletion_cases": {
        "Soft.test_delete_during_a_soft_delete": "NOT DELETED",
        "Soft.test_delete_of_a_stuck_soft_delete": "NOT DELETED",
        "Soft.test_soft_delete_over_a_hard_one": _ACCEPTED,
        "Soft.test_soft_delete_that_a_hard_one_was_faster_than": _ACCEPTED,
        "Restore.test_deleted_before_the_claim": _UNTOLD,
        "Restore.test_restore_without_a_host": _UNTOLD,
        "Unscheduled.test_destroy_of_what_is_being_restored": _DESTROYED,
        "Unscheduled.test_destroy_of_what_was_restored": _DESTROYED,
    },
    "periodic_cases": {
        "BuildTimeout.test_deleted_meanwhile": _TO_ERROR,
        "BuildTimeout.test_done_meanwhile": _TO_ERROR,
        "Reclaim.test_restored_meanwhile": "!= ('deleted', None)",
        "Reclaim.test_restored_while_the_guest_goes": "[409] != [202]",
        "PowerSync.test_stop_of_a_server_that_was_paused": (
            "!= ('stopped', None)"
        ),
    },
}
"""Module to scenario to what it says where the plugin is not active."""

UNHARMED: Final[Mapping[str, frozenset[str]]] = {
    "build_cases": frozenset(
        {
            "Build.test_before_the_build",
            "Build.test_before_the_claim",
            "Build.test_boot_and_delete",
            "Failures.test_abort",
            "Failures.test_deleted_before_the_conductor_schedules_again",
            "Failures.test_every_host_fails",
            "Failures.test_reschedule",
        }
    ),
    "reboot_cases": frozenset(
        {
            "Reboot.test_both_ways",
            "Reboot.test_failure_without_a_race",
            "Reboot.test_paused_before_the_host_begins",
            "Rescue.test_rescue_at_every_write",
            "Rescue.test_there_and_back",
            "Rescue.test_unrescue_at_every_write",
        }
    ),
    "images_cases": frozenset(
        {
            "Snapshots.test_backup_at_every_write",
            "Snapshots.test_both",
            "Snapshots.test_failure_without_a_race",
            "Snapshots.test_reset_during_a_snapshot",
            "Snapshots.test_snapshot_at_every_write",
        }
    ),
    "shelve_cases": frozenset(
        {
            "Shelving.test_failure_of_a_spawn_without_a_race",
            "Shelving.test_missing_image_under_a_delete",
            "Shelving.test_offloaded_at_once",
            "Shelving.test_respawn_at_every_write",
            "Shelving.test_shelve_at_every_write",
            "Shelving.test_there_and_back",
            "Shelving.test_unshelve_at_every_write",
        }
    ),
    "rebuild_cases": frozenset(
        {
            "Rebuild.test_at_every_write",
            "Rebuild.test_failure_without_a_race",
            "Rebuild.test_not_spawned_again",
            "Rebuild.test_rebuild",
        }
    ),
    "standby_cases": frozenset(
        {
            "Overruling.test_delete_from_every_state",
            "Overruling.test_reset_during_a_task",
            "Overruling.test_reset_under_a_delete",
            "Overruling.test_save_without_a_state",
            "Standby.test_all_of_them",
            "Standby.test_error_during_a_suspend",
            "Standby.test_failure_without_a_race",
            "Standby.test_pause",
            "Standby.test_resume",
            "Standby.test_start",
            "Standby.test_stop",
            "Standby.test_suspend",
            "Standby.test_unpause",
            "Volumes.test_attach_under_a_delete",
            "Volumes.test_failed_attach_under_a_delete",
        }
    ),
    "moves_cases": frozenset(
        {
            "Resize.test_deleted_before_the_claim",
            "Resize.test_disk_copy_fails_without_a_race",
            "Resize.test_finish_fails_without_a_race",
            "Resize.test_reschedule_without_a_race",
            "Resize.test_resize_and_confirm_without_a_race",
            "Resize.test_resize_and_revert_without_a_race",
            "Resized.test_delete_before_the_revert_at_the_destination",
            "Resized.test_delete_before_the_revert_at_the_source",
            "Resized.test_delete_of_a_resized_server",
            "Resized.test_error_of_a_confirm_during_a_delete",
        }
    ),
    "cross_cell_cases": frozenset(
        {
            "Resize.test_confirm_without_a_race",
            "Resize.test_delete_without_a_race",
            "Resize.test_deleted_before_resize_migrating",
            "Resize.test_refused_spawn_without_a_race",
            "Resize.test_revert_without_a_race",
            "Resize.test_snapshot_fails_without_a_race",
            "Resize.test_spawn_fails_without_a_race",
        }
    ),
    "live_cases": frozenset(
        {
            "Live.test_deleted_before_the_destination_is_ready",
            "Live.test_failure_without_a_race",
            "Live.test_migration_without_a_race",
            "Live.test_no_host_without_a_race",
            "Live.test_rollback_without_a_race",
            "Live.test_source_fallback_without_a_race",
            "Reset.test_end_of_a_migration",
            "Reset.test_source_fallback",
        }
    ),
    "evacuate_cases": frozenset(
        {
            "Evacuate.test_error",
            "Evacuate.test_evacuation_without_a_race",
            "Evacuate.test_stopped",
            "Evacuate.test_stuck_in_powering_off",
            "Failing.test_deleted_before_the_worker_begins",
            "Failing.test_spawn",
        }
    ),
    "deletion_cases": frozenset(
        {
            "Hard.test_delete_of_a_server_that_becomes_an_error",
            "Hard.test_delete_over_any_task",
            "Hard.test_delete_that_fails",
            "Hard.test_delete_whose_ports_stay",
            "Hard.test_delete_whose_save_comes_late",
            "Hard.test_delete_without_a_race",
            "Hard.test_failed_destroy_is_begun_again",
            "Hard.test_host_down",
            "Hard.test_two_deletes",
            "Restore.test_deleted_while_a_restore_fails",
            "Restore.test_deleted_while_restored",
            "Soft.test_delete_just_before_the_claim_of_a_soft_delete",
            "Soft.test_delete_just_before_the_end_of_a_soft_delete",
            "Soft.test_delete_over_a_soft_one_whose_host_is_down",
            "Soft.test_hard_delete_of_a_softly_deleted_server",
            "Soft.test_soft_delete_and_restore_without_a_race",
            "Soft.test_soft_delete_that_fails",
            "Unscheduled.test_destroy_of_an_unscheduled_server",
            "Unscheduled.test_destroy_of_another_cells_row",
            "Unscheduled.test_host_claimed_before_destroy",
            "Unscheduled.test_offloaded_against_unshelve",
            "Unscheduled.test_unshelve_against_local_delete",
        }
    ),
    "periodic_cases": frozenset(
        {
            "BuildTimeout.test_deleted_before",
            "BuildTimeout.test_without_a_race",
            "PowerSync.test_stop_of_a_deleted_server",
            "PowerSync.test_stop_of_a_server_being_rebuilt",
            "PowerSync.test_stop_without_a_race",
            "Reclaim.test_deleted_hard_meanwhile",
            "Reclaim.test_without_a_race",
        }
    ),
}
"""Module to scenarios that Nova alone gets right."""
