# SPDX-License-Identifier: Apache-2.0
"""One call, made by Nova's own function and by the one in its place.

Each is made on an instance of its own; the two are alike but for what
identifies them. What came of it is described attribute by attribute, with
that taken out.
"""

from collections.abc import Callable
import contextlib
import copy
import datetime
import json
from typing import Any

import fixtures
from nova import conf
from nova import context as nova_context
from nova import exception
from nova import objects
from nova import test
from nova.db.main import api as main_db
from nova.db.main import models
from nova.tests.unit import fake_flavor
from oslo_db.sqlalchemy import enginefacade
from oslo_utils import fixture as utils_fixture
import sqlalchemy as sa
from sqlalchemy import orm

NOW = datetime.datetime(2026, 3, 4, 5, 6, 7, 890123)
FUNCTIONS = ("instance_update", "instance_update_and_get_original")

RELATIONS = (
    "metadata",
    "system_metadata",
    "info_cache",
    "security_groups",
    "pci_devices",
    "tags",
    "services",
    "extra",
    "console_auth_tokens",
)
_SCALARS = (str, int, float, bool, type(None), datetime.datetime)
_DEPTH = 2

DETACHED = "DetachedInstanceError"


class Case(test.TestCase):
    """Pairs of instances, and calls on both."""

    SCHEME = ""

    def setUp(self) -> None:
        """Stop the clock, so that both write the same."""
        super().setUp()
        if self.SCHEME:
            self.use_scheme(self.SCHEME)
        self.admin = nova_context.get_admin_context()
        self.useFixture(utils_fixture.TimeFixture(NOW))
        self.mode = "enforce"

    def use_scheme(self, scheme: str) -> None:
        """Name the database otherwise than Nova's migrations would bear."""
        manager = enginefacade.transaction_context()
        url = main_db.get_engine().url.set(drivername=scheme)
        manager.configure(connection=url.render_as_string(hide_password=False))
        engine = manager.writer.get_engine()
        self.assertEqual("mariadb", engine.dialect.name)
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova.db.main.api.get_context_manager", lambda _: manager
            )
        )
        self.addCleanup(engine.dispose)

    @contextlib.contextmanager
    def nova_alone(self) -> Any:
        """Let the functions be Nova's own in a block."""
        conf.CONF.set_override("mode", "off", "nova_db_states")
        try:
            yield
        finally:
            conf.CONF.set_override("mode", self.mode, "nova_db_states")

    def pair(self, **values: Any) -> tuple[Any, Any]:
        """Create two instances that are alike."""
        return self.made(**values), self.made(**values)

    def made(self, *, cache: bool = True, **values: Any) -> str:
        """Create an instance with something of everything."""
        server = objects.Instance(
            self.admin,
            **{
                "project_id": "project",
                "user_id": "user",
                "vm_state": "active",
                "task_state": None,
                "host": "host1",
                "node": "node1",
                "compute_id": 1,
                "metadata": {"m1": "1", "m2": "2"},
                "system_metadata": {"s1": "1", "s2": "2"},
                "flavor": fake_flavor.fake_flavor_obj(self.admin),
                **values,
            },
        )
        server.create()
        uuid: str = server.uuid
        with main_db.get_context_manager(self.admin).writer.using(
            self.admin
        ) as session:
            session.add(models.Tag(resource_id=uuid, tag="tag1"))
            if not cache:
                session.execute(
                    sa.text(
                        "DELETE FROM instance_info_caches "
                        "WHERE instance_uuid = :uuid"
                    ),
                    {"uuid": uuid},
                )
        return uuid

    def assert_alike(self, differs: list[Any], *which: Any) -> None:
        """Assert that nothing differs; say which call it was."""
        lines = [str(which), *(str(one)[:300] for one in differs)]
        if differs:
            self.fail("\n".join(lines[:9]))

    def differs(
        self,
        call: Callable[[Any, str], Any],
        *,
        context: Callable[[], Any] | None = None,
        prepare: Callable[[str], Any] | None = None,
        cache: bool = True,
        **values: Any,
    ) -> list[Any]:
        """Make a call both ways; list what differs, Nova's own first.

        :param call: takes a context and the uuid
        :param context: makes the context; an administrator's by default
        :param prepare: is called with the uuid before
        :param cache: whether the instances have an info cache
        :param values: of the instances
        """
        said = []
        for alone in (True, False):
            uuid = self.made(cache=cache, **values)
            if prepare is not None:
                prepare(uuid)
            mine = (context or nova_context.get_admin_context)()
            with self.nova_alone() if alone else contextlib.nullcontext():
                came = self.outcome(lambda: call(mine, uuid))  # noqa: B023
            said.append({"came": came, "row": self.rows(uuid)})
            said[-1] = self.anonymous(said[-1], uuid)
        return list(difference("", *said))

    def outcome(self, call: Callable[[], Any]) -> Any:
        """Describe what comes of a call."""
        try:
            result = call()
        except exception.NovaException as error:
            return {
                "raised": type(error).__name__,
                "kwargs": {
                    name: kind(value) for name, value in error.kwargs.items()
                },
            }
        except Exception as error:  # noqa: BLE001 - its kind is compared
            return {"raised": type(error).__name__}
        if isinstance(result, tuple):
            return [described(one) for one in result]
        return described(result)

    def rows(self, uuid: str) -> dict[str, Any]:
        """Read all that the database has of an instance."""
        found: dict[str, Any] = {}
        with main_db.get_context_manager(self.admin).writer.using(
            self.admin
        ) as session:
            for table, column in (
                ("instances", "uuid"),
                ("instance_metadata", "instance_uuid"),
                ("instance_system_metadata", "instance_uuid"),
                ("instance_info_caches", "instance_uuid"),
                ("instance_extra", "instance_uuid"),
            ):
                rows = session.execute(
                    sa.text(
                        f"SELECT * FROM {table} "
                        f"WHERE {column} = :uuid ORDER BY id"
                    ),
                    {"uuid": uuid},
                )
                found[table] = [
                    {
                        name: "N"
                        if name in {"id", "deleted"} and value
                        else value
                        for name, value in row._mapping.items()
                    }
                    for row in rows
                ]
        return found

    def anonymous(self, said: Any, uuid: str) -> Any:
        """Take out what identifies an instance."""
        if isinstance(said, dict):
            return {
                name: self.anonymous(value, uuid)
                for name, value in said.items()
            }
        if isinstance(said, list):
            return [self.anonymous(one, uuid) for one in said]
        if not isinstance(said, str):
            return said
        # Nova gives some back in the letters that they were given in.
        return said.replace(uuid, "UUID").replace(uuid.upper(), "UUID")


