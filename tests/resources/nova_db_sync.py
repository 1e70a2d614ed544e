# SPDX-License-Identifier: Apache-2.0
"""Make the schema of a Nova cell with Nova's own migrations.

Run by the Python of a Nova release's virtualenv, with the URL of an empty
database: ``nova-manage db sync --local_cell``, without a configuration file.
"""

import sys

import nova.conf
from nova.db import migration
import nova.db.main.api


def main(url: str) -> None:
    """Bring the database at the URL to the newest version of its release."""
    nova.conf.CONF([], project="nova", default_config_files=[])
    nova.conf.CONF.set_override("connection", url, "database")
    nova.db.main.api.configure(nova.conf.CONF)
    migration.db_sync(database="main")


if __name__ == "__main__":
    main(sys.argv[1])
