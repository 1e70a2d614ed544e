# SPDX-License-Identifier: Apache-2.0
"""What the plugin reads in one piece is what Nova reads."""

import pytest

from tests.nova_side import runner
from tests.resources import schema
from tests.resources import servers


@pytest.mark.parametrize("release", [schema.RELEASES[0], schema.NEWEST])
def test_saved_objects_hold_what_is_stored(
    mariadb_server: servers.Server, release: str
) -> None:
    """After a save an object holds what a fresh read would."""
    found = runner.run(
        release,
        "row_cases",
        plugin=True,
        database="mariadb",
        mariadb_url=mariadb_server.url(),
    )
    assert found
    assert {id_: said for id_, said in found.items() if said != "ok"} == {}
