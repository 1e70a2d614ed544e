# SPDX-License-Identifier: Apache-2.0
"""The options as they are now, out of Nova's own configuration."""

import logging
from typing import Any, Final

from oslo_config import cfg

from nova_db_states import conf

__all__ = [
    "conflict_log_level",
    "is_off",
    "is_required",
    "observes",
    "register",
    "watch_interval_s",
]

_CONF: Final = cfg.CONF
"""Nova's ``nova.conf.CONF`` is the global one of oslo.config."""


def register() -> None:
    """Make the options known; more than once does no harm."""
    _CONF.register_opts(conf.OPTIONS, group=conf.GROUP)


def _group() -> Any:
    return _CONF[conf.GROUP]


def is_off() -> bool:
    """Say whether Nova is to be left alone."""
    return bool(_group().mode == conf.OFF)


def observes() -> bool:
    """Say whether conflicts are to be logged instead of refused."""
    return bool(_group().mode == conf.OBSERVE)


def is_required() -> bool:
    """Say whether somebody wrote ``mode = enforce`` himself.

    Whoever did wants no Nova without guards; for everybody else a Nova that
    the plugin cannot serve runs as it always did.
    """
    try:
        location = _CONF.get_location("mode", conf.GROUP)
    except cfg.Error:
        return False
    chosen = location is not None and location.location.is_user_controlled
    return chosen and bool(_group().mode == conf.ENFORCE)


def conflict_log_level() -> int:
    """Give the level of the line about a refused write, as in ``logging``."""
    return int(getattr(logging, _group().conflict_log_level.upper()))


def watch_interval_s() -> float:
    """Give the time between two looks during a transfer, in seconds."""
    return float(_group().watch_interval)
