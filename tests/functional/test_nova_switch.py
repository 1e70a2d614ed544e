# SPDX-License-Identifier: Apache-2.0
"""Switching the plugin on in real Nova releases, and what may go wrong."""

from collections.abc import Callable
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Final

import pytest
import sqlalchemy as sa

from nova_db_states.cmd import run
from nova_db_states.cmd import shell
from tests.resources import mariadb
from tests.resources import rows
from tests.resources import schema
from tools import nova_venvs

_SCRIPT: Final = pathlib.Path(__file__).parent / "nova_switch.py"
_ROOT: Final = pathlib.Path(__file__).parents[2]
_LINE: Final = "connection_parameters = plugin=nova_db_states"

_REFUSED: Final = "UnexpectedDeletingTaskStateError"
_BOTH: Final = [1, 1]
_NONE: Final = [0, 0]


@dataclasses.dataclass
class Answer:
    """What a process of Nova's answered.

    :ivar result: of the case
    :ivar code: the exit code
    :ivar log: what it wrote to standard error
    """

    result: Any
    code: int
    log: str


@dataclasses.dataclass
class Cloud:
    """One release of Nova with a cell, in which one server is deleted."""

    release: str
    url: str
    folder: pathlib.Path
    server: str

    def ask(
        self,
        case: str,
        *arguments: str,
        line: str = _LINE,
        more: str = "",
        command: tuple[str, ...] = (),
        **environ: str,
    ) -> Answer:
        """Run a case in a process of its own."""
        file = self.folder / "nova.conf"
        file.write_text(
            f"[DEFAULT]\nuse_stderr = true\n"
            f"[api_database]\nconnection = sqlite:///{self.folder}/api.db\n"
            f"[database]\nconnection = {self.url}\n"
            f"max_retries = 0\n{line}\n{more}\n"
        )
        path = environ.pop("PYTHONPATH", "")
        python = str(nova_venvs.python(self.release))
        done = subprocess.run(
            [*command, python, _SCRIPT, case, file, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": f"{path}:{_ROOT}" if path else str(_ROOT),
                "PYTHONWARNINGS": "ignore",
                **environ,
            },
            cwd=self.folder,
        )
        lines = done.stdout.splitlines()
        return Answer(
            json.loads(lines[-1]) if done.returncode == 0 else None,
            done.returncode,
            done.stderr,
        )

    def row(self) -> tuple[str, str]:
        """Read the states of the server."""
        engine = sa.create_engine(self.url)
        row = rows.read_instance(engine, self.server)
        engine.dispose()
        return row["vm_state"], row["task_state"]


@pytest.fixture
def make_cloud(tmp_path: pathlib.Path) -> Callable[..., Cloud]:
    """Put a server that is being deleted into a cell."""

    def make(release: str, url: str, **columns: Any) -> Cloud:
        nova_venvs.ensure(release)
        engine = sa.create_engine(url)
        values = {"task_state": "deleting", **columns}
        server = rows.insert_instance(engine, **values)
        engine.dispose()
        return Cloud(release, url, tmp_path, server)

    return make


@pytest.fixture
def cloud(
    make_cloud: Callable[..., Cloud], make_nova_sqlite: Callable[..., str]
) -> Cloud:
    """Make one of the newest release on SQLite."""
    return make_cloud(schema.NEWEST, make_nova_sqlite(schema.NEWEST))


@pytest.fixture
def each_cloud(
    make_cloud: Callable[..., Cloud],
    make_nova_sqlite: Callable[..., str],
    nova_release: str,
) -> Cloud:
    """Make one of each release on SQLite."""
    return make_cloud(nova_release, make_nova_sqlite(nova_release))


def test_reaches_every_cell_engine_and_no_other(each_cloud: Cloud) -> None:
    """Writer, replica and cells; the API database does not switch it on."""
    folder = each_cloud.folder
    answer = each_cloud.ask(
        "engines",
        f"sqlite:///{folder}/cell9.db?cached_statements=7",
        line="connection_parameters = timeout=9&plugin=nova_db_states\n"
        f"slave_connection = sqlite:///{folder}/slave.db",
    )
    assert answer.result == {
        "at_first": [_NONE, _NONE],
        "then": _BOTH,
        "urls": {
            "cell": f"sqlite:///{folder}/cell9.db"
            "?cached_statements=7&timeout=9",
            "writer": f"{each_cloud.url}?timeout=9",
            "replica": f"sqlite:///{folder}/slave.db?timeout=9",
            "api": f"sqlite:///{folder}/api.db",
        },
        "connections": [],
    }
    assert "mode = enforce" in answer.log


