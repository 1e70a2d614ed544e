# SPDX-License-Identifier: Apache-2.0
"""The API on Nova's own contexts; run by a Nova release's Python.

Arguments: the URL of a cell database, and the uuids of two instances in it:
one of the project ``mine``, one that is deleted. Each scenario prints one
line; the test that runs this file reads them.
"""

import sys
from typing import Any

from nova import config
from nova import context as nova_context
import nova.conf
from nova.db.main import api as nova_db
from nova.objects import cell_mapping

from nova_db_states import api
from nova_db_states import exceptions


def say(*words: object) -> None:
    """Hand a line to the test."""
    sys.stdout.write(f"{' '.join(map(str, words))}\n")


def attempt(name: str, context: Any, instance: str, **values: object) -> None:
    """Run one update and print what came of it."""
    try:
        api.instance_update(context, instance, values)
    except exceptions.NovaDBStatesError as error:
        say(name, type(error).__name__)
    else:
        say(name, "applied")


def main(url: str, live: str, deleted: str) -> None:
    """Play every scenario."""
    # It knows the options of osprofiler too.
    config.parse_args(
        ["nova-conductor"],
        default_config_files=[],
        configure_db=False,
        init_rpc=False,
    )
    nova.conf.CONF.set_override("connection", url, "database")
    nova_db.configure(nova.conf.CONF)
    cell = cell_mapping.CellMapping(
        uuid="5cba6bc8-6543-42e0-831d-cad65d335f14",
        name="cell1",
        database_connection=url,
        transport_url="fake:///",
    )
    admin = nova_context.get_admin_context()
    mine = nova_context.RequestContext(user_id="u", project_id="mine")
    yours = nova_context.RequestContext(user_id="u", project_id="yours")

    attempt("untargeted", admin, live, progress=1)
    with nova_context.target_cell(admin, cell) as targeted:
        attempt("admin", targeted, live, progress=2)
        attempt("deleted", targeted, deleted, progress=2)
    with nova_context.target_cell(mine, cell) as targeted:
        attempt("mine", targeted, live, progress=3)
    with nova_context.target_cell(yours, cell) as targeted:
        attempt("yours", targeted, live, progress=4)
    seeing = nova_context.get_admin_context(read_deleted="yes")
    with nova_context.target_cell(seeing, cell) as targeted:
        attempt("read_deleted", targeted, deleted, progress=5)

    with nova_context.target_cell(admin, cell) as targeted:
        joined(targeted, live)

    api.register_resolver(nova_db.get_context_manager)
    attempt("resolved", admin, live, progress=7)


def joined(context: Any, live: str) -> None:
    """Join a transaction that Nova's own code opened, and roll it back."""
    manager = nova_db.get_context_manager(context)
    with manager.writer.using(context) as session:
        api.instance_update(context, live, {"progress": 6})
        session.rollback()
    row = nova_db.instance_get_by_uuid(context, live)
    say("joined", row["progress"])


if __name__ == "__main__":
    main(*sys.argv[1:])
