# SPDX-License-Identifier: Apache-2.0
"""Make the schema of a Nova cell with Nova's own migrations.

Run by the Python of a Nova release's virtualenv, with the URL of an empty
database: ``nova-manage db sync --local_cell``, without a configuration file.
"""

import sys

from nova import config
import nova.conf
from nova.db import migration
import nova.db.main.api


def main(url: str) -> None:
    """Bring the database at the URL to the newest version of its release."""
    # Nova's own way to begin, which knows the options of osprofiler too.
    config.parse_args(
        ["nova-manage"],
        default_config_files=[],
        configure_db=False,
        init_rpc=False,
    )
    nova.conf.CONF.set_override("connection", url, "database")
    nova.db.main.api.configure(nova.conf.CONF)
    migration.db_sync(database="main")


if __name__ == "__main__":
    main(sys.argv[1])
