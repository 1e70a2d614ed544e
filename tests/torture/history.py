# SPDX-License-Identifier: Apache-2.0
"""What workers did, as they wrote it down while they did it.

A history is a folder: a file of JSON lines for each worker, and ``run.json``
with the rest. A worker writes one line before a call and one after it, each
with a single ``write``, so that a call of a worker that was killed is known to
have begun. Both lines have the operation's number, ``op``.

The number of an operation is the token that it writes: no two are alike, in
the whole run. Times are ``time.monotonic_ns``, which on Linux is one clock for
all processes.
"""

from collections.abc import Iterator
import dataclasses
import enum
import json
import pathlib
import sys
from typing import Any, Final

INITIAL: Final = 0
"""The token of an instance that nobody has changed yet."""

READ: Final = "read: "
"""What the names of ways begin with that write nothing."""

_RUN_FILE: Final = "run.json"


class Outcome(enum.StrEnum):
    """What a call said about itself."""

    OK = "ok"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    """It may have been applied, or may be yet; or its worker was killed."""
    NOT_APPLIED = "not_applied"
    """An error for which it is promised that nothing was written."""
    ERROR = "error"
    """Something that must not happen, whatever the row is now."""


@dataclasses.dataclass(slots=True)
class Operation:
    """One guarded claim.

    :ivar op: its number, and the token that it writes if it writes
    :ivar worker: the process and thread that made it
    :ivar node: the node it was sent to
    :ivar instance: the number of the instance
    :ivar expected: the token that it expected to find
    :ivar way: how it was made; see ``claims``
    :ivar start: before the call, in nanoseconds
    :ivar end: after the call; ``None`` where it never returned
    :ivar outcome: what it said
    :ivar actual: the token that it says was there, or ``None``
    :ivar state: the ``task_state`` that it found with that token
    :ivar error: the class of what it raised, or empty
    :ivar text: the message of that, where nobody expected it
    """

    op: int
    worker: str
    node: int
    instance: int
    expected: int
    way: str
    start: int
    end: int | None = None
    outcome: Outcome = Outcome.UNKNOWN
    actual: int | None = None
    state: str | None = None
    error: str = ""
    text: str = ""

    @property
    def writes(self) -> bool:
        """Whether it was to write its token."""
        return not self.way.startswith(READ)

    @property
    def process(self) -> int:
        """The number of the process that made it."""
        return int(self.worker.removeprefix("w").partition(".")[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to a node, or to a worker.

    :ivar kind: what
    :ivar node: to which node; for a worker, the number of that
    :ivar begin: when it struck, in nanoseconds
    :ivar end: when everything was as before
    """

    kind: str
    node: int
    begin: int
    end: int

    @property
    def of_worker(self) -> bool:
        """Whether it is a worker that was struck."""
        return self.kind.startswith("worker ")


@dataclasses.dataclass
class History:
    """All that the checker needs to know.

    :ivar operations: in no order
    :ivar finals: for each instance what the nodes held in the end, one token
        a node
    :ivar faults: in the order in which they struck
    :ivar facts: of the run, for the reader: seed, target and the like
    """

    operations: list[Operation]
    finals: list[list[int]]
    faults: list[Fault] = dataclasses.field(default_factory=list)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def state_of(token: int) -> str | None:
    """Give the ``task_state`` that is written together with a token."""
    return "rebooting" if token % 2 else None


def line(content: dict[str, Any]) -> bytes:
    """Make one line of a worker's file."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def make_folder(folder: pathlib.Path) -> pathlib.Path:
    """Make a folder for a history.

    :param folder: may be there already
    :returns: the same
    :raises FileExistsError: something is in it
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} is not empty: name a new folder for this run"
        )
    return folder


def write_run(folder: pathlib.Path, history: History) -> None:
    """Write what is known of a run beside what the workers wrote."""
    content = {
        "facts": history.facts,
        "finals": history.finals,
        "faults": [dataclasses.asdict(fault) for fault in history.faults],
    }
    folder.joinpath(_RUN_FILE).write_text(json.dumps(content, indent=1))


def read(folder: pathlib.Path) -> History:
    """Read a history.

    :param folder: with the files of the workers and ``run.json``
    :raises ValueError: a line is not one of a history's
    """
    run = json.loads(folder.joinpath(_RUN_FILE).read_text())
    return History(
        read_operations(folder),
        run["finals"],
        [Fault(**fault) for fault in run["faults"]],
        run["facts"],
    )


def read_operations(folder: pathlib.Path) -> list[Operation]:
    """Put together what the workers wrote."""
    return [
        operation
        for path in sorted(folder.glob("*.jsonl"))
        for operation in _operations(path).values()
    ]


def _operations(path: pathlib.Path) -> dict[int, Operation]:
    found: dict[int, Operation] = {}
    for content in _lines(path):
        if "start" in content:
            content["worker"] = sys.intern(content["worker"])
            content["way"] = sys.intern(content["way"])
            found[content["op"]] = Operation(**content)
            continue
        operation = found[content.pop("op")]
        operation.outcome = Outcome(content.pop("outcome"))
        operation.end = content.pop("end")
        operation.actual = content.pop("actual", None)
        operation.state = content.pop("state", None)
        operation.error = sys.intern(content.pop("error", ""))
        operation.text = content.pop("text", "")
        if content:
            raise ValueError(f"{path}: {sorted(content)}: what is that?")
    return found


def _lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for text in lines:
            if not text.endswith(b"\n"):
                # The worker was killed in the middle of it. What it was about
                # to begin had not begun; what had ended is in doubt.
                return
            yield json.loads(text)
