# SPDX-License-Identifier: Apache-2.0
"""What a worker writes down of one call is what that call said."""

from collections.abc import Iterator
import pathlib

import pytest
import sqlalchemy as sa

from nova_db_states import api
from tests.resources import rows
from tests.torture import claims
from tests.torture import history

OK = history.Outcome.OK
CONFLICT = history.Outcome.CONFLICT

WRITES = pytest.mark.parametrize("way", claims.WRITES)
READS = pytest.mark.parametrize("way", claims.READS)


@pytest.fixture
def claim(context: api.CellContext, cell_engine: sa.Engine) -> claims.Claim:
    """Give a claim that fits: 11 is there, with its state."""
    instance = rows.insert_instance(
        cell_engine, progress=11, task_state=history.state_of(11)
    )
    return claims.Claim(context, instance, 11, 12, 0.0, alone=True)


@pytest.fixture
def unmade(nova_sqlite_url: str) -> Iterator[claims.Claim]:
    """Give a claim on an instance that is not there."""
    context = api.connect(nova_sqlite_url)
    missing = "00000000-0000-4000-8000-000000000000"
    yield claims.Claim(context, missing, 11, 12, 0.0, alone=True)
    context.close()


def token(claim: claims.Claim, engine: sa.Engine) -> object:
    """Read what is there."""
    return rows.read_instance(engine, claim.instance_uuid)["progress"]


@WRITES
def test_a_write_that_fits(
    claim: claims.Claim, cell_engine: sa.Engine, way: str
) -> None:
    """It is written, and said to be."""
    assert claims.make(way, claim) == claims.Result(OK)
    assert token(claim, cell_engine) == 12


@READS
def test_a_read_that_fits(
    claim: claims.Claim, cell_engine: sa.Engine, way: str
) -> None:
    """It says what it found, and nothing is written."""
    found = claims.Result(OK, 11, "rebooting")
    assert claims.make(way, claim) == found
    assert token(claim, cell_engine) == 11


@pytest.mark.parametrize("way", [*claims.WRITES, *claims.READS])
def test_one_that_does_not_fit(
    claim: claims.Claim, cell_engine: sa.Engine, way: str
) -> None:
    """It says what it found instead."""
    with cell_engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE instances SET progress = 14, task_state = NULL")
        )
    found = claims.Result(CONFLICT, 14, None, "UnexpectedTaskStateError")
    assert claims.make(way, claim) == found
    assert token(claim, cell_engine) == 14


@pytest.mark.parametrize("way", [*claims.WRITES, *claims.READS])
def test_what_nobody_expects(unmade: claims.Claim, way: str) -> None:
    """Any other answer is an error, with the place where it came from."""
    result = claims.make(way, unmade)
    assert result.outcome is history.Outcome.ERROR
    assert result.error == "InstanceNotFound"
    assert "claims.py" in result.text


def test_what_is_written_down(tmp_path: pathlib.Path) -> None:
    """A result comes back from its line as it was."""
    result = claims.Result(CONFLICT, 14, None, "UnexpectedTaskStateError")
    begin = {
        "op": 7,
        "worker": "w001.0",
        "node": 0,
        "instance": 0,
        "expected": 0,
        "way": "single",
        "start": 1,
    }
    end = {"op": 7, "end": 2, **result.content()}
    tmp_path.joinpath("w001.jsonl").write_bytes(
        history.line(begin) + history.line(end)
    )
    [read] = history.read_operations(tmp_path)
    assert (read.outcome, read.actual, read.state, read.error) == (
        result.outcome,
        result.actual,
        result.state,
        result.error,
    )
