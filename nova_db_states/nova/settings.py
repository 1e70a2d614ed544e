# SPDX-License-Identifier: Apache-2.0
"""The options as they are now, out of Nova's own configuration.

They can be read at any time. Before Nova has read its files they have their
defaults; one with a value that is none has its default too, and the log says
so, since a save of Nova's must not fail for it.
"""

import functools
import logging
from typing import Any, Final

from oslo_config import cfg

from nova_db_states import conf

__all__ = [
    "are_read",
    "conflict_log_level",
    "is_off",
    "is_required",
    "mode",
    "observes",
    "register",
    "watch_interval_s",
]

LOG: Final = logging.getLogger(__name__)

_CONF: Final = cfg.CONF
"""Nova's ``nova.conf.CONF`` is the global one of oslo.config."""

_DEFAULTS: Final = {option.name: option.default for option in conf.OPTIONS}


def register() -> None:
    """Make the options known; more than once does no harm."""
    _CONF.register_opts(conf.OPTIONS, group=conf.GROUP)


def _value(name: str) -> Any:
    try:
        return _CONF[conf.GROUP][name]
    except cfg.NoSuchOptError:
        register()
    except (cfg.ConfigFileValueError, cfg.TemplateSubstitutionError) as error:
        _complain(name, str(error))
        return _DEFAULTS[name]
    return _value(name)


@functools.lru_cache(maxsize=64)
def _complain(name: str, text: str) -> None:
    LOG.error(
        "[%s] %s has a value that is none: %s. It counts as %s.",
        conf.GROUP,
        name,
        text,
        _DEFAULTS[name],
    )


def mode() -> str:
    """Give what to do with writes of state."""
    return str(_value("mode"))


def is_off() -> bool:
    """Say whether Nova is to be left alone."""
    return mode() == conf.OFF


def observes() -> bool:
    """Say whether conflicts are to be logged instead of refused."""
    return mode() == conf.OBSERVE


def are_read() -> bool:
    """Say whether Nova has read its configuration files."""
    try:
        # One of the options that oslo.config itself has while it is in use.
        _CONF["config_file"]  # type: ignore[unused-ignore]
    except cfg.NoSuchOptError:
        return False
    return True


def is_required() -> bool:
    """Say whether somebody wrote ``mode = enforce`` himself.

    Whoever did wants no Nova without guards; for everybody else a Nova that
    the plugin cannot serve runs as it always did.
    """
    try:
        location = _CONF.get_location("mode", conf.GROUP)
    except (cfg.Error, ValueError):
        return False
    chosen = location is not None and location.location.is_user_controlled
    return chosen and mode() == conf.ENFORCE


def conflict_log_level() -> int:
    """Give the level of the line about a refused write, as in ``logging``."""
    return int(getattr(logging, _value("conflict_log_level").upper()))


def watch_interval_s() -> float:
    """Give the time between two looks during a transfer, in seconds."""
    return float(_value("watch_interval"))
