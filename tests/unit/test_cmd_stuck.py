# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states stuck``: what it prints, and its exit codes."""

from collections.abc import Callable
import csv
import datetime
import io
import json
import pathlib

from oslo_utils import timeutils
import pytest
import sqlalchemy as sa

from nova_db_states import tables
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets
from tests.resources import rows

MakeCell = Callable[..., str]


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environment of whoever runs the tests out of them."""
    monkeypatch.delenv(targets.DB_URL_VARIABLE, raising=False)


@pytest.fixture
def make_cell(tmp_path: pathlib.Path) -> MakeCell:
    """Make a cell whose servers are being deleted for some seconds each."""

    def make(name: str, *ages: int) -> str:
        url = f"sqlite:///{tmp_path}/{name}.db"
        engine = sa.create_engine(url)
        tables.metadata.create_all(engine)
        rows.insert_instance(engine)
        for age in ages:
            since = timeutils.utcnow() - datetime.timedelta(seconds=age)
            rows.insert_instance(
                engine,
                task_state="deleting",
                updated_at=since,
                display_name=f"{age}",
            )
        engine.dispose()
        return url

    return make


def test_none_is_stuck(
    make_cell: MakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and no rows."""
    url = make_cell("cell", 60)
    assert shell.main(["stuck", "--db", url, "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert shell.main(["stuck", "--db", url]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No server is stuck." in captured.err
    assert "Nothing to do" not in captured.err


def test_some_are_stuck(
    make_cell: MakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the oldest first, in each format."""
    url = make_cell("cell", 4000, 60, 90000)
    assert shell.main(["stuck", "--db", url, "-f", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [round(row["Age s"], -2) for row in found] == [90000, 4000]
    oldest = found[0]
    assert oldest["Host"] == "compute1"
    assert (oldest["VM state"], oldest["Task state"]) == ("active", "deleting")
    assert oldest["Limit s"] == 3600
    assert oldest["Allowed actions"][:2] == ["delete", "reset-state"]
    assert oldest["Message"] is None
    since = datetime.datetime.fromisoformat(oldest["Since"])
    age = timeutils.utcnow() - since
    assert abs(age.total_seconds() - 90000) < 60

    assert shell.main(["stuck", "--db", url, "-f", "csv"]) == 1
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["Instance"] for line in lines] == [
        row["Instance"] for row in found
    ]

    assert shell.main(["stuck", "--db", url]) == 1
    table = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 132
    assert oldest["Instance"] in table[3]
    assert "| active   | deleting " in table[3]
    assert "| compute1 | " in table[3]
    assert "| delete; reset-state and " in table[3]
    assert " more |" in table[3]
    assert shell.main(["stuck", "--db", url, "-f", "value"]) == 1
    assert " delete; reset-state; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "count"), [(30, 2), (70.5, 1), (99999, 0)]
)
def test_an_age_of_ones_own(
    make_cell: MakeCell,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    count: int,
) -> None:
    """--older-than is one limit for all."""
    url = make_cell("cell", 60, 4000)
    arguments = ["stuck", "--db", url, "--older-than", str(seconds)]
    assert shell.main([*arguments, "-f", "json"]) == min(count, 1)
    assert len(json.loads(capsys.readouterr().out)) == count


def test_it_cannot_run(
    make_cell: MakeCell,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, with what to do, whatever the other cells say."""
    api = f"sqlite:///{tmp_path}/api.db"
    engine = sa.create_engine(api)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE cell_mappings (id integer primary key, uuid text,"
            " name text, database_connection text)"
        )
        for name, url in (
            ("away", "mysql+pymysql://nova:secret@127.0.0.1:1/c"),
            ("there", make_cell("there", 4000)),
        ):
            connection.exec_driver_sql(
                "INSERT INTO cell_mappings (uuid, name, database_connection)"
                " VALUES ('u', ?, ?)",
                (name, url),
            )
    engine.dispose()
    config = tmp_path / "nova.conf"
    config.write_text(f"[api_database]\nconnection = {api}\n")
    code = shell.main(["stuck", f"--config-file={config}", "-f", "json"])
    assert code == 2
    captured = capsys.readouterr()
    failed, stuck = json.loads(captured.out)
    assert (failed["Cell"], failed["Result"]) == ("away", "failed")
    assert "(error 2003). Check host and port" in failed["Message"]
    assert (stuck["Cell"], stuck["Result"]) == ("there", "stuck")
    assert "secret" not in captured.out + captured.err
    # The table says it as well, beside what was found.
    assert shell.main(["stuck", f"--config-file={config}"]) == 2
    table = capsys.readouterr().out
    assert "| failed |" in table
    assert "| stuck  |" in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No database given"),
        (["--db", "sqlite:///nowhere.db"], "there is no such file"),
        (["--db", "sqlite://", "--older-than", "-1"], "number of seconds"),
        (["--db", "sqlite://", "--older-than", "soon"], "number of seconds"),
        (["--db", "sqlite://", "--older-than", "nan"], "number of seconds"),
        (["--db", "sqlite://", "--older-than", "1e10"], "number of seconds"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2."""
    assert shell.main(["stuck", *arguments]) == 2
    assert said in capsys.readouterr().err