def test_no_engine_connects_for_it(cloud: Cloud) -> None:
    """A server that is not there is nothing to the plugin."""
    cloud.url = "mysql+pymysql://nova@127.0.0.1:1/cell"
    assert cloud.ask("lazy").result == _BOTH


def test_without_the_line(cloud: Cloud) -> None:
    """Nothing of ours is in Nova."""
    answer = cloud.ask("plain", cloud.server, line="")
    assert answer.result == ["done", "done", _NONE]
    assert "nova_db_states" not in answer.log


@pytest.mark.parametrize("case", ["update", "update_and_get", "save"])
def test_first_use_is_an_update(each_cloud: Cloud, case: str) -> None:
    """A write that makes the engine itself is guarded already."""
    answer = each_cloud.ask(case, each_cloud.server)
    assert answer.result == [_REFUSED, _BOTH]
    assert each_cloud.row() == ("active", "deleting")


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql"])
@pytest.mark.parametrize("case", ["update", "update_and_get", "save"])
def test_first_use_on_mariadb(
    make_cloud: Callable[..., Cloud],
    shared_mariadb_cell: schema.SharedCell,
    case: str,
    scheme: str,
) -> None:
    """The same on a server, with either scheme."""
    cloud = make_cloud(schema.NEWEST, shared_mariadb_cell.url(scheme))
    assert cloud.ask(case, cloud.server).result == [_REFUSED, _BOTH]
    assert cloud.row() == ("active", "deleting")


def test_first_use_that_is_allowed(
    make_cloud: Callable[..., Cloud],
    make_nova_sqlite: Callable[..., str],
    nova_release: str,
) -> None:
    """It does what Nova's function does, and returns the same."""
    url = make_nova_sqlite(nova_release)
    cloud = make_cloud(nova_release, url, task_state=None)
    answer = cloud.ask("good_updates", cloud.server)
    assert answer.result == [None, "powering-off", "stopped", [], _BOTH]
    assert cloud.row() == ("stopped", None)


def test_function_that_was_kept(cloud: Cloud) -> None:
    """Nova's own function is guarded also where somebody kept it."""
    answer = cloud.ask("kept_function", cloud.server)
    assert answer.result == [False, _REFUSED]


def test_many_first_uses_at_once(
    make_cloud: Callable[..., Cloud],
    make_nova_mariadb: Callable[..., str],
    nova_release: str,
) -> None:
    """No thread writes before the seams are there."""
    cloud = make_cloud(nova_release, make_nova_mariadb(nova_release))
    answer = cloud.ask("threads", cloud.server)
    assert answer.result == [[_REFUSED], 8, _BOTH]


def test_eventlet(cloud: Cloud) -> None:
    """Nor does a greenthread."""
    answer = cloud.ask("greenthreads", cloud.server, SWITCH_EVENTLET="1")
    assert answer.result == [[_REFUSED], 8, _BOTH]


def test_forked_workers(each_cloud: Cloud) -> None:
    """Each worker guards, forked before the first use or after."""
    answer = each_cloud.ask("forks", each_cloud.server)
    assert answer.result == [[_REFUSED, _BOTH]] * 2


def test_mode_is_reloaded(each_cloud: Cloud) -> None:
    """What Nova does at a SIGHUP changes what becomes of a write."""
    answer = each_cloud.ask("modes", each_cloud.server)
    assert answer.result == {
        "enforce 0": _REFUSED,
        "observe 1": "done",
        "off 2": "done",
        "enforce 3": _REFUSED,
    }
    observed = [
        line for line in answer.log.splitlines() if '"observed"' in line
    ]
    assert len(observed) == 1
    assert '"to": ["building", "spawning"]' in observed[0]


@pytest.fixture
def nova_99(tmp_path: pathlib.Path) -> str:
    """Let Nova say that it is of a release that is not known."""
    folder = tmp_path / "path"
    info = folder / "nova-99.0.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: nova\nVersion: 99.0.0\n"
    )
    return str(folder)


def _why(answer: Answer) -> int:
    """Count the lines that say why Nova is left alone."""
    said = "it is Nova 99.0.0, and the releases known are 31, 32, 33, 34"
    return sum(said in line for line in answer.log.splitlines())


