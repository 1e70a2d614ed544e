# SPDX-License-Identifier: Apache-2.0
"""The door into processes with a database: a plugin of SQLAlchemy's engines.

``[database] connection_parameters = plugin=nova_db_states`` reaches the
writer, the replica and every cell of nova-api, nova-conductor, nova-scheduler
and nova-manage. It does nothing to the engine itself: an engine that is never
used for an instance, and every statement that is not ours, stay as they are.
"""

import sys
from typing import Any

import sqlalchemy as sa

from nova_db_states.nova import activation

__all__ = ["NovaPlugin"]


class NovaPlugin(sa.CreateEnginePlugin):
    """Activates the seams when Nova makes an engine."""

    def __init__(self, url: sa.URL, kwargs: dict[str, Any]) -> None:
        """Do nothing yet.

        :param url: of the engine
        :param kwargs: of ``create_engine``
        """

    def update_url(self, url: sa.URL) -> sa.URL:
        """Take nothing but the plugin itself out of the URL.

        :param url: of the engine
        :returns: the URL for the driver
        """
        return url

    def engine_created(self, engine: sa.Engine) -> None:
        """Activate, if this is a process of Nova's.

        :param engine: which is left alone
        :raises UnsupportedNova: see ``activation.activate``
        """
        if "nova" in sys.modules:
            activation.activate()
