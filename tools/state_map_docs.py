# SPDX-License-Identifier: Apache-2.0
"""Write the pages and pictures of the state map.

    python tools/state_map_docs.py

renews doc/source/reference/state-map/ from the declarations. What is there
and no longer written goes away. A unit test compares, and names this command.
"""

from collections.abc import Iterable
import importlib
import pathlib
import pkgutil
import re
from typing import Final

from nova_db_states.machine import declared
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine.render import dot
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import rst
from nova_db_states.machine.render import rst_text

FOLDER: Final = (
    pathlib.Path(__file__).resolve().parents[1]
    / "doc/source/reference/state-map"
)

_MAP: Final = instance.MAP
_WHOLE: Final = parts.cut(_MAP)
_WRITTEN_BY: Final = "Written by tools/state_map_docs.py (make map)."
_PICTURES: Final = "pictures"

_INTRODUCTION: Final = """\
What may be done to a server of Nova 31 to 34, what each action writes into
``vm_state`` and ``task_state``, and what nobody may write although Nova's code
does: {actions} actions, {states} states, {edges} edges between {pairs} pairs
of states. It was declared from Nova's source, and is compared with it by
``nova-db-states map verify``.

``nova-db-states map show "active / powering-off"`` explains one state,
``nova-db-states map export`` gives all of it to programs: see
:doc:`/reference/cli`. :mod:`nova_db_states.machine` answers questions.
"""

_LEGEND: Final = """\
A state is ``vm_state / task_state``, as in ``active / powering-off``.

``NULL``
    The column is NULL. As ``task_state``: nothing is being done.
``active, error / NULL``
    One of these.
``any``, ``any but deleting``
    Whatever the column holds; anything else.
``=``
    The write leaves the column as it was.
``(none)``
    There is no row: the server is yet to be booted.

In the pictures, what the server was stands above, what it becomes below. A
box with a heavy line is where the action may be asked for; a blue one is a
state that a server may stay in; in small letters stands the status that Nova's
API reports. A number at an arrow is a step in the table below the picture. A
dashed arrow gives the action up; one that leaves the dotted frame leaves some
of the states in it, and the table says which. *if resized* at an arrow, or
*unless deleted*: not every server in the box leaves it this way.

In the tables, *stuck after* says how long a server may be in the state that
the step leads to before something is wrong. *No guard in Nova* means that Nova
writes whatever the row holds by then.
"""

_OVERVIEW: Final = """\
What a server may stay in, and what users and administrators move it with. A
dashed box stands for several states. What an action passes on its way is in
its own picture. One that fails leaves the server as it was, or in error.
"""

_GAPS: Final = """\
An action under way is told by ``task_state``, but not always: between two
writes, or because it writes none, the row may look like that of a server to
which nothing is being done, or another thing.
"""

_DEFECTS: Final = """\
Nova's code writes these, and each loses something that was accepted before.
They are no part of the map: not in what may follow what, not in
``map export --format csv``.
"""

_POWER: Final = """\
``power_state`` is what the hypervisor last said, and no part of what a server
is meant to be. Nova's periodic sync writes it down. Where it contradicts
``vm_state``, the sync may do the following, if no task is running and the row
names the host that looked. Whatever is not here, it only writes down.
"""

_STATES: Final = """\
Every state that a server can be in, by ``vm_state``. *Stuck after* is empty
where a server may stay in it.
"""


def pages() -> dict[str, str]:
    """Make everything that belongs into the folder.

    :returns: the path of each file below the folder, and its text
    """
    groups = _groups()
    files = {
        f"{name}.rst": _page(title, (), _sections(actions))
        for name, (title, actions) in groups.items()
    }
    files["states.rst"] = _page(
        "States", [_STATES], rst.states(_WHOLE.states, 1)
    )
    files["gaps.rst"] = _page("Gaps", [_GAPS], rst.gaps(_WHOLE.actions))
    files["defects.rst"] = _page(
        "What nobody may do",
        [_DEFECTS],
        rst.defects(_WHOLE.defects, _MAP.states),
    )
    files["power-state.rst"] = _page(
        "Power state", [_POWER], rst.power(_WHOLE.power_rules)
    )
    files["index.rst"] = _index(
        [*groups, "states", "gaps", "defects", "power-state"]
    )
    files[_picture_file("overview")] = _picture(_WHOLE)
    for action in _drawn(_MAP.actions.values()):
        files[_picture_file(action.name)] = _picture(
            parts.cut(_MAP, action=action.name)
        )
    return files


def _groups() -> dict[str, tuple[str, tuple[model.Action, ...]]]:
    """Find the modules of the declarations, with title and actions."""
    places = {name: index for index, name in enumerate(_MAP.actions)}
    found: dict[str, tuple[str, tuple[model.Action, ...]]] = {}
    for entry in pkgutil.iter_modules(declared.__path__):
        module = importlib.import_module(f"{declared.__name__}.{entry.name}")
        actions = getattr(module, "ACTIONS", ())
        if actions:
            title = (module.__doc__ or entry.name).splitlines()[0]
            found[entry.name] = title.rstrip("."), actions
    return dict(
        sorted(found.items(), key=lambda item: places[item[1][1][0].name])
    )


def _sections(actions: Iterable[model.Action]) -> list[str]:
    return [
        line
        for action in actions
        for line in rst.action(action, 1, _shown(action))
    ]


def _shown(action: model.Action) -> list[str]:
    if not list(_drawn([action])):
        return []
    return _figure(
        action.name, f"The steps of {action.name}, as in the table below."
    )


def _figure(name: str, description: str) -> list[str]:
    return [
        f".. graphviz:: {_picture_file(name)}",
        f"   :alt: {description}",
        "",
    ]


def _drawn(actions: Iterable[model.Action]) -> Iterable[model.Action]:
    """Give those that write a state."""
    writing = {edge.action for edge in _MAP.transitions}
    return (action for action in actions if action.name in writing)


def _picture_file(name: str) -> str:
    return (
        f"{_PICTURES}/{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.dot"
    )


def _picture(part: parts.Part) -> str:
    return f"// {_WRITTEN_BY}\n{dot.render(part)}"


def _index(names: Iterable[str]) -> str:
    introduction = _INTRODUCTION.format(
        actions=len(_MAP.actions),
        states=len(_MAP.states),
        edges=len(_MAP.transitions),
        pairs=len({(edge.from_, edge.to) for edge in _MAP.transitions}),
    )
    return _page(
        "State map",
        [introduction],
        [
            *rst_text.heading("Overview", 1),
            _OVERVIEW,
            *_figure("overview", "What servers stay in, and what moves them."),
            *rst_text.heading("How to read it", 1),
            _LEGEND,
            *rst_text.heading("Pages", 1),
            ".. toctree::",
            "   :maxdepth: 2",
            "",
            *(f"   {name}" for name in names),
        ],
    )


def _page(title: str, texts: Iterable[str], lines: Iterable[str]) -> str:
    return (
        "\n".join(
            (
                ".. SPDX-License-Identifier: Apache-2.0",
                f".. {_WRITTEN_BY}",
                "",
                *rst_text.heading(title, 0),
                *texts,
                *lines,
            )
        ).rstrip("\n")
        + "\n"
    )


def main() -> None:
    """Write the files."""
    wanted = pages()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and str(path.relative_to(FOLDER)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(wanted)} files in {FOLDER}")


if __name__ == "__main__":
    main()
