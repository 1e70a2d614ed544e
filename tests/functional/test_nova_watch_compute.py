# SPDX-License-Identifier: Apache-2.0
"""The long steps of real nova-compute, with the plugin and without it."""

import pytest

from tests.nova_side import runner

_DELETED = (
    "Boot.test_deleted",
    "Rebuild.test_deleted",
    "Resize.test_deleted",
    "Snapshot.test_deleted",
    "Shelve.test_deleted",
    "Shelve.test_deleted_in_unshelve",
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("release", ["31.3.1", "34.0.0"])
def test_a_delete_stops_the_data_and_progress_is_seen(release: str) -> None:
    """Stops every transfer of a deleted server, and shows all of them."""
    found = runner.run(release, "watch_cases", plugin=True)
    failed = {name: said for name, said in found.items() if said != runner.OK}
    assert not failed
    assert set(_DELETED) < set(found)


@pytest.mark.timeout(900)
def test_nova_alone_goes_on_to_the_end() -> None:
    """Transfers all the data of a server that was deleted long ago."""
    found = runner.run("34.0.0", "watch_cases", plugin=False, only=_DELETED)
    assert set(found) == set(_DELETED)
    passed = [name for name, said in found.items() if said == runner.OK]
    assert not passed
