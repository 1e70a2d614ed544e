# SPDX-License-Identifier: Apache-2.0
"""What is said, and found out, while a process of Nova's starts."""

import functools
from types import ModuleType
from typing import Any, Final

from oslo_log import log

from nova_db_states.nova import care
from nova_db_states.nova import counters
from nova_db_states.nova import settings

__all__ = ["config", "described", "service"]

LOG: Final = log.getLogger(__name__)


def config(module: Any) -> None:
    """Settle what failed before, once the configuration is read.

    Whatever release it is: also one that is not known has to be told.

    :param module: ``nova.config``
    """
    theirs = module.parse_args

    @functools.wraps(theirs)
    def parse_args(*args: Any, **kwargs: Any) -> Any:
        result = theirs(*args, **kwargs)
        care.settle()
        return result

    module.parse_args = parse_args


@care.careful
def service(module: ModuleType) -> None:
    """Let each process of a service say that it guards, in its own log.

    :param module: ``nova.service``
    """
    cls: Any = vars(module)["Service"]
    theirs = cls.start

    @functools.wraps(theirs)
    def start(*args: Any, **kwargs: Any) -> Any:
        LOG.info("%s", described())
        return theirs(*args, **kwargs)

    cls.start = start


def described() -> str:
    """Say what the plugin does in this process.

    :returns: a line for the log
    """
    counts = counters.snapshot()
    seams = [
        name
        for name, count in (
            ("Instance objects", counts["upper"]),
            ("Nova's DB API", counts["lower"]),
        )
        if count
    ]
    return (
        f"nova_db_states is in {' and '.join(seams) or 'nothing'} here; mode "
        f"= {settings.mode()}."
    )
