# SPDX-License-Identifier: Apache-2.0
"""The plugin inside real Nova, whose database is a Galera cluster."""

import pytest

from tests.functional import test_nova_contract
from tests.nova_side import runner
from tests.resources import galera
from tests.resources import schema

pytestmark = pytest.mark.timeout(600)


def test_on_a_node_that_is_behind(cluster: galera.Cluster) -> None:
    """Nova is refused nothing because its node has an old row."""
    test_nova_contract.check(
        runner.run(
            schema.NEWEST,
            "cluster_cases",
            plugin=True,
            database="mariadb",
            mariadb_url=cluster.url(),
        )
    )
