# SPDX-License-Identifier: Apache-2.0
"""The map to be read: states, actions, gaps, defects, power.

``render`` makes one document that any reStructuredText tool reads. The other
functions make a section each, for the pages of a reference.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import power_sync
from nova_db_states.machine import queries
from nova_db_states.machine import status
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import rst_text
from nova_db_states.machine.render import wording

__all__ = ["action", "defects", "edges", "gaps", "power", "render", "states"]

State = notation.State
Lines = list[str]

_KINDS: Final = {
    model.Kind.USER: "a user",
    model.Kind.ADMIN: "an administrator",
    model.Kind.PERIODIC: "a periodic task of Nova",
    model.Kind.START_UP: "nova-compute when it starts",
    model.Kind.EVENT: "an event from outside",
}


def render(part: parts.Part) -> str:
    """Write a part as one document.

    :param part: what to write
    :returns: reStructuredText, without anything that needs Sphinx
    """
    lines = rst_text.heading(_title(part), 0)
    if part.from_ is not None:
        lines += [_sentence(part.from_), ""]
    elif part.is_whole:
        lines += [*rst_text.heading("States", 1), *states(part.states, 2)]
    if part.from_ is None:
        lines += rst_text.heading("Actions", 1)
        for one in part.actions:
            lines += action(one, 2)
    else:
        lines += edges(part.transitions)
    sections = (
        ("Gaps", gaps(part.actions)),
        ("What nobody may do", defects(part.defects, part.made.states)),
        ("Power state", power(part.power_rules)),
    )
    for title, section in sections:
        if section:
            lines += [*rst_text.heading(title, 1), *section]
    return "\n".join(lines).rstrip("\n") + "\n"


def _title(part: parts.Part) -> str:
    named = [] if part.action is None else [part.action.name]
    if part.from_ is not None:
        named.append(f"from {part.from_}")
    return " ".join(named) or "State map"


def _sentence(state: State) -> str:
    return rst_text.escaped(vocabulary.describe(state))


def states(some: Iterable[State], level: int) -> Lines:
    """Describe states, one section for each ``vm_state``.

    :param some: the states, sorted
    :param level: of the headings
    :returns: lines
    """
    by_vm: dict[str | None, list[State]] = {}
    for state in some:
        by_vm.setdefault(state.vm_state, []).append(state)
    lines: Lines = []
    for vm_state, group in by_vm.items():
        lines += rst_text.heading(wording.name(vm_state), level)
        lines += [rst_text.escaped(vocabulary.VM_MEANINGS[vm_state]), ""]
        lines += rst_text.table(
            ("task_state", "Status", "Stuck after", "Meaning"),
            (26, 18, 12, 44),
            (
                (
                    rst_text.literal(wording.name(state.task_state)),
                    status.reported_status(*state),
                    _age(queries.max_age_s(state)),
                    rst_text.escaped(
                        vocabulary.TASK_MEANINGS[state.task_state]
                    ),
                )
                for state in group
            ),
        )
        lines += _may_be_asked_for(group)
    return lines


def _may_be_asked_for(group: Iterable[State]) -> Lines:
    for state in group:
        names = queries.allowed_actions(state)
        if state.task_state is None and names:
            listed = rst_text.escaped(wording.listed(names))
            return [f"While no task runs, one may ask for: {listed}.", ""]
    return []


def _age(seconds: int | None) -> str:
    return "" if seconds is None else wording.duration(seconds)


def action(
    one: model.Action, level: int, picture: Iterable[str] = ()
) -> Lines:
    """Describe an action.

    :param one: the action
    :param level: of the heading
    :param picture: lines that show a picture of it
    :returns: lines
    """
    return [
        *rst_text.heading(one.name, level),
        rst_text.escaped(one.summary),
        "",
        *rst_text.fields(_facts(one)),
        *picture,
        *rst_text.table(
            ("Step", "From", "To", "Who writes it", "Remarks"),
            (6, 24, 20, 25, 25),
            (
                (
                    number,
                    *_sides(write),
                    _function(write.nova),
                    rst_text.escaped(_remarks(write)),
                )
                for write, number in wording.numbered(one).items()
            ),
        ),
        *_not_told(one),
        *_forbidden(one),
    ]


def _facts(one: model.Action) -> Iterator[tuple[str, str]]:
    yield "Begun by", _KINDS[one.kind]
    yield "In", _pattern(one.starts)
    yield "Only if", "the server has run before" if one.launched else ""
    yield "Accepted by", _function(one.nova)
    yield "Given up", _pattern(one.on_failure) if one.on_failure else ""
    yield "Overruled by", rst_text.escaped(wording.listed(one.overruled_by))
    yield "Note", rst_text.escaped(one.note)


def _pattern(text: str) -> str:
    return rst_text.escaped(wording.pattern(text))


def _sides(write: model.Write) -> tuple[str, str]:
    before, _, after = write.change.text.partition("->")
    if write.event is model.Event.DESTROY:
        return _pattern(before), "the row is marked as deleted"
    return _pattern(before), _pattern(after)


def _function(nova: str) -> str:
    file, _, name = nova.partition(":")
    return f"{rst_text.literal(name)} in {file}" if name else file


def _remarks(write: model.Write) -> str:
    helper = f"through ``{write.via}``" if write.via else ""
    guard = "" if write.guarded else "no guard in Nova"
    limit = (
        f"stuck after {wording.duration(write.at_most_s)}"
        if write.at_most_s
        else ""
    )
    said = (write.when, helper, guard, limit, wording.releases(write))
    text = "; ".join(one.rstrip(".") for one in said if one)
    if not text:
        return ""
    # nova-compute keeps its small letter.
    first = text[0] if text.startswith("nova") else text[0].upper()
    return f"{first}{text[1:]}."


def _not_told(one: model.Action) -> Lines:
    if not one.gaps:
        return []
    return [
        "The row does not say that it runs:",
        "",
        *rst_text.bullets(
            f"{_pattern(gap.states)}, {_span(gap)}: "
            f"{rst_text.escaped(gap.why)}"
            for gap in one.gaps
        ),
    ]


def _forbidden(one: model.Action) -> Lines:
    found = [write for write in one.writes if write.defect]
    if not found:
        return []
    return [
        "Nova's code does this too, and nobody should:",
        "",
        *rst_text.bullets(
            f"{before} to {after}, {_function(write.nova)}: "
            f"{rst_text.escaped(write.defect)}"
            for write in found
            for before, after in [_sides(write)]
        ),
    ]


def _span(gap: model.Gap) -> str:
    since, until = (
        rst_text.literal(one.rpartition(":")[2])
        for one in (gap.since, gap.until)
    )
    return f"from {since} to {until}"


def edges(some: Iterable[model.Transition]) -> Lines:
    """List edges one by one.

    :param some: the edges
    :returns: lines
    """
    return rst_text.table(
        ("To", "Action", "Who writes it", "Remarks"),
        (24, 20, 30, 26),
        (
            (
                "the row is marked as deleted"
                if edge.write.event is model.Event.DESTROY
                else rst_text.escaped(str(edge.to)),
                rst_text.escaped(edge.action),
                _function(edge.nova),
                rst_text.escaped(
                    ("Gives up. " if edge.path is model.Path.FAILURE else "")
                    + _remarks(edge.write)
                ),
            )
            for edge in sorted(some, key=lambda edge: edge.path, reverse=True)
        ),
    )


def gaps(actions: Iterable[model.Action]) -> Lines:
    """List the times in which something runs and the row does not say so.

    :param actions: whose gaps
    :returns: lines
    """
    return rst_text.table(
        ("Action", "Looks like", "When", "What may start then", "Why"),
        (14, 16, 24, 16, 30),
        (
            (
                rst_text.escaped(one.name),
                _pattern(gap.states),
                _span(gap),
                "whatever its state allows"
                if gap.allowed is None
                else rst_text.escaped(
                    wording.listed(gap.allowed) or "nothing"
                ),
                rst_text.escaped(gap.why),
            )
            for one in actions
            for gap in one.gaps
        ),
    )


def defects(
    some: Iterable[model.Transition], universe: Collection[State] = ()
) -> Lines:
    """List what Nova writes and nobody should, by the reason.

    :param some: the edges
    :param universe: all states of the map
    :returns: lines
    """
    reasons: dict[str, list[model.Transition]] = {}
    for edge in some:
        reasons.setdefault(edge.write.defect, []).append(edge)
    lines: Lines = []
    # What follows from the lack of a guard is most of it, and comes last.
    for reason, found in sorted(reasons.items(), key=lambda one: len(one[1])):
        lines += [rst_text.escaped(reason), ""]
        lines += rst_text.table(
            ("Action", "From", "To", "Who writes it"),
            (18, 32, 18, 32),
            (
                (*cells, ", ".join(functions))
                for cells, functions in _together(found, universe).items()
            ),
        )
    return lines


def _together(
    some: Iterable[model.Transition], universe: Collection[State]
) -> dict[tuple[str, str, str], list[str]]:
    """Put the functions together that do the same for the same action."""
    origins: dict[tuple[str, model.Write], set[State]] = {}
    for edge in some:
        origins.setdefault((edge.action, edge.write), set()).add(edge.from_)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for (name, write), states_before in origins.items():
        cells = (
            rst_text.escaped(name),
            rst_text.escaped(
                "; ".join(wording.states(states_before, universe))
            ),
            _sides(write)[1],
        )
        functions = rows.setdefault(cells, [])
        function = _function(write.nova)
        if function not in functions:
            functions.append(function)
    return rows


def power(rules: Iterable[power_sync.PowerRule]) -> Lines:
    """List what the periodic power sync may do.

    :param rules: of the map
    :returns: lines
    """
    return rst_text.table(
        ("vm_state", "The hypervisor says", "What it may do", "Why"),
        (14, 22, 28, 36),
        (
            (
                ", ".join(map(str, rule.vm_states)),
                ", ".join(reading.name for reading in rule.readings),
                f"stop the server, by {_function(rule.nova)}"
                if rule.stops
                else "nothing",
                rst_text.escaped(rule.why),
            )
            for rule in rules
        ),
    )
