# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states status``: each check, and the exit codes."""

from collections.abc import Callable
import csv
import importlib.metadata
import io
import json
import pathlib

import pytest
import sqlalchemy as sa

from nova_db_states import migrations
from nova_db_states import tables
from nova_db_states.cmd import cells
from nova_db_states.cmd import readiness
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets
from tests.resources import rows

Deploy = Callable[..., str]

LINE = "connection_parameters = plugin=nova_db_states\n"


@pytest.fixture(autouse=True)
def nova_34(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a Nova be installed, the newest unless told."""
    theirs = importlib.metadata.version

    def install(version: str) -> None:
        monkeypatch.setattr(
            importlib.metadata,
            "version",
            lambda name: version if name == "nova" else theirs(name),
        )

    install("34.0.0")
    return install


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> sa.Engine:
    """Make a cell with all indexes and one server."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/cell1.db")
    tables.metadata.create_all(engine)
    migrations.upgrade(engine)
    rows.insert_instance(engine)
    return engine


@pytest.fixture
def deploy(tmp_path: pathlib.Path, cell: sa.Engine) -> Deploy:
    """Write a nova.conf and the mapping of cells, and give the option."""

    def write(
        text: str = LINE,
        url: str = "",
        api: str = "",
        mode: str = "enforce",
    ) -> str:
        engine = sa.create_engine(f"sqlite:///{tmp_path}/api.db")
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE cell_mappings (id integer primary key,"
                " uuid text, name text, database_connection text)"
            )
            connection.exec_driver_sql(
                "INSERT INTO cell_mappings (uuid, name,"
                " database_connection) VALUES ('u', 'cell1', ?)",
                (url or str(cell.url),),
            )
        engine.dispose()
        file = tmp_path / "nova.conf"
        file.write_text(
            f"[api_database]\nconnection = {api or engine.url}\n"
            f"[database]\n{text}\n"
            f"[nova_db_states]\nmode = {mode}\n"
        )
        return f"--config-file={file}"

    return write


def _status(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, tuple[str, str]]]:
    code = shell.main(["status", "-f", "json", *arguments])
    captured = capsys.readouterr()
    assert "secret" not in captured.out + captured.err
    return code, {
        row["Check"]: (row["Result"], row["Details"])
        for row in json.loads(captured.out)
    }


