# SPDX-License-Identifier: Apache-2.0
"""What is done to each module of Nova's once it is imported."""

from collections.abc import Callable
import functools
import importlib.metadata
from types import ModuleType
from typing import Final

from oslo_log import log

from nova_db_states.machine import instance as declared
from nova_db_states.nova import db_api
from nova_db_states.nova import saves
from nova_db_states.nova import settings

__all__ = ["UnsupportedNova", "careful", "instance"]

LOG: Final = log.getLogger(__name__)

_done: Final[dict[str, object]] = {}

Hook = Callable[[ModuleType], None]


class UnsupportedNova(Exception):
    """This Nova cannot be served, and the configuration asks for it."""


def careful(install: Hook) -> Hook:
    """Let a Nova that is not understood be Nova as it always was.

    :param install: puts something into a module of Nova's
    :returns: the same, once a process and only into a Nova that is known
    """

    @functools.wraps(install)
    def hook(module: ModuleType) -> None:
        mine = object()
        name = f"{install.__module__}.{install.__name__}"
        if _done.setdefault(name, mine) is not mine:
            return
        settings.register()
        try:
            _require_release()
            install(module)
        except Exception as error:
            if settings.is_required():
                raise UnsupportedNova(
                    f"nova_db_states cannot guard this Nova: {error}. Take "
                    f"mode = enforce out of [nova_db_states] to run it "
                    f"without guards."
                ) from error
            LOG.exception(
                "nova_db_states cannot guard this Nova, which runs as it does "
                "without the plugin."
            )

    return hook


def _require_release() -> None:
    version = importlib.metadata.version("nova")
    if int(version.split(".", maxsplit=1)[0]) not in declared.RELEASES:
        known = ", ".join(map(str, declared.RELEASES))
        raise UnsupportedNova(
            f"it is Nova {version}, and the releases known are {known}"
        )


@careful
def instance(objects: ModuleType) -> None:
    """Guard the saves of ``Instance``, and the functions below them.

    :param objects: ``nova.objects.instance``
    :raises UnsupportedNova: see ``activation.activate``
    """
    # What that module has imported itself is there for certain.
    below = db_api.Seam(objects.db, objects.models, objects.exception)
    below.install()
    saves.Seam(objects, objects.exception, below).install()
    LOG.info("nova_db_states guards the states of servers in this process.")
