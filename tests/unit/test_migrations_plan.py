# SPDX-License-Identifier: Apache-2.0
"""What is said of a cluster before its schema is changed, without one."""

import dataclasses

import pytest
import sqlalchemy as sa

from nova_db_states.migrations import galera
from nova_db_states.migrations import plan

URL = sa.make_url("mysql+pymysql://nova:se-cr-et@proxy/nova_cell1")


def _node(*addresses: str, index: int = 0) -> galera.Node:
    return galera.Node(
        name="db1",
        ready=True,
        component="Primary",
        state="Synced",
        size=3,
        addresses=addresses,
        index=index,
    )


def _plan(
    rows: int = 1000,
    data_bytes: int = 1000,
    *,
    indexes: tuple[str, ...] = ("one",),
    node: galera.Node | None = None,
    down: bool = False,
    to: str | None = None,
) -> plan.Plan:
    node = node or _node("10.0.0.1:3306", "10.0.0.2:3306")
    return plan.Plan(
        URL,
        node,
        galera.members(node, URL, {}),
        plan.Size(rows, data_bytes),
        indexes,
        down,
        to,
    )


@pytest.mark.parametrize(
    ("rows", "data_bytes", "said"),
    [
        (0, 0, "meanwhile: about a second. "),
        (1_000, 1_000_000, "meanwhile: about a second. "),
        (400_000, 100_000_000, "meanwhile: up to about 12 s. "),
        (3_000_000, 500_000_000, "meanwhile: about 5 s to 85 s. "),
        (90_000_000, 90_000_000_000, "meanwhile: about 3 min to 68 min. "),
    ],
)
def test_the_estimate(rows: int, data_bytes: int, said: str) -> None:
    """It grows with the table, and says what it comes from."""
    announced = " ".join(_plan(rows, data_bytes).announcement().split())
    assert said in announced
    assert f"an estimate, from about {rows:,} rows" in announced
    both = _plan(rows, data_bytes, indexes=("one", "two"))
    assert " for each index. " in " ".join(both.announcement().split())


def test_a_drop_does_not_grow() -> None:
    """A large table says nothing about how long that takes."""
    assert "min" not in _plan(90_000_000, down=True).announcement()


def test_nodes_are_told_apart() -> None:
    """Arbitrators have no data, and not every node knows its address."""
    node = _node("[fe80::1]:3306", "", "AUTO", "10.0.0.2:3307", index=3)
    found = galera.members(node, URL, {"[fe80::1]:3306": "db3"})
    assert [(each.name, each.url and each.url.host) for each in found] == [
        ("db1", "10.0.0.2"),
        ("db3", "fe80::1"),
        (None, None),
    ]
    said = _plan(node=node).refusal()
    assert "--db 'mysql+pymysql://nova:***@[fe80::1]:3306/nova_cell1'" in said
    assert "se-cr-et" not in said
    assert "address not known" in said


def test_a_node_that_does_not_find_itself() -> None:
    """The URL that was given leads to it all the same."""
    node = _node("10.0.0.1:3306", index=2**64 - 1)
    first, second = galera.members(node, URL, {})
    assert first == galera.Member("db1", URL)
    assert second.url is not None
    assert second.url.host == "10.0.0.1"


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("to", [None, "0001"])
def test_commands_do_what_was_asked_for(*, down: bool, to: str | None) -> None:
    """What the printed commands print goes the same way and as far."""
    lines = _plan(down=down, to=to).refusal().splitlines()
    commands = [line for line in lines if "nova-db-states db sql" in line]
    assert len(commands) == 2
    for command in commands:
        assert ("--down" in command) is down
        assert ("--to 0001" in command) is (to is not None)
    assert max(map(len, lines)) <= 79


def test_a_name_ends_no_comment() -> None:
    """Every line above the statements is a comment or one of ours."""
    node = dataclasses.replace(_node("10.0.0.1:3306"), name="a\nDROP TABLE t;")
    lines = plan.node_heading(node).splitlines()
    assert lines.pop() == "SET SESSION wsrep_OSU_method = 'RSU';"
    assert all(line.startswith("-- ") and len(line) < 80 for line in lines)