def test_all_is_well(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and each check is a success."""
    code, found = _status(capsys, deploy())
    assert {result for result, _ in found.values()} == {"Success"}
    assert (code, list(found)) == (
        0,
        [
            "Package",
            "Mode",
            "Plugin",
            "Cells",
            "URL schemes",
            "Indexes",
            "Snapshot isolation",
            "Galera",
            "States",
        ],
    )
    assert found["Cells"] == ("Success", "cell1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not switched on. Set [database] connection_parameters ="),
        ("connection_parameters = plugin=other", "is not switched on"),
        (
            "connection = sqlite:///x?plugin=nova_db_states",
            "does not reach the cells",
        ),
    ],
)
def test_plugin_is_not_there(
    deploy: Deploy,
    capsys: pytest.CaptureFixture[str],
    text: str,
    said: str,
) -> None:
    """Not where it reaches every cell is a failure."""
    code, found = _status(capsys, deploy(text))
    assert (code, found["Plugin"][0]) == (2, "Failure")
    assert said in found["Plugin"][1]


def test_plugin_among_other_parameters(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other parameters and other plugins are nobody's business here."""
    text = "connection_parameters = timeout=9&plugin=other&plugin="
    code, found = _status(capsys, deploy(f"{text}nova_db_states"))
    assert (code, found["Plugin"][0]) == (0, "Success")


def test_cell_with_a_plugin_of_its_own(
    deploy: Deploy, cell: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in the API database stays when the line in the file goes."""
    url = f"{cell.url}?plugin=nova_db_states"
    code, found = _status(capsys, deploy(url=url))
    assert (code, found["Cells"][0]) == (1, "Warning")
    assert "cell1 (plugin=nova_db_states)" in found["Cells"][1]


@pytest.mark.parametrize(
    ("mode", "code", "said"),
    [
        ("enforce", 0, "mode = enforce"),
        ("observe", 1, "nothing is refused"),
        ("off", 1, "nothing is guarded"),
        ("enforced", 2, "It counts as enforce."),
    ],
)
def test_modes(
    deploy: Deploy,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    code: int,
    said: str,
) -> None:
    """A mode that refuses nothing is a warning, one that is none a failure."""
    got, found = _status(capsys, deploy(mode=mode))
    assert got == code
    assert said in found["Mode"][1]


@pytest.mark.parametrize(
    ("version", "result"),
    [("31.3.1", "Success"), ("35.0.0", "Failure"), ("30.9.9", "Failure")],
)
def test_releases(
    deploy: Deploy,
    nova_34: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    version: str,
    result: str,
) -> None:
    """A Nova that is not known would run without guards."""
    nova_34(version)
    _, found = _status(capsys, deploy())
    assert found["Package"][0] == result
    assert version in found["Package"][1]


def test_python_without_nova(
    deploy: Deploy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Then this is not the Python that is asked about."""
    monkeypatch.undo()
    code, found = _status(capsys, deploy())
    assert (code, found["Package"][0]) == (1, "Warning")


def test_package_that_is_not_installed(
    deploy: Deploy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SQLAlchemy finds the plugin by its entry point and by nothing else."""
    theirs = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda **wanted: (
            ()
            if wanted.get("group") == "sqlalchemy.plugins"
            else theirs(**wanted)
        ),
    )
    code, found = _status(capsys, deploy())
    assert (code, found["Package"][0]) == (2, "Failure")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("connection = mariadb+pymysql://u:secret@h/d\n", "connection"),
        ("slave_connection = mariadb+pymysql://u:secret@h/d\n", "slave_conn"),
    ],
)
def test_scheme_that_oslo_db_does_not_know(
    deploy: Deploy,
    capsys: pytest.CaptureFixture[str],
    place: str,
    said: str,
) -> None:
    """It is a warning wherever it stands."""
    code, found = _status(capsys, deploy(place + LINE))
    assert (code, found["URL schemes"][0]) == (1, "Warning")
    assert f"[database] {said}" in found["URL schemes"][1]


def test_cell_that_cannot_be_reached(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was not looked at is not called well."""
    url = "mariadb+pymysql://u:secret@127.0.0.1:1/cell"
    code, found = _status(capsys, deploy(url=url))
    assert (code, found["Cells"][0]) == (2, "Failure")
    assert "Check host and port" in found["Cells"][1]
    assert "cell1" in found["URL schemes"][1]
    for name in ("Indexes", "Snapshot isolation", "Galera", "States"):
        assert found[name] == ("Warning", "Not all cells could be looked at.")


def test_unknown_cells(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the API database nobody knows the cells, but the rest."""
    code, found = _status(capsys, deploy(api="sqlite:////no/such/file"))
    assert (code, found["Cells"][0]) == (2, "Failure")
    assert found["Plugin"][0] == "Success"
    assert found["Indexes"][0] == "Warning"


def test_missing_index(
    deploy: Deploy, cell: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards hold without it, so it is a warning with its remedy."""
    migrations.downgrade(cell)
    code, found = _status(capsys, deploy())
    assert (code, found["Indexes"][0]) == (1, "Warning")
    assert "Run nova-db-states db upgrade." in found["Indexes"][1]


def test_states_that_the_map_does_not_know(
    deploy: Deploy, cell: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are named with their number; what is deleted does not count."""
    rows.insert_instances(cell, 3, task_state="daydreaming")
    rows.insert_instance(cell, vm_state="paused", task_state="spawning")
    rows.insert_instance(cell, vm_state="gone", deleted=7)
    code, found = _status(capsys, deploy())
    assert (code, found["States"][0]) == (1, "Warning")
    assert (
        "cell1: active / daydreaming (3), cell1: paused / spawning (1)."
        in found["States"][1]
    )


_GALERA = {"wsrep_on": "ON"}
_SNAPSHOT = "innodb_snapshot_isolation"


@pytest.mark.parametrize(
    ("scheme", "variables", "configured", "check", "said"),
    [
        ("mysql", {}, "", "Galera", ""),
        ("mysql", {"wsrep_on": "OFF"}, "", "Galera", ""),
        ("mysql", _GALERA, "", "Galera", "refused"),
        ("mysql", _GALERA | {"wsrep_sync_wait": "1"}, "", "Galera", "refused"),
        ("mysql", _GALERA | {"wsrep_sync_wait": "7"}, "", "Galera", ""),
        ("mysql", _GALERA, "3", "Galera", ""),
        (
            "mysql",
            _GALERA | {"wsrep_sync_wait": "3"},
            "0",
            "Galera",
            "refused",
        ),
        ("mariadb", _GALERA, "3", "Galera", "refused"),
        ("mysql", {_SNAPSHOT: "ON"}, "", "Snapshot isolation", ""),
        ("mariadb", {_SNAPSHOT: "ON"}, "", "Snapshot isolation", "1020"),
        ("mariadb", {_SNAPSHOT: "OFF"}, "", "Snapshot isolation", ""),
    ],
)
def test_settings_of_the_server(
    deploy: Deploy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scheme: str,
    variables: dict[str, str],
    configured: str,
    check: str,
    said: str,
) -> None:
    """Those that change what a refusal means are judged with the scheme."""

    def look(target: targets.Target) -> cells.Cell:
        return cells.Cell(target.cell, target.url, variables=variables)

    monkeypatch.setattr(readiness.cells, "look", look)
    more = f"mysql_wsrep_sync_wait = {configured}\n" if configured else ""
    _, found = _status(
        capsys, deploy(LINE + more, url=f"{scheme}+pymysql://u@h/d")
    )
    assert found[check][0] == ("Warning" if said else "Success")
    assert said in (found[check][1] or "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config-file=/no/nova.conf"], "/no/nova.conf"),
        ([], "Nova has no configuration file in the usual places"),
    ],
)
def test_nothing_to_look_at(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    """Not to find it out is 255, as in all upgrade checks."""
    monkeypatch.setattr("oslo_config.cfg.find_config_files", lambda **_: ())
    assert shell.main(["status", *arguments]) == 255
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert shell.main(["--debug", "status", *arguments]) == 255
    assert "Traceback" in capsys.readouterr().err


def test_table_and_csv(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table fits 80 characters; the other formats are not broken up."""
    option = deploy("")
    assert shell.main(["status", option]) == 2
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert shell.main(["status", "-f", "csv", option]) == 2
    listed = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert listed[2]["Result"] == "Failure"
    assert "\n" not in listed[2]["Details"]
