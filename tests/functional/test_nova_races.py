# SPDX-License-Identifier: Apache-2.0
"""Races in Nova's own code: they do harm, and with the plugin none does.

Each scenario asserts what should be. Without the plugin those in the tables
of ``DAMAGED_WITHOUT`` fail, and all others do not: they are right either way.
"""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.functional import nova_races
from tests.nova_side import runner

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
}
"""Module to scenarios that Nova alone gets right."""

Outcomes = Callable[..., Mapping[str, str]]

pytestmark = pytest.mark.timeout(nova_races.TIMEOUT_S)


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """Give the outcomes of the scenarios of a module."""

    def of(
        module: str, way: nova_races.Way, *, plugin: bool
    ) -> Mapping[str, str]:
        server = None
        if way.database == "mariadb":
            server = request.getfixturevalue("mariadb_server")
        return nova_races.RACES.of(module, way, server, plugin=plugin)

    return of


@pytest.mark.parametrize("way", nova_races.WAYS, ids=str)
@pytest.mark.parametrize("module", DAMAGED_WITHOUT)
def test_no_race_does_harm_with_the_plugin(
    module: str, way: nova_races.Way, outcomes: Outcomes
) -> None:
    """Every scenario ends as it should."""
    found = outcomes(module, way, plugin=True)
    assert {*found} == {*DAMAGED_WITHOUT[module], *UNHARMED[module]}
    assert {n: each for n, each in found.items() if each != runner.OK} == {}


@pytest.mark.parametrize("way", nova_races.OTHERS, ids=str)
def test_no_race_of_a_build_does_harm_in_the_other_releases(
    way: nova_races.Way, outcomes: Outcomes
) -> None:
    """Every scenario of a build ends as it should in every release."""
    found = outcomes("build_cases", way, plugin=True)
    assert {n: each for n, each in found.items() if each != runner.OK} == {}


@pytest.mark.parametrize("way", nova_races.CONTROLS, ids=str)
@pytest.mark.parametrize("module", DAMAGED_WITHOUT)
def test_nova_alone_is_harmed(
    module: str, way: nova_races.Way, outcomes: Outcomes
) -> None:
    """The listed scenarios fail with their damage, and only those."""
    found = outcomes(module, way, plugin=False)
    wrong = nova_races.wrong(found, DAMAGED_WITHOUT[module], UNHARMED[module])
    assert [*wrong] == []
