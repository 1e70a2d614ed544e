# SPDX-License-Identifier: Apache-2.0
"""What must hold of each declaration by itself, whatever the others say."""

from collections.abc import Iterator

from nova_db_states import exceptions
from nova_db_states.machine import atlas
from nova_db_states.machine import notation

__all__ = [
    "actions_refer_to_each_other",
    "facts_are_possible",
    "texts_can_be_read",
]


def texts_can_be_read(made: atlas.Atlas) -> Iterator[str]:
    """Find states in gaps, starts and failures that nothing has.

    :param made: the map
    :returns: yields a line for each
    """
    for action in made.actions.values():
        texts = [f"{action.starts} -> = / ="]
        texts += [f"{gap.states} -> = / =" for gap in action.gaps]
        if action.on_failure:
            texts.append(f"* / * -> {action.on_failure}")
        for text in texts:
            try:
                notation.parse(text)
            except exceptions.InvalidMap as error:
                yield f"{action.name}: {error}"


def facts_are_possible(made: atlas.Atlas) -> Iterator[str]:
    """Find writes without a place, an age or releases that can be.

    :param made: the map
    :returns: yields a line for each
    """
    for action in made.actions.values():
        for write in action.writes:
            first, last = write.releases
            where = f"{action.name}: '{write.change}'"
            if not all(write.nova.partition(":")):
                yield f"{where} names no function of Nova, but {write.nova!r}"
            if write.at_most_s is not None and write.at_most_s < 1:
                yield f"{where} may take {write.at_most_s} s"
            if first is not None and last is not None and first > last:
                yield f"{where} begins in Nova {first} and ends in {last}"


def actions_refer_to_each_other(made: atlas.Atlas) -> Iterator[str]:
    """Find names of actions that are not declared.

    :param made: the map
    :returns: yields a line for each
    """
    for action in made.actions.values():
        named = {
            *action.overruled_by,
            *(one for gap in action.gaps for one in gap.allowed or ()),
        }
        for name in sorted(named - made.actions.keys()):
            yield f"{action.name}: there is no action {name!r}"
