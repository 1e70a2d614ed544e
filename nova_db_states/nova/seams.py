# SPDX-License-Identifier: Apache-2.0
"""What is done to ``nova.objects.instance`` once it is imported."""

from typing import Any, Final

from oslo_log import log

from nova_db_states.nova import care
from nova_db_states.nova import counters
from nova_db_states.nova import db_api
from nova_db_states.nova import first
from nova_db_states.nova import saves
from nova_db_states.nova import starting

__all__ = ["UnsupportedNova", "careful", "instance"]

LOG: Final = log.getLogger(__name__)

UnsupportedNova = care.UnsupportedNova
careful = care.careful


@careful
def instance(objects: Any) -> None:
    """Guard the saves of ``Instance``, and the functions below them.

    :param objects: ``nova.objects.instance``
    :raises UnsupportedNova: see ``activation.activate``
    """
    # What that module has imported itself is there for certain.
    places = (objects.db, objects.Instance, objects.InstanceList)
    try:
        with care.all_or_nothing(*places):
            below = db_api.Seam(objects.db, objects.models, objects.exception)
            below.install()
            first.install(objects.db, below)
            saves.Seam(objects, objects.exception, below).install()
    except Exception:
        counters.forget_seams()
        raise
    LOG.info("%s", starting.described())
