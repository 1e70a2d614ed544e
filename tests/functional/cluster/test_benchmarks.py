# SPDX-License-Identifier: Apache-2.0
"""What the figures of a cluster count, at a size that is no measurement."""

from benchmarks import nodes
from tests import conftest
from tests.resources import galera
from tests.resources import schema


def test_what_is_counted(cluster: galera.Cluster, hold: conftest.Hold) -> None:
    """No update is refused because of an old row; one statement each."""
    template: schema.MariaDBSchema = hold(schema.nova_mariadb(schema.NEWEST))
    said: list[str] = []
    conflicts, sent, price = nodes.measure(
        cluster, template.statements, 800, said.append
    )
    assert (conflicts.value, sent.value) == (0, 1)
    assert conflicts.what.startswith("false conflicts in 800 ")
    assert {"raw", "ours"} == set(price.samples)
    assert len(said) == 2
