# SPDX-License-Identifier: Apache-2.0
"""The direct mode sends what Nova sends: nothing is rigged."""

from collections.abc import Iterator
import json
import pathlib
import re
import subprocess
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.demo import direct
from nova_db_states.demo import saves
from nova_db_states.demo import writes
from tests.resources import rows
from tests.resources import schema
from tools import nova_venvs

# (what is assigned, what is expected): the saves of one instance in turn.
_SAVES: Final = (
    ({"task_state": "networking"}, None),
    ({"vm_state": "building", "task_state": "block_device_mapping"}, None),
    ({"task_state": "spawning"}, ["block_device_mapping"]),
    ({"task_state": None}, ["spawning"]),
    ({"task_state": "powering-off"}, [None]),
    ({"task_state": None}, ["scheduling", "powering-off"]),
    ({"task_state": "rescuing"}, ["scheduling", None]),
    # Refused, and what was refused goes out with the next save.
    ({"vm_state": "active", "task_state": None}, ["spawning"]),
    ({"power_state": 4}, None),
    ({"task_state": "deleting", "progress": 0}, None),
    ({"vm_state": "active", "task_state": None}, ["spawning"]),
    ({"host": None, "node": None, "compute_id": None}, None),
)

# Run by the Python of a Nova release's virtualenv.
_NOVA: Final = """
import json, sys
import nova.conf
from nova import config, context, exception, objects
from nova.db.main import api
from sqlalchemy import event

url, uuids, steps = json.loads(sys.argv[1])
config.parse_args(
    ["nova"], default_config_files=[], configure_db=False, init_rpc=False)
nova.conf.CONF.set_override("connection", url, "database")
api.configure(nova.conf.CONF)
objects.register_all()
engine = api.context_manager.writer.get_engine()
sent = []
event.listen(
    engine, "before_cursor_execute",
    lambda c, cursor, text, given, *rest: sent.append([text, repr(given)]))
for name in ("begin", "commit", "rollback"):
    event.listen(engine, name, lambda c, n=name: sent.append([n, ""]))
cases = []

def instance(uuid):
    found = objects.Instance.get_by_uuid(context.get_admin_context(), uuid)
    found.obj_reset_changes()
    sent.clear()
    return found

def end(outcome):
    cases.append([outcome, list(sent)])
    sent.clear()

saved = instance(uuids[0])
for values, expected in steps:
    for name, value in values.items():
        setattr(saved, name, value)
    try:
        saved.save(expected_task_state=expected)
        end("saved")
    except exception.UnexpectedTaskStateError:
        end("refused")
for uuid in uuids[1:3]:
    instance(uuid).destroy()
    end("saved")
late = instance(uuids[3])
api.instance_update(context.get_admin_context(), uuids[3], {"host": "c9"})
sent.clear()
try:
    late.destroy()
except exception.ObjectActionError:
    end("refused")
print(json.dumps(cases))
"""


class _Recorder:
    """What goes over an engine's wire, and where transactions end."""

    def __init__(self, engine: sa.Engine) -> None:
        self.sent: list[list[str]] = []
        event.listen(engine, "before_cursor_execute", self._statement)
        for name in ("begin", "commit", "rollback"):
            event.listen(
                engine, name, lambda _, n=name: self.sent.append([n, ""])
            )

    def _statement(self, *given: Any) -> None:
        self.sent.append([given[2], repr(given[3])])

    def taken(self) -> list[list[str]]:
        sent, self.sent[:] = list(self.sent), []
        return sent


