# SPDX-License-Identifier: Apache-2.0
"""The options of this project in Nova's configuration files."""

from typing import Final

from oslo_config import cfg

__all__ = ["GROUP", "MODES", "OPTIONS", "list_opts"]

GROUP: Final = "nova_db_states"

OFF: Final = "off"
OBSERVE: Final = "observe"
ENFORCE: Final = "enforce"
MODES: Final = (OFF, OBSERVE, ENFORCE)

_LEVELS: Final = (
    ("debug", "In the log of services that have debug = true."),
    ("info", "In the log, beside what is done every day."),
    ("warning", "In the log, as what may need a look."),
    ("error", "In the log, as what somebody has to do something about."),
)

OPTIONS: Final = (
    cfg.StrOpt(
        "mode",
        default=ENFORCE,
        mutable=True,
        choices=[
            (OFF, "Nova alone: nothing is guarded, counted or logged."),
            (
                OBSERVE,
                (
                    "Nothing is refused; each write that enforce would "
                    "refuse is logged in one line, for 'nova-db-states "
                    "observed'."
                ),
            ),
            (
                ENFORCE,
                (
                    "A write of vm_state or task_state is refused where the "
                    "server is no longer as its writer believes."
                ),
            ),
        ],
        help="""
What to do with writes of the state of a server.

The mode belongs to the process that executes the write. For
nova-compute that is nova-conductor; its own setting governs what
it does when a write of its own was refused, and whether long
operations are watched.

A reload of the configuration (SIGHUP) is enough to change it, in
services that reload: a WSGI server wants its own reload, and a
service in native threading mode without workers (nova-compute of
Nova 34) ends on SIGHUP and has to be started again.
""",
    ),
    cfg.StrOpt(
        "conflict_log_level",
        default="info",
        mutable=True,
        choices=list(_LEVELS),
        help="""
Level of the log line that says that a write was refused.

In the mode observe the lines are written at the level info or
above, since they are what that mode is for.
""",
    ),
    cfg.FloatOpt(
        "watch_interval",
        default=10.0,
        min=1.0,
        mutable=True,
        help="""
How often nova-compute looks whether a server is still its own
during a download or an upload, in seconds.

Each look is one guarded update through nova-conductor, which also
moves the progress and updated_at of the server on. A delete stops
the transfer within one interval.
""",
    ),
)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """List the options for the sample generator of oslo.config.

    :returns: the group with its options
    """
    group = cfg.OptGroup(
        GROUP,
        title="Guarded state changes",
        help="""
The plugin that guards the writes of server states. It is switched
on with ``[database] connection_parameters =
plugin=nova_db_states`` in services that have a database, and with
``nova-db-states run`` for nova-compute.
""",
    )
    return [(group, list(OPTIONS))]