_ENFORCE: Final = "[nova_db_states]\nmode = enforce"


def test_unknown_release(cloud: Cloud, nova_99: str) -> None:
    """It is plain Nova, and one line in the log says why."""
    answer = cloud.ask("plain", cloud.server, PYTHONPATH=nova_99)
    assert answer.result == ["done", "done", _NONE]
    assert _why(answer) == 1
    assert "Traceback" not in answer.log


def test_unknown_release_where_guards_are_a_must(
    cloud: Cloud, nova_99: str
) -> None:
    """No use of the database succeeds, the second one neither."""
    answer = cloud.ask(
        "plain", cloud.server, more=_ENFORCE, PYTHONPATH=nova_99
    )
    assert answer.result == ["UnsupportedNova", "UnsupportedNova", _NONE]
    assert cloud.row() == ("active", "deleting")


@pytest.mark.parametrize("case", ["broken", "half"])
def test_plugin_that_fails(cloud: Cloud, case: str) -> None:
    """It leaves nothing behind, and the log says where it failed."""
    answer = cloud.ask(case, cloud.server)
    assert answer.result[:3] == ["done", "done", _NONE]
    assert answer.result[3:] in ([], [True])
    assert "nova_db_states cannot guard this Nova, which runs" in answer.log
    assert "Traceback" in answer.log
    answer = cloud.ask(case, cloud.server, more=_ENFORCE)
    assert answer.result[:3] == ["UnsupportedNova", "UnsupportedNova", _NONE]


def _under_run() -> tuple[str, ...]:
    return (sys.executable, "-m", "nova_db_states.cmd.shell", "run")


def test_run_needs_no_database(each_cloud: Cloud) -> None:
    """Both seams are there before any engine is."""
    answer = each_cloud.ask("object_seam", line="", command=_under_run())
    assert answer.result == _BOTH


def test_run_and_the_line_together(each_cloud: Cloud) -> None:
    """They are one."""
    answer = each_cloud.ask("update", each_cloud.server, command=_under_run())
    assert answer.result == [_REFUSED, _BOTH]


def test_run_before_eventlet(cloud: Cloud) -> None:
    """Eventlet patches a standard library that nobody has used yet."""
    answer = cloud.ask(
        "greenthreads",
        cloud.server,
        line="",
        command=_under_run(),
        SWITCH_EVENTLET="1",
    )
    assert answer.result == [[_REFUSED], 8, _BOTH]
    assert "known eventlet monkey patching issues" not in answer.log
    assert "were not greened" not in answer.log


def test_run_with_an_unknown_release(cloud: Cloud, nova_99: str) -> None:
    """The file decides, as soon as it is read, whether there is a Nova."""
    answer = cloud.ask(
        "plain",
        cloud.server,
        line="",
        command=_under_run(),
        PYTHONPATH=nova_99,
    )
    assert answer.result == ["done", "done", _NONE]
    assert _why(answer) == 1
    answer = cloud.ask(
        "plain",
        cloud.server,
        line="",
        more=_ENFORCE,
        command=_under_run(),
        PYTHONPATH=nova_99,
    )
    assert answer.code == 1
    assert "UnsupportedNova: nova_db_states cannot guard" in answer.log


def test_run_nova_compute(each_cloud: Cloud) -> None:
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
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert (under.returncode, under.stdout) == (0, plain.stdout)
    assert each_cloud.release in under.stdout
    assert len(under.stderr.splitlines()) == len(plain.stderr.splitlines())


def test_process_without_nova(tmp_path: pathlib.Path) -> None:
    """Another service that names the plugin has its database as always."""
    code = (
        "import sys, sqlalchemy as sa\n"
        "engine = sa.create_engine(sys.argv[1])\n"
        "with engine.begin() as connection:\n"
        "    connection.exec_driver_sql('CREATE TABLE instances (id INT)')\n"
        "    connection.exec_driver_sql('UPDATE instances SET id = 1')\n"
        "assert 'nova' not in sys.modules\n"
        "assert 'nova_db_states.nova.seams' not in sys.modules\n"
        "print(engine.url)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            f"sqlite:///{tmp_path}/x.db?plugin=nova_db_states",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert (done.stdout, done.stderr) == (f"sqlite:///{tmp_path}/x.db\n", "")


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
        f"[database]\nconnection = {url}\n{_LINE}\n"
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
