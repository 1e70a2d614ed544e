# SPDX-License-Identifier: Apache-2.0
"""No failure of the plugin reaches Nova, unless somebody asked for that.

A Nova that the plugin cannot serve runs as it always did, and the log says
so. Only where the configuration itself says ``mode = enforce`` is running
without guards worse than not running, and then the process ends.

What fails may fail before Nova has read its configuration. It is kept until
that is done: until then nobody knows what was asked for.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
import importlib.metadata
import pkgutil
from types import ModuleType
from typing import Any, Final

from oslo_log import log

from nova_db_states.machine import instance
from nova_db_states.nova import activation
from nova_db_states.nova import settings

__all__ = [
    "Hook",
    "UnsupportedNova",
    "all_or_nothing",
    "careful",
    "imported",
    "settle",
]

LOG: Final = log.getLogger(__name__)

Hook = Callable[[ModuleType], None]

_done: Final[dict[str, object]] = {}
_failures: Final[dict[str, Exception]] = {}
"""What went wrong, by its text: every hook finds the same wrong release."""
_said: Final[set[str]] = set()


class UnsupportedNova(Exception):
    """This Nova cannot be served, and the configuration asks for it."""


def imported(module: ModuleType) -> None:
    """Do to a module of Nova's what ``activation`` names for it.

    :param module: one of Nova's, just imported
    :raises UnsupportedNova: see :func:`settle`
    """
    settings.register()
    for function in activation.HOOKS[module.__name__]:
        try:
            pkgutil.resolve_name(function)(module)
        except UnsupportedNova:
            raise
        except Exception as error:  # noqa: BLE001 - of imports, of anything
            _failed(error)


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
        except Exception as error:  # noqa: BLE001 - of a Nova that differs
            _failed(error)

    return hook


def _require_release() -> None:
    version = importlib.metadata.version("nova")
    if int(version.split(".", maxsplit=1)[0]) not in instance.RELEASES:
        known = ", ".join(map(str, instance.RELEASES))
        raise UnsupportedNova(
            f"it is Nova {version}, and the releases known are {known}"
        )


def _failed(error: Exception) -> None:
    _failures.setdefault(_text(error), error)
    if settings.are_read():
        settle()


def _text(error: Exception) -> str:
    if isinstance(error, UnsupportedNova):
        return str(error)
    return f"{type(error).__name__}: {error}"


def settle() -> None:
    """Say what went wrong, now that the configuration is read.

    May be called often: the log has each failure once, and a process that
    was asked for does not begin to run at the second try.

    :raises UnsupportedNova: something did, and the configuration asks for
        guards
    """
    if _failures and settings.is_required():
        text, error = next(iter(_failures.items()))
        raise UnsupportedNova(
            f"nova_db_states cannot guard this Nova: {text}. Take mode = "
            f"enforce out of [nova_db_states] to run it without guards."
        ) from error
    for text, error in list(_failures.items()):
        if text not in _said:
            _said.add(text)
            LOG.error(
                "nova_db_states cannot guard this Nova, which runs as it "
                "does without the plugin: %s",
                text,
                exc_info=(
                    None if isinstance(error, UnsupportedNova) else error
                ),
            )


@contextlib.contextmanager
def all_or_nothing(*holders: Any) -> Iterator[None]:
    """Take back what a block has put into modules and classes if it fails.

    :param holders: the modules and classes
    :returns: yields nothing
    """
    before = [dict(vars(holder)) for holder in holders]
    try:
        yield
    except BaseException:
        for holder, names in zip(holders, before, strict=True):
            for name, value in list(vars(holder).items()):
                if name not in names:
                    delattr(holder, name)
                elif value is not names[name]:
                    setattr(holder, name, names[name])
        raise
