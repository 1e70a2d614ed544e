# SPDX-License-Identifier: Apache-2.0
"""The ``db`` commands over several cells, of which some are of no use."""

from collections.abc import Callable
import json
import pathlib
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states import tables
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets

NAME = "nova_db_states_deleted_vm_state_task_state"

MakeCell = Callable[[str], str]


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environment of whoever runs the tests out of them."""
    monkeypatch.delenv(targets.DB_URL_VARIABLE, raising=False)


@pytest.fixture
def make_cell(tmp_path: pathlib.Path) -> MakeCell:
    """Make cell databases on SQLite."""

    def make(name: str) -> str:
        url = f"sqlite:///{tmp_path}/{name}.db"
        engine = sa.create_engine(url)
        tables.metadata.create_all(engine)
        engine.dispose()
        return url

    return make


@pytest.fixture
def configure(tmp_path: pathlib.Path) -> Callable[[dict[str, str]], str]:
    """Map cells in an API database, and give the option that leads there."""

    def write(cells: dict[str, str]) -> str:
        api = f"sqlite:///{tmp_path}/api.db"
        engine = sa.create_engine(api)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE cell_mappings (id integer primary key,"
                " uuid text, name text, database_connection text)"
            )
            for name, url in cells.items():
                connection.exec_driver_sql(
                    "INSERT INTO cell_mappings (uuid, name,"
                    " database_connection) VALUES ('u', ?, ?)",
                    (name, url),
                )
        engine.dispose()
        config = tmp_path / "nova.conf"
        config.write_text(f"[api_database]\nconnection = {api}\n")
        return f"--config-file={config}"

    return write


def _rows(capsys: pytest.CaptureFixture[str]) -> tuple[list[Any], str]:
    captured = capsys.readouterr()
    assert "secret" not in captured.out + captured.err
    return json.loads(captured.out), captured.err


_USELESS = {
    "no file": (
        "mysql+pymysql://nova:secret@127.0.0.1:1/c?ssl_ca=/nope.pem",
        "No such file",
    ),
    "no name": ("mysql+pymysql://nova:secret@db1", "names no database"),
    "foreign": ("postgresql://nova:secret@db1/c", "PostgreSQL"),
    "template": ("{scheme}://{username}@db1/c", "is a template"),
    "no server": (
        "mysql+pymysql://nova:secret@127.0.0.1:1/c",
        "(error 2003). Check host and port",
    ),
}


@pytest.mark.parametrize("command", ["upgrade", "check", "sql"])
def test_a_useless_cell_stops_no_other(
    command: str,
    make_cell: MakeCell,
    configure: Callable[[dict[str, str]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is named with what is wrong, and those after it are done."""
    option = configure(
        {
            "first": make_cell("first"),
            **{name: url for name, (url, _) in _USELESS.items()},
            "last": make_cell("last"),
        }
    )
    if command == "sql":
        assert shell.main(["db", "sql", option]) == 2
        captured = capsys.readouterr()
        assert captured.out.count("CREATE INDEX") == 2
        assert "secret" not in captured.out + captured.err
        err = captured.err
    else:
        assert shell.main(["db", command, option, "-f", "json"]) == 2
        rows, err = _rows(capsys)
        column = "Result" if command == "upgrade" else "State"
        done = "created" if command == "upgrade" else "missing"
        assert [row[column] for row in rows] == [
            done,
            *["failed"] * len(_USELESS),
            done,
        ]
        for row, (_, said) in zip(rows[1:], _USELESS.values(), strict=False):
            assert said in row["Message"]
            assert row["Revision"] is row["Index"] is None
            assert row.get("Attempts") is row.get("Seconds") is None
    for name, (_, said) in _USELESS.items():
        [line] = [
            line for line in err.splitlines() if f"Cell {name}: " in line
        ]
        assert said in line


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_interrupted(
    stop: BaseException,
    make_cell: MakeCell,
    configure: Callable[[dict[str, str]], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was done is printed, and what was not is named."""
    upgrade = migrations.upgrade

    def change(engine: sa.Engine, **settings: Any) -> Any:
        if "second" in str(engine.url):
            raise stop
        return upgrade(engine, **settings)

    monkeypatch.setattr(
        "nova_db_states.cmd.db.Upgrade.change", staticmethod(change)
    )
    names = ("first", "second", "third")
    option = configure({name: make_cell(name) for name in names})
    code = shell.main(["db", "upgrade", option, "-f", "json"])
    assert code == (143 if isinstance(stop, SystemExit) else 130)
    rows, err = _rows(capsys)
    assert [row["Result"] for row in rows] == [
        "created",
        "interrupted",
        "not begun",
    ]
    assert "Cell second: interrupted: run it again" in err


def test_the_name_of_a_cell_ends_no_comment(
    make_cell: MakeCell,
    configure: Callable[[dict[str, str]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every line of the output is a comment or a statement of ours."""
    option = configure({"a\nDROP TABLE instances;": make_cell("a")})
    assert shell.main(["db", "sql", option]) == 0
    heading, statement = capsys.readouterr().out.splitlines()
    assert heading.startswith("-- cell a DROP TABLE instances;")
    assert statement.startswith("CREATE INDEX")


def test_the_remedy_fits_the_state(
    make_cell: MakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index of our name on other columns has to go first."""
    url = make_cell("cell")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE INDEX {NAME} ON instances (vm_state)"
        )
    engine.dispose()
    assert shell.main(["db", "check", "--db", url]) == 1
    remedy = "is different. Run nova-db-states db downgrade, then db upgrade."
    assert remedy in capsys.readouterr().err
    for command in ("downgrade", "upgrade", "check"):
        assert shell.main(["db", command, "--db", url]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[database]\n  admin_pass = secret\n", "nova.conf, line 2: "),
        ("[api_database]\nconnection = m://n:x@$my_ip/c\n", "to $my_ip with"),
        ("[api_database]\nconnection = m://n:x$secret@h/c\n", "written $$"),
        (
            "[api_database]\nconnection = sqlite:////nowhere/api.db\n",
            "[api_database] connection: sqlite:////nowhere/api.db: there is",
        ),
    ],
)
def test_a_nova_conf_that_cannot_be_used(
    tmp_path: pathlib.Path,
    text: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said where and why, without the line: it may be a password."""
    config = tmp_path / "nova.conf"
    config.write_text(text)
    for debug in ([], ["--debug"]):
        code = shell.main(
            [*debug, "db", "check", "--config-file", str(config)]
        )
        assert code == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert "secret" not in captured.out + captured.err


def test_no_file_is_made_of_a_uri(tmp_path: pathlib.Path) -> None:
    """SQLite's own URLs are looked at like paths."""
    path = tmp_path / "cell.db"
    engine = sa.create_engine(f"sqlite:///file:{path}?uri=true")
    with pytest.raises(exceptions.UnsupportedDatabase, match="no such file"):
        migrations.status(engine)
    assert not path.exists()
    path.touch()
    with pytest.raises(exceptions.UnsupportedDatabase, match="no table"):
        migrations.status(engine)


def test_nothing_to_do_is_said(
    make_cell: MakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty answer is one."""
    url = make_cell("cell")
    for format_ in ("table", "json"):
        arguments = ["db", "downgrade", "--to", "head", "-f", format_]
        assert shell.main([*arguments, "--db", url]) == 0
        captured = capsys.readouterr()
        assert captured.err == "Nothing to do.\n"
        assert captured.out.strip() == ("" if format_ == "table" else "[]")


def test_a_table_fits_the_terminal(
    make_cell: MakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a URL is as long as; -c shows it nevertheless."""
    url = make_cell("a_rather_long_name_of_a_cell" * 3)
    for command in ("check", "upgrade", "check", "downgrade"):
        shell.main(["db", command, "--db", url])
        for line in capsys.readouterr().out.splitlines():
            assert len(line) <= 80
    shell.main(["db", "check", "--db", url, "-c", "database"])
    assert url in capsys.readouterr().out


def test_columns_are_looked_at_first(
    make_cell: MakeCell, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt column changes nothing, and no result is lost."""
    url = make_cell("cell")
    arguments = ["db", "upgrade", "--db", url, "-c", "Cell", "-c", "Bogus"]
    assert shell.main(arguments) == 2
    assert "--column Bogus: there is no such" in capsys.readouterr().err
    engine = sa.create_engine(url)
    assert len(migrations.missing(engine)) == 1
    engine.dispose()


def test_dialect_beside_a_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not used is said, or refused where it was asked for."""
    arguments = ["db", "sql", "--dialect", "sqlite"]
    assert shell.main([*arguments, "--config-dir", "/etc"]) == 2
    assert "both given" in capsys.readouterr().err
    monkeypatch.setenv(targets.DB_URL_VARIABLE, "sqlite:////x.db")
    assert shell.main(arguments) == 0
    assert targets.DB_URL_VARIABLE in capsys.readouterr().err
