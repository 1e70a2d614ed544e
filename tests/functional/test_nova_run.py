# SPDX-License-Identifier: Apache-2.0
"""``run`` and ``status`` with real Nova releases and servers."""

from collections.abc import Callable
import json
import os
import pathlib
import subprocess
import sys

import pytest
import sqlalchemy as sa

from nova_db_states.cmd import run
from nova_db_states.cmd import shell
from tests.resources import clouds
from tests.resources import mariadb
from tests.resources import rows
from tests.resources import schema
from tools import nova_venvs


def _under_run() -> tuple[str, ...]:
    return (sys.executable, "-m", "nova_db_states.cmd.shell", "run")


def test_run_needs_no_database(each_cloud: clouds.Cloud) -> None:
    """Both seams are there before any engine is."""
    answer = each_cloud.ask("object_seam", line="", command=_under_run())
    assert answer.result == clouds.BOTH


def test_run_and_the_line_together(each_cloud: clouds.Cloud) -> None:
    """They are one."""
    answer = each_cloud.ask("update", each_cloud.server, command=_under_run())
    assert answer.result == [clouds.REFUSED, clouds.BOTH]


def test_run_before_eventlet(cloud: clouds.Cloud) -> None:
    """Eventlet patches a standard library that nobody has used yet."""
    answer = cloud.ask(
        "greenthreads",
        cloud.server,
        line="",
        command=_under_run(),
        SWITCH_EVENTLET="1",
    )
    assert answer.result == [[clouds.REFUSED], 8, clouds.BOTH]
    assert "known eventlet monkey patching issues" not in answer.log
    assert "were not greened" not in answer.log


def test_run_with_an_unknown_release(
    cloud: clouds.Cloud, nova_99: str
) -> None:
    """The file decides, as soon as it is read, whether there is a Nova."""
    answer = cloud.ask(
        "plain",
        cloud.server,
        line="",
        command=_under_run(),
        PYTHONPATH=nova_99,
    )
    assert answer.result == ["done", "done", clouds.NONE]
    assert answer.count_reasons() == 1
    answer = cloud.ask(
        "plain",
        cloud.server,
        line="",
        more=clouds.ENFORCE,
        command=_under_run(),
        PYTHONPATH=nova_99,
    )
    assert answer.code == 1
    assert "UnsupportedNova: nova_db_states cannot guard" in answer.log


def test_run_nova_compute(each_cloud: clouds.Cloud) -> None:
    """Nova's own program is what it is without, but for the seams."""
    program = nova_venvs.python(each_cloud.release).with_name("nova-compute")
    plain = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    )
    under = subprocess.run(
        [*_under_run(), program, "--version"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(clouds.ROOT)},
    )
    assert (under.returncode, under.stdout) == (0, plain.stdout)
    assert each_cloud.release in under.stdout
    assert len(under.stderr.splitlines()) == len(plain.stderr.splitlines())


def test_environment_of_run_is_known() -> None:
    """The folder that goes in front of PYTHONPATH is in the package."""
    assert (run.FOLDER / "sitecustomize.py").is_file()


@pytest.mark.parametrize("setting", ["ON", "OFF"])
def test_status_asks_the_server(
    make_mariadb: Callable[..., mariadb.MariaDBServer],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
) -> None:
    """What is said of a server is what that server has."""
    server = make_mariadb(innodb_snapshot_isolation=setting)
    url = _mapped(server, tmp_path)
    file = tmp_path / "nova.conf"
    file.write_text(
        f"[database]\nconnection = {url}\n{clouds.LINE}\n"
        f"[api_database]\nconnection = sqlite:///{tmp_path}/api.db\n"
    )
    code = shell.main(["status", "-f", "json", f"--config-file={file}"])
    found = {
        row["Check"]: (row["Result"], row["Details"])
        for row in json.loads(capsys.readouterr().out)
    }
    assert code == 1
    isolation = "ON in cell1" if setting == "ON" else None
    assert found["Snapshot isolation"] == ("Success", isolation or "")
    assert found["Galera"][0] == "Success"
    assert found["Indexes"][0] == "Warning"
    assert "(1)" in found["States"][1]


def _mapped(server: mariadb.MariaDBServer, folder: pathlib.Path) -> str:
    """Make a cell on a server, map it, and give its URL."""
    made = schema.MariaDBSchema(schema.NEWEST, server)
    url = server.url(made.create())
    engine = sa.create_engine(url)
    rows.insert_instance(engine, task_state="daydreaming")
    engine.dispose()
    api = sa.create_engine(f"sqlite:///{folder}/api.db")
    with api.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE cell_mappings (id integer primary key, uuid text,"
            " name text, database_connection text)"
        )
        connection.exec_driver_sql(
            "INSERT INTO cell_mappings (uuid, name, database_connection)"
            " VALUES ('u', 'cell1', ?)",
            ("{scheme}://{username}@{hostname}:{port}/{path}?{query}",),
        )
    api.dispose()
    return url