def _normal(sent: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """Give what concerns the table: columns, conditions, states, ends."""
    for text, given in sent:
        flat = re.sub(r"%\(\w+\)s", "?", " ".join(text.split()))
        where = re.search(r"FROM instances WHERE (.*?)( ORDER| LIMIT|$)", flat)
        if flat in ("begin", "commit", "rollback"):
            yield (flat,)
        elif flat.startswith("UPDATE instances SET "):
            columns, _, conditions = flat[21:].partition(" WHERE ")
            shown = set(re.findall(r"'([a-z_-]+)'[,)}\]]", given))
            yield (
                "update",
                *sorted(columns.split(", ")),
                conditions,
                *sorted(shown & _STATES),
            )
        elif re.match(r"SELECT (anon_1\.instances_id|instances\.)", flat):
            assert where
            yield ("select", where[1])
        elif "last_insert_id()" in flat:
            yield (flat,)


_STATES: Final = {str(state) for state in (*states.VMState, *states.TaskState)}


def _through_nova(
    url: str, uuids: list[str]
) -> list[tuple[str, list[tuple[str, ...]]]]:
    done = subprocess.run(
        [
            str(nova_venvs.python(schema.NEWEST)),
            "-W",
            "ignore",
            "-c",
            _NOVA,
            json.dumps([url, uuids, _SAVES]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout.splitlines()[-1])
    return [(outcome, list(_normal(sent))) for outcome, sent in cases]


def _through_the_demo(
    url: str, uuids: list[str]
) -> list[tuple[str, list[tuple[str, ...]]]]:
    way = direct.DirectSaves(url, None)
    recorder = _Recorder(way.context.db_connection.writer.get_engine())
    cases = []

    def play(action: Any, server: saves.Server, write: saves.Write) -> None:
        recorder.taken()
        try:
            action(server, write)
            outcome = "saved"
        except exceptions.InstanceUpdateConflict:
            outcome = "refused"
        cases.append((outcome, list(_normal(recorder.taken()))))

    server = _server(way, uuids[0])
    for values, expected in _SAVES:
        nova = states.ANY if expected is None else tuple(expected)
        play(way.write, server, saves.Write("", "", values, nova))
    nothing = saves.Write("", "", {}, states.ANY)
    for uuid in uuids[1:3]:
        play(way.destroy, _server(way, uuid), nothing)
    late = _server(way, uuids[3])
    moved = saves.Write("", "", {"host": "c9"}, states.ANY)
    way.write(_server(way, uuids[3]), moved)
    play(way.destroy, late, nothing)
    way.close()
    return cases


def _server(way: direct.DirectSaves, uuid: str) -> saves.Server:
    row = way.read(uuid)
    assert row is not None
    return saves.Server(uuid, row)


def _servers(engine: sa.Engine) -> list[str]:
    return [
        rows.insert_instance(engine, host=host)
        for host in ("compute1", "compute1", None, None)
    ]


# oslo.db's update_on_match builds an empty and_(), with Nova as well.
@pytest.mark.filterwarnings("ignore:Invoking and_:DeprecationWarning")
# Not under mariadb+pymysql://, where oslo.db does not know the dialect and
# reads the id back in another way, and which is not Nova's scheme.
@pytest.mark.parametrize(
    "cell_url", ["sqlite", "mysql+pymysql"], indirect=True
)
def test_direct_saves_are_novas(cell_url: str, cell_engine: sa.Engine) -> None:
    """Save for save, the direct mode sends what Nova 34 sends."""
    nova = _through_nova(cell_url, _servers(cell_engine))
    demo = _through_the_demo(cell_url, _servers(cell_engine))
    assert [outcome for outcome, _ in nova].count("refused") == 3
    assert ("commit",) in nova[0][1]
    assert demo == nova


def _writes() -> list[saves.Write]:
    found = {
        each.source: each
        for value in vars(writes).values()
        for each in (value if isinstance(value, tuple) else (value,))
        if isinstance(each, saves.Write)
    }
    return list(found.values())


@pytest.mark.parametrize("write", _writes(), ids=lambda write: write.source)
def test_write_stands_in_novas_source(write: saves.Write) -> None:
    """Each write is where it says, guarded there or not as it says."""
    nova_venvs.ensure(schema.NEWEST)
    folder = nova_venvs.python(schema.NEWEST).parents[1]
    (package,) = folder.glob("lib/python3*/site-packages/nova")
    name, _, number = write.source.partition(":")
    lines = (pathlib.Path(package) / name).read_text().splitlines()
    begin = int(number) - 1
    text = " ".join(" ".join(lines[begin : begin + 3]).split())
    if write.nova is states.ANY:
        assert re.search(
            r"\.(save|destroy)\((expected_task_state=None)?\)"
            r"|abort_instance_claim",
            text,
        )
    else:
        assert "expected_task_state" in text
