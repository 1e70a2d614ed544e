# SPDX-License-Identifier: Apache-2.0
"""All that is known, for programs."""

import json
from typing import Any

from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import power_sync
from nova_db_states.machine import queries
from nova_db_states.machine import status
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import parts

__all__ = ["action", "edge", "render", "reported", "state"]


def render(part: parts.Part) -> str:
    """Write a part as JSON.

    :param part: what to write
    :returns: one object
    """
    return json.dumps(as_mapping(part), indent=2) + "\n"


def as_mapping(part: parts.Part) -> dict[str, Any]:
    """Give what :func:`render` writes, as values of JSON."""
    return {
        "states": [state(one) for one in part.states],
        "actions": [action(one) for one in part.actions],
        "transitions": [edge(one) for one in part.transitions],
        "defects": [
            {**edge(one), "reason": one.write.defect} for one in part.defects
        ],
        "power_rules": [_power_rule(one) for one in part.power_rules],
    }


def state(one: notation.State) -> dict[str, Any]:
    """Give a state with what the map says of it.

    :param one: the state
    :returns: values of JSON
    """
    return {
        "vm_state": one.vm_state,
        "task_state": one.task_state,
        "status": reported(one),
        "stable": vocabulary.is_settled(one),
        "max_age_s": queries.max_age_s(one),
        "description": vocabulary.describe(one),
        "stranded": vocabulary.stranded(one),
    }


def reported(one: notation.State) -> str | None:
    """Give what Nova's API reports of a state.

    :param one: the state
    :returns: the status; ``None`` where there is no row
    """
    if one == notation.ABSENT:
        return None
    return status.reported_status(*one)


def action(one: model.Action) -> dict[str, Any]:
    """Give an action without its edges.

    :param one: the action
    :returns: values of JSON
    """
    return {
        "name": one.name,
        "summary": one.summary,
        "kind": one.kind,
        "starts": one.starts,
        "nova": one.nova,
        "launched": one.launched,
        "on_failure": one.on_failure,
        "overruled_by": list(one.overruled_by),
        "gaps": [gap(each) for each in one.gaps],
        "note": one.note,
    }


def gap(one: model.Gap) -> dict[str, Any]:
    """Give a gap.

    :param one: the gap
    :returns: values of JSON
    """
    return {
        "states": one.states,
        "since": one.since,
        "until": one.until,
        "allowed": None if one.allowed is None else list(one.allowed),
        "why": one.why,
    }


def edge(one: model.Transition) -> dict[str, Any]:
    """Give an edge; its first keys are the columns of the CSV.

    :param one: the edge
    :returns: values of JSON
    """
    write = one.write
    return {
        "from_vm_state": one.from_.vm_state,
        "from_task_state": one.from_.task_state,
        "to_vm_state": one.to.vm_state,
        "to_task_state": one.to.task_state,
        "action": one.action,
        "path": one.path,
        "nova": one.nova,
        "event": write.event,
        "via": write.via,
        "when": write.when,
        "guarded": write.guarded,
        "at_most_s": write.at_most_s,
        "releases": list(write.releases),
    }


def _power_rule(one: power_sync.PowerRule) -> dict[str, Any]:
    return {
        "vm_states": [str(name) for name in one.vm_states],
        "readings": [reading.name for reading in one.readings],
        "stops": one.stops,
        "nova": one.nova,
        "why": one.why,
    }
