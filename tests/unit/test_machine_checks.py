# SPDX-License-Identifier: Apache-2.0
"""Each check of a map is seen to bite, on a small map that is broken."""

import dataclasses
import importlib
import pathlib
import sys
from typing import Final

import pytest

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import checks
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import vocabulary
from tests.unit import small_maps

_MODULE: Final = '''
"""A map that is judged where it is declared."""

from nova_db_states.machine import atlas
from nova_db_states.machine import checks
from nova_db_states.machine import model

MAP = atlas.build(
    (
        model.Action(
            "pause",
            "Let the guest stand still.",
            "active / NULL",
            "f:pause",
            (model.step("{change}", "f:pause"),),
        ),
    )
)
checks.require(MAP)
'''


@pytest.fixture
def _small_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names that the small maps leave out be unused."""
    used = {
        name for state in atlas.build(small_maps.GOOD).states for name in state
    }
    every = {*states.VMState, *states.TaskState}
    monkeypatch.setattr(vocabulary, "UNUSED", frozenset(every - used))


@pytest.mark.usefixtures("_small_vocabulary")
def test_a_good_map_passes() -> None:
    """The small map that all the broken ones are made from has no problem."""
    made = atlas.build(small_maps.GOOD)
    assert checks.find(made) == ()
    checks.require(made)


def test_the_map_passes() -> None:
    """The map of this project has no problem, whoever asks."""
    checks.require(instance.MAP)


@pytest.mark.usefixtures("_small_vocabulary")
@pytest.mark.parametrize(
    ("actions", "problem"),
    small_maps.BROKEN.values(),
    ids=small_maps.BROKEN.keys(),
)
def test_what_is_wrong_is_named(
    actions: tuple[model.Action, ...], problem: str
) -> None:
    """A broken map is refused, and the message names action and states."""
    with pytest.raises(exceptions.InvalidMap) as caught:
        checks.require(atlas.build(actions))
    assert problem in caught.value.problems
    assert problem in str(caught.value)


@pytest.mark.usefixtures("_small_vocabulary")
def test_every_check_is_seen_to_bite(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the checks could be taken out unnoticed."""
    for check in checks._CHECKS:
        rest = tuple(one for one in checks._CHECKS if one is not check)
        with monkeypatch.context() as patch:
            patch.setattr(checks, "_CHECKS", rest)
            missed = [
                name
                for name, (actions, problem) in small_maps.BROKEN.items()
                if problem not in checks.find(atlas.build(actions))
            ]
        assert missed, check.__name__


def _problems(pause: model.Action, *more: model.Action) -> tuple[str, ...]:
    """Judge the small map with another pause, and with further actions."""
    return checks.find(
        atlas.build((small_maps.BOOT, pause, small_maps.DELETE, *more))
    )


@pytest.mark.usefixtures("_small_vocabulary")
def test_a_defect_takes_a_part_of_the_start() -> None:
    """What Nova lets begin and should not is a defect of the first step."""
    wide = dataclasses.replace(small_maps.PAUSE, starts="active|paused / NULL")
    refused = model.step(
        "paused / NULL -> = / pausing", "f:pause", defect="It is paused."
    )
    assert _problems(small_maps.extended(wide, refused)) == ()
    elsewhere = dataclasses.replace(refused, nova="f:elsewhere")
    assert _problems(small_maps.extended(wide, elsewhere)) == (
        "pause: starts in paused / NULL, but no first step does",
    )


@pytest.mark.usefixtures("_small_vocabulary")
def test_a_restart_starts_from_the_states_of_others() -> None:
    """What nova-compute finds when it starts is what others left."""
    cleaner = model.Action(
        "cleaner",
        "End what others left.",
        "active / pausing",
        "f:clean",
        (
            model.step("active / pausing -> = / NULL", "f:clean"),
            model.fails("building / scheduling -> error / NULL", "f:clean"),
        ),
        on_failure="",
        overruled_by=small_maps.OTHERS,
    )
    (problem,) = _problems(small_maps.PAUSE, cleaner)
    assert problem == (
        "cleaner: 'building / scheduling -> error / NULL' starts from "
        "building / scheduling, which none of its earlier steps leads to"
    )
    restart = dataclasses.replace(cleaner, kind=model.Kind.START_UP)
    assert _problems(small_maps.PAUSE, restart) == ()


@pytest.mark.usefixtures("_small_vocabulary")
def test_an_action_without_a_task_goes_on_from_its_start() -> None:
    """What sets no task of its own stays where it was asked for."""
    confirm = model.Action(
        "confirm",
        "Give up what is left.",
        "paused / NULL",
        "f:confirm",
        (
            model.step("paused / NULL -> active / NULL", "f:confirmed"),
            model.fails("paused|active / NULL -> error / NULL", "f:failed"),
        ),
        on_failure="",
        overruled_by=small_maps.OTHERS,
    )
    assert _problems(small_maps.PAUSE, confirm) == ()
    claiming = small_maps.changed(confirm, 0, "paused / NULL -> = / pausing")
    assert (
        "confirm: 'paused|active / NULL -> error / NULL' starts from "
        "paused / NULL, which none of its earlier steps leads to"
    ) in _problems(small_maps.PAUSE, claiming)


@pytest.mark.usefixtures("_small_vocabulary")
def test_what_only_gives_up_begins_with_each_write() -> None:
    """Of an action that never goes forward each column is compared."""
    timeout = model.Action(
        "timeout",
        "End what hangs.",
        "active|building / pausing|scheduling",
        "f:timeout",
        (
            model.fails("active / pausing -> error / NULL", "f:timeout"),
            model.fails("building / scheduling -> error / NULL", "f:timeout"),
        ),
        on_failure="",
        overruled_by=small_maps.OTHERS,
    )
    assert _problems(small_maps.PAUSE, timeout) == ()
    wide = dataclasses.replace(timeout, starts="* / pausing|scheduling")
    assert (
        "timeout: starts in paused / pausing, but no first step does"
        in _problems(small_maps.PAUSE, wide)
    )
    narrow = dataclasses.replace(timeout, starts="active / pausing")
    assert (
        "timeout: begins from building / scheduling, against its starts"
        in _problems(small_maps.PAUSE, narrow)
    )


@pytest.mark.usefixtures("_small_vocabulary")
def test_a_stranded_state_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that nothing ends is let pass where its reason is given."""
    problem = "active / pausing: transient, and nothing but a delete ends it"
    begun = small_maps.shortened(small_maps.shortened(small_maps.PAUSE, 2), 1)
    assert problem in _problems(begun)
    monkeypatch.setitem(
        vocabulary.STRANDED, "active / pausing", "Nobody comes back to it."
    )
    assert problem not in _problems(begun)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("active / NULL -> = / pausing", "pause: "),
        ("active / NULL -> = / pausng", "did you mean 'pausing'"),
    ],
)
def test_a_wrong_declaration_fails_at_import(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    says: str,
) -> None:
    """A module with a map that contradicts itself cannot be imported."""
    name = "declared_wrongly"
    (tmp_path / f"{name}.py").write_text(_MODULE.format(change=change))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(exceptions.InvalidMap, match=says):
        importlib.import_module(name)
    assert name not in sys.modules
