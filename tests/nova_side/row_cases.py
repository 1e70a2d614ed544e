# SPDX-License-Identifier: Apache-2.0
"""What a saved object holds, when its row came in one piece.

These need MariaDB, and the plugin.
"""

import threading
from typing import Any

from nova import objects
from nova.db.main import api as main_db
from sqlalchemy import event

from tests.nova_side import server_cases

_WAIT_S = 20.0
_ODD = 'quo\'te "double" back\\slash\n\t\x01\x1f %s :x \u00e4\u20ac</>[1,'
_ATTRIBUTES = ["info_cache", "metadata", "system_metadata"]
_UNSET = {"updated_at"}


class Rows(server_cases.Server):
    """Saves, and what they read."""

    def load(self, uuid: str) -> Any:
        """Read an object with everything that is read with its row."""
        return objects.Instance.get_by_uuid(
            self.admin, uuid, expected_attrs=_ATTRIBUTES
        )

    def content(self, server: Any) -> dict[str, Any]:
        """List what an object holds."""
        held = {
            name: getattr(server, name)
            for name in server.fields
            if server.obj_attr_is_set(name) and name not in _UNSET
        }
        network = server.info_cache.network_info
        held["info_cache"] = None if network is None else network.json()
        return held

    def test_odd_texts(self) -> None:
        """Every column and every key holds what a read of Nova's gives."""
        odd = {f"{_ODD}{number}": _ODD for number in range(20)}
        uuid = self.made(
            display_name=_ODD,
            display_description="",
            user_data="QUJD" * 10_000,
            access_ip_v6="fe80::1",
            locked=True,
            auto_disk_config=False,
            system_metadata=odd,
            metadata={},
        )
        server = self.load(uuid)
        server.task_state = "rebuilding"
        server.save(expected_task_state=[None])
        self.assertEqual(odd, server.system_metadata)
        self.assertEqual(self.content(self.load(uuid)), self.content(server))

    def test_no_info_cache(self) -> None:
        """An object without an info cache has none after it was saved."""
        server = self.load(self.made(cache=False))
        server.task_state = "rebuilding"
        server.save()
        self.assertIsNone(server.info_cache)

    def test_what_was_waited_for(self) -> None:
        """What another one commits, while a save waits for it, is seen."""
        uuid = self.made()
        server = self.load(uuid)
        self.execute("BEGIN")
        self.execute("UPDATE instances SET progress = 5 WHERE uuid=%s", uuid)
        self.execute(
            "UPDATE instance_system_metadata SET value = 'new'"
            " WHERE instance_uuid=%s",
            uuid,
        )
        self.execute(
            "UPDATE instance_info_caches SET network_info = %s"
            " WHERE instance_uuid=%s",
            '[{"id": "new"}]',
            uuid,
        )
        server.task_state = "rebuilding"
        thread = threading.Thread(target=server.save)
        thread.start()
        self.wait_for_a_waiter()
        self.execute("COMMIT")
        thread.join(_WAIT_S)
        self.assertEqual("rebuilding", self.load(uuid).task_state)
        self.assertEqual(5, server.progress)
        self.assertEqual({"s1": "new", "s2": "new"}, server.system_metadata)
        self.assertEqual("new", server.info_cache.network_info[0]["id"])
        self.assertEqual([], self.slept)

    def test_cut_off(self) -> None:
        """A server that cuts off long answers is asked once more."""
        keys = {f"key{number}": "value" for number in range(30)}
        server = self.load(self.made(system_metadata=keys))
        engine = main_db.get_engine()

        def limit(connection: Any, *_: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION group_concat_max_len = 100")

        event.listen(engine, "checkout", limit)
        self.addCleanup(engine.dispose)
        self.addCleanup(event.remove, engine, "checkout", limit)
        server.task_state = "rebuilding"
        server.save()
        self.assertEqual(keys, server.system_metadata)
