# SPDX-License-Identifier: Apache-2.0
"""The door into processes with a database: a plugin of SQLAlchemy's engines.

``[database] connection_parameters = plugin=nova_db_states`` reaches the
writer, the replica and every cell of nova-api, nova-conductor, nova-scheduler
and nova-manage. It does nothing to the engine itself: an engine that is never
used for an instance, and every statement that is not ours, stay as they are.
"""

import os
import threading
from typing import Any

import sqlalchemy as sa

from nova_db_states.nova import activation
from nova_db_states.nova import care

__all__ = ["NovaPlugin"]


class _Turn:
    """One thread at a time.

    It is made when the first engine is: then eventlet has patched what it is
    going to patch.
    """

    def __init__(self) -> None:
        self._renew()
        # A child that was forked while another thread held it has nobody to
        # give it back.
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


_turn = _Turn()


class NovaPlugin(sa.CreateEnginePlugin):
    """Activates the seams when Nova makes an engine."""

    def __init__(self, url: sa.URL, kwargs: dict[str, Any]) -> None:
        """Do nothing yet.

        :param url: of the engine
        :param kwargs: of ``create_engine``
        """

    def update_url(self, url: sa.URL) -> sa.URL:
        """Take nothing but the plugin itself out of the URL.

        SQLAlchemy has done so already.

        :param url: of the engine
        :returns: the URL for the driver
        """
        return url

    def engine_created(self, engine: sa.Engine) -> None:  # noqa: ARG002
        """Activate; where there is no Nova, nothing will come of it.

        No engine is given out before the seams are in place, whichever
        thread puts them there.

        :param engine: which is left alone
        :raises UnsupportedNova: see ``activation.activate``
        """
        with _turn.lock:
            activation.activate()
        care.settle()