def kind(value: Any) -> Any:
    """Describe what an exception has: collections by their members."""
    if isinstance(value, dict):
        return {name: kind(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return sorted(map(str, value))
    return value


def described(found: Any, depth: int = 0) -> Any:
    """Describe an object of Nova's DB API, and what can be done with it."""
    if isinstance(found, _SCALARS):
        return f"{type(found).__name__} {found}"
    if isinstance(found, list):
        # Metadata is a mapping for everybody; its order says nothing.
        return sorted((described(one, depth) for one in found), key=json.dumps)
    if not isinstance(found, models.NovaBase):
        return repr(type(found))
    names = [column.name for column in found.__table__.columns]
    said = {
        "class": type(found).__name__,
        **{name: attribute(found, name, depth) for name in names},
    }
    if isinstance(found, models.Instance):
        said |= {name: attribute(found, name, depth) for name in RELATIONS}
        said |= {f"item {name}": item(found, name) for name in names}
        said |= handling(found)
    numbers = {said.pop("id")} - {DETACHED}
    return {
        name: "N" if name.endswith("deleted") and value in numbers else value
        for name, value in said.items()
        if name not in {"item id", "instance_id"}
    }


def attribute(found: Any, name: str, depth: int) -> Any:
    """Describe an attribute, or what asking for it raises."""
    try:
        value = getattr(found, name)
    except (orm.exc.DetachedInstanceError, sa.exc.UnboundExecutionError):
        # The latter where the session of Nova's copies is still about.
        return DETACHED
    except Exception as error:  # noqa: BLE001 - its kind is compared
        return f"raises {type(error).__name__}"
    if depth >= _DEPTH:
        return "deep"
    return described(value, depth + 1)


def item(found: Any, name: str) -> Any:
    """Describe what item access gives."""
    try:
        return described(found[name], _DEPTH)
    except Exception as error:  # noqa: BLE001 - its kind is compared
        return f"raises {type(error).__name__}"


def handling(found: Any) -> dict[str, Any]:
    """Describe what Nova's callers do with an instance."""
    said: dict[str, Any] = {}
    for name, do in (
        ("name", lambda: found.name),
        ("get", lambda: found.get("nothing", "default")),
        ("in", lambda: "uuid" in found),
        ("dict", lambda: ",".join(sorted(dict(found)))),
        ("items", lambda: ",".join(sorted(dict(found.items())))),
        ("copy", lambda: copy.copy(found).uuid),
        ("cache", lambda: found["info_cache"]["network_info"]),
        ("set", lambda: setattr(copy.copy(found), "progress", 99)),
        ("in __dict__", lambda: "extra" in found.__dict__),
        ("session", lambda: orm.object_session(found) is None),
    ):
        try:
            said[f"handling {name}"] = described(do(), _DEPTH)
        except Exception as error:  # noqa: BLE001 - its kind is compared
            said[f"handling {name}"] = f"raises {type(error).__name__}"
    said.pop("handling name")
    return said


def difference(at: str, alone: Any, ours: Any) -> Any:
    """List where two descriptions differ.

    What Nova cannot give, since it has not been loaded, may be there; and so
    may the time of this update, where Nova has that of the one before.
    """
    is_time = at.endswith("updated_at") and at.startswith("/came")
    if is_time and ours in {
        described(NOW),
        described(NOW.replace(microsecond=0)),
    }:
        return
    if isinstance(ours, str) and str(alone).startswith(f"{ours}."):
        # Of a time the server keeps the seconds.
        return
    if (alone, ours) == ("InstanceUpdateConflict", "UnexpectedTaskStateError"):
        # One about ``vm_state`` alone; see ``conflicts.as_nova``.
        return
    if alone in (DETACHED, f"raises {DETACHED}"):
        return
    if isinstance(alone, dict) and isinstance(ours, dict):
        for name in sorted({*alone, *ours}):
            yield from difference(
                f"{at}/{name}",
                alone.get(name, "missing"),
                ours.get(name, "missing"),
            )
    elif (
        isinstance(alone, list)
        and isinstance(ours, list)
        and len(alone) == len(ours)
    ):
        for number, pair in enumerate(zip(alone, ours, strict=True)):
            yield from difference(f"{at}/{number}", *pair)
    elif alone != ours:
        yield at, alone, ours
