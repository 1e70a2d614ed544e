# SPDX-License-Identifier: Apache-2.0
"""Switching the plugin on in real Nova releases, and what may go wrong."""

from collections.abc import Callable
import os
import pathlib
import subprocess
import sys

import pytest

from tests.resources import clouds
from tests.resources import schema


def test_reaches_every_cell_engine_and_no_other(
    each_cloud: clouds.Cloud,
) -> None:
    """Writer, replica and cells; the API database does not switch it on."""
    folder = each_cloud.folder
    answer = each_cloud.ask(
        "engines",
        f"sqlite:///{folder}/cell9.db?cached_statements=7",
        line="connection_parameters = timeout=9&plugin=nova_db_states\n"
        f"slave_connection = sqlite:///{folder}/slave.db",
    )
    assert answer.result == {
        "at_first": [clouds.NONE, clouds.NONE],
        "then": clouds.BOTH,
        "urls": {
            "cell": f"sqlite:///{folder}/cell9.db"
            "?cached_statements=7&timeout=9",
            "writer": f"{each_cloud.url}?timeout=9",
            "replica": f"sqlite:///{folder}/slave.db?timeout=9",
            "api": f"sqlite:///{folder}/api.db",
        },
    }
    assert "mode = enforce" in answer.log


def test_no_engine_connects_for_it(cloud: clouds.Cloud) -> None:
    """A server that is not there is nothing to the plugin."""
    cloud.url = "mysql+pymysql://nova@127.0.0.1:1/cell"
    assert cloud.ask("lazy").result == clouds.BOTH


def test_without_the_line(cloud: clouds.Cloud) -> None:
    """Nothing of ours is in Nova."""
    answer = cloud.ask("plain", cloud.server, line="")
    assert answer.result == ["done", "done", clouds.NONE]
    assert "nova_db_states" not in answer.log


@pytest.mark.parametrize("case", ["update", "update_and_get", "save"])
def test_first_use_is_an_update(each_cloud: clouds.Cloud, case: str) -> None:
    """A write that makes the engine itself is guarded already."""
    answer = each_cloud.ask(case, each_cloud.server)
    assert answer.result == [clouds.REFUSED, clouds.BOTH]
    assert each_cloud.row() == ("active", "deleting")


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql"])
@pytest.mark.parametrize("case", ["update", "update_and_get", "save"])
def test_first_use_on_mariadb(
    make_cloud: Callable[..., clouds.Cloud],
    shared_mariadb_cell: schema.SharedCell,
    case: str,
    scheme: str,
) -> None:
    """The same on a server, with either scheme."""
    cloud = make_cloud(schema.NEWEST, shared_mariadb_cell.url(scheme))
    assert cloud.ask(case, cloud.server).result == [
        clouds.REFUSED,
        clouds.BOTH,
    ]
    assert cloud.row() == ("active", "deleting")


def test_first_use_that_is_allowed(
    make_cloud: Callable[..., clouds.Cloud],
    make_nova_sqlite: Callable[..., str],
    nova_release: str,
) -> None:
    """It does what Nova's function does, and returns the same."""
    url = make_nova_sqlite(nova_release)
    cloud = make_cloud(nova_release, url, task_state=None)
    answer = cloud.ask("good_updates", cloud.server)
    assert answer.result == [None, "powering-off", "stopped", [], clouds.BOTH]
    assert cloud.row() == ("stopped", None)


def test_function_that_was_kept(cloud: clouds.Cloud) -> None:
    """Nova's own function is guarded also where somebody kept it."""
    answer = cloud.ask("kept_function", cloud.server)
    assert answer.result == [False, clouds.REFUSED]


def test_many_first_uses_at_once(
    make_cloud: Callable[..., clouds.Cloud],
    make_nova_mariadb: Callable[..., str],
    nova_release: str,
) -> None:
    """No thread writes before the seams are there."""
    cloud = make_cloud(nova_release, make_nova_mariadb(nova_release))
    answer = cloud.ask("threads", cloud.server)
    assert answer.result == [[clouds.REFUSED], 8, clouds.BOTH]


def test_eventlet(cloud: clouds.Cloud) -> None:
    """Nor does a greenthread."""
    answer = cloud.ask("greenthreads", cloud.server, SWITCH_EVENTLET="1")
    assert answer.result == [[clouds.REFUSED], 8, clouds.BOTH]


def test_forked_workers(each_cloud: clouds.Cloud) -> None:
    """Each worker guards, forked before the first use or after."""
    answer = each_cloud.ask("forks", each_cloud.server)
    assert answer.result == [[clouds.REFUSED, clouds.BOTH]] * 2


def test_mode_is_reloaded(each_cloud: clouds.Cloud) -> None:
    """What Nova does at a SIGHUP changes what becomes of a write."""
    answer = each_cloud.ask("modes", each_cloud.server)
    assert answer.result == {
        "enforce 0": clouds.REFUSED,
        "observe 1": "done",
        "off 2": "done",
        "enforce 3": clouds.REFUSED,
    }
    observed = [
        line for line in answer.log.splitlines() if '"observed"' in line
    ]
    assert len(observed) == 1
    assert '"to": ["building", "spawning"]' in observed[0]


def test_unknown_release(cloud: clouds.Cloud, nova_99: str) -> None:
    """It is plain Nova, and one line in the log says why."""
    answer = cloud.ask("plain", cloud.server, PYTHONPATH=nova_99)
    assert answer.result == ["done", "done", clouds.NONE]
    assert answer.count_reasons() == 1
    assert "Traceback" not in answer.log


def test_unknown_release_where_guards_are_a_must(
    cloud: clouds.Cloud, nova_99: str
) -> None:
    """No use of the database succeeds, the second one neither."""
    answer = cloud.ask(
        "plain", cloud.server, more=clouds.ENFORCE, PYTHONPATH=nova_99
    )
    assert answer.result == ["UnsupportedNova", "UnsupportedNova", clouds.NONE]
    assert cloud.row() == ("active", "deleting")


@pytest.mark.parametrize("case", ["broken", "half"])
def test_plugin_that_fails(cloud: clouds.Cloud, case: str) -> None:
    """It leaves nothing behind, and the log says where it failed."""
    answer = cloud.ask(case, cloud.server)
    assert answer.result[:3] == ["done", "done", clouds.NONE]
    assert answer.result[3:] in ([], [True])
    assert "nova_db_states cannot guard this Nova, which runs" in answer.log
    assert "Traceback" in answer.log
    answer = cloud.ask(case, cloud.server, more=clouds.ENFORCE)
    assert answer.result[:3] == [
        "UnsupportedNova",
        "UnsupportedNova",
        clouds.NONE,
    ]


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
        env={**os.environ, "PYTHONPATH": str(clouds.ROOT)},
    )
    assert (done.stdout, done.stderr) == (f"sqlite:///{tmp_path}/x.db\n", "")
