# SPDX-License-Identifier: Apache-2.0
"""Ways to break the plugin, each for as long as a test runs."""

from collections.abc import Callable
import dataclasses
from typing import Any

import fixtures
from nova.db.main import models

from nova_db_states import guards
from nova_db_states._update import execute
from nova_db_states._update import update as update_
from nova_db_states.machine import instance as declared
from nova_db_states.nova import belief
from nova_db_states.nova import judgement
from tests.nova_side import belief_cases
from tests.nova_side import guard_cases
from tests.nova_side import refusal_cases

Change = Callable[[Any], None]

_CASES = (
    belief_cases.Ways,
    belief_cases.Replicas,
    refusal_cases.Refusals,
    refusal_cases.Elsewhere,
    refusal_cases.Saves,
    guard_cases.Between,
)


def broken(module: str, change: Change) -> dict[str, type]:
    """Make the test classes whose tests run with a change.

    :param module: where they are put
    :param change: made after the set-up of each test
    """
    return {cls.__name__: _broken(cls, module, change) for cls in _CASES}


def _broken(cls: Any, module: str, change: Change) -> type:
    def set_up(test: Any) -> None:
        cls.setUp(test)
        change(test)

    return type(
        cls.__name__,
        (cls,),
        {"__module__": module, "__doc__": cls.__doc__, "setUp": set_up},
    )


def no_guard(test: Any) -> None:
    """Rule that nothing has to be guarded."""
    _replace(test, judgement, "ruling", lambda _: None)


def every_source(test: Any) -> None:
    """Guard with all states that there are."""
    every = guards.on_states(declared.MAP.states)
    _replace(test, judgement, "ruling", lambda _: every)


def check_then_write(test: Any) -> None:
    """Read and compare first, then write without a guard."""
    theirs = execute.joined
    columns = models.Instance.__table__.c

    def joined(update: update_.Update, connection: Any) -> Any:
        row = (
            connection.execute(
                models.Instance.__table__.select().where(
                    columns.uuid == update.instance_uuid
                )
            )
            .one()
            ._mapping
        )
        state = guards.state_text(row["vm_state"], row["task_state"])
        found = {**row, guards.STATE: state}
        if all(one.admits(found[one.column]) for one in update.guards):
            update = dataclasses.replace(update, guards=())
        return theirs(update, connection)

    _replace(test, execute, "joined", joined)


def no_rollback(test: Any) -> None:
    """Leave a refused object as it is."""
    _replace(test, belief, "restore", lambda _: None)


def no_belief_sent(test: Any) -> None:
    """Send no belief with an object."""
    _replace(test, belief, "carry", lambda *_: None)


def _replace(test: Any, target: Any, name: str, value: Any) -> None:
    test.useFixture(fixtures.MockPatchObject(target, name, value))
