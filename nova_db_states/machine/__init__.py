# SPDX-License-Identifier: Apache-2.0
"""The declared map: what may be done to a server, and what that leads to.

>>> from nova_db_states import machine
>>> machine.is_allowed(("active", None), ("active", "powering-off"))
True
>>> machine.is_allowed(("active", "deleting"), ("active", None))
False
"""

from nova_db_states.machine import atlas
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import power_sync
from nova_db_states.machine import queries
from nova_db_states.machine import status

__all__ = [
    "ABSENT",
    "MAP",
    "Action",
    "Atlas",
    "Event",
    "Gap",
    "Kind",
    "Path",
    "PowerRule",
    "PowerState",
    "State",
    "Transition",
    "Write",
    "action",
    "allowed_actions",
    "defects",
    "describe",
    "entering",
    "gaps",
    "is_allowed",
    "leaving",
    "max_age_s",
    "path",
    "power_rule",
    "reported_status",
    "sources",
    "stable",
    "state",
    "transient",
    "transitions",
]

ABSENT = notation.ABSENT
MAP = instance.MAP
Action = model.Action
Atlas = atlas.Atlas
Event = model.Event
Gap = model.Gap
Kind = model.Kind
Path = model.Path
PowerRule = power_sync.PowerRule
PowerState = power_sync.PowerState
State = notation.State
Transition = model.Transition
Write = model.Write
action = queries.action
allowed_actions = queries.allowed_actions
defects = queries.defects
entering = queries.entering
leaving = queries.leaving
describe = queries.describe
gaps = queries.gaps
is_allowed = queries.is_allowed
max_age_s = queries.max_age_s
path = queries.path
power_rule = power_sync.power_rule
reported_status = status.reported_status
sources = queries.sources
stable = queries.stable
state = queries.state
transient = queries.transient
transitions = queries.transitions
