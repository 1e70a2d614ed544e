# SPDX-License-Identifier: Apache-2.0
"""Compare a run with the plugin with one without it."""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from tests.conformance import allowed
from tests.conformance import results

_RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)")


@dataclasses.dataclass(frozen=True)
class Difference:
    """A test whose result is not the same.

    :ivar without: its result without the plugin, ``None`` if it did not run
    :ivar with_it: its result with the plugin, likewise
    :ivar allowance: the entry that says that it may be so
    """

    id: str
    without: results.Result | None
    with_it: results.Result | None
    allowance: allowed.Allowance | None = None

    @property
    def summary(self) -> str:
        """What it was and what it is, in one line."""
        return f"{signature(self.without)} -> {signature(self.with_it)}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What comparing a suite came to.

    :ivar unstable: tests that were different at first and the same when run
        again alone, with and without the plugin
    :ivar problems: why the run proves nothing, whatever it came to
    """

    tests: int
    differences: tuple[Difference, ...] = ()
    unstable: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def allowed(self) -> int:
        """How many differences may be."""
        return sum(each.allowance is not None for each in self.differences)

    @property
    def broken(self) -> tuple[Difference, ...]:
        """The differences that may not be."""
        return tuple(d for d in self.differences if d.allowance is None)

    @property
    def same(self) -> int:
        """How many tests have the same result."""
        return self.tests - len(self.differences)

    @property
    def is_good(self) -> bool:
        """Whether the plugin changes nothing that it may not."""
        return not self.broken and not self.problems


def signature(result: results.Result | None) -> str:
    """Give what must be the same: the outcome, and what was raised.

    :returns: such as ``pass`` or ``error (DBDeadlock)``
    """
    if result is None:
        return "not run"
    if not result.traceback:
        return result.outcome
    found = _RAISED.match(raised(result.traceback))
    if not found:
        return result.outcome
    return f"{result.outcome} ({found[1].rpartition('.')[2]})"


def differing(
    without: Mapping[str, results.Result],
    with_it: Mapping[str, results.Result],
) -> list[str]:
    """List the ids of tests that have not the same result."""
    return sorted(
        id_
        for id_ in {*without, *with_it}
        if signature(without.get(id_)) != signature(with_it.get(id_))
    )


def differences(
    without: Mapping[str, results.Result],
    with_it: Mapping[str, results.Result],
    release: str,
    allowances: Sequence[allowed.Allowance],
) -> tuple[Difference, ...]:
    """Describe the tests that have not the same result.

    :param release: of Nova
    :param allowances: what may be different
    """
    return tuple(
        Difference(
            id_,
            without.get(id_),
            with_it.get(id_),
            allowed.find(allowances, id_, release),
        )
        for id_ in differing(without, with_it)
    )


def raised(traceback: str) -> str:
    """Find the last exception in a traceback.

    Its message may have any number of lines: what counts is the first one
    after the stack that starts at the margin.

    :returns: such as ``KeyError: 'a'``, empty if there is none
    """
    found = ""
    in_stack = False
    for line in traceback.splitlines():
        if line.startswith("  File "):
            in_stack = True
        elif in_stack and line[:1].strip():
            in_stack = False
            found = line
    return found
