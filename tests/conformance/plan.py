# SPDX-License-Identifier: Apache-2.0
"""One cell of the matrix: a suite on a release, with and without."""

from collections.abc import Callable, Sequence
import dataclasses

from tests.conformance import allowed
from tests.conformance import baseline
from tests.conformance import comparison
from tests.conformance import proof
from tests.conformance import results
from tests.conformance import running
from tests.conformance import suites

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is compared.

    :ivar way: how the tests are run with the plugin
    :ivar version: of the database server, empty for SQLite
    """

    release: str
    suite: suites.Suite
    way: running.Way
    version: str = ""

    @property
    def name(self) -> str:
        """Its name in messages and of its files."""
        parts = [self.release, self.suite.name, self.way.mode]
        return "-".join([*parts, *(["mariadb"] if self.version else [])])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it.

    :ivar with_it: the run with the plugin, ``None`` if that was not asked for
    """

    cell: Cell
    comparison: comparison.Comparison
    without: results.Run
    with_it: results.Run | None = None


def carry_out(
    cell: Cell,
    tree: running.Tree,
    allowances: Sequence[allowed.Allowance],
    tell: Tell,
    *,
    only: str = "",
    baseline_only: bool = False,
    assume_good: bool = False,
) -> Outcome:
    """Run the tests of a cell and compare.

    :param tell: is told what happens
    :param only: leave out tests without this in their id
    :param baseline_only: do not run with the plugin
    :param assume_good: take it that Nova alone passes every test, and run
        without the plugin only those that did not with it
    :raises RunError: the tests could not be run
    """
    ids = [id_ for id_ in tree.list_ids(cell.suite) if only in id_]
    if not ids:
        raise running.RunError(f"{cell.name}: there are no such tests")
    with_it = None
    # Nova's tests were written for SQLite, and not all pass on MariaDB.
    if assume_good and not cell.way.mariadb_url:
        with_it = _with_it(cell, tree, ids, tell)
        without = _content(with_it)
    else:
        without, made = baseline.run(
            tree, cell.suite, ids, cell.way, cell.version
        )
        bad = len(without.results) - _good(without)
        tell(
            f"{cell.name}: {len(ids)} tests, without the plugin {made} of "
            f"them had to be run, {bad} did not pass"
        )
    if baseline_only:
        return Outcome(
            cell, comparison.Comparison(len(without.results)), without
        )
    with_it = with_it or _with_it(cell, tree, ids, tell)
    unstable = _again(cell, tree, ids, without, with_it, tell)
    settled = {
        id_: result
        for id_, result in with_it.results.items()
        if id_ not in unstable
    }
    expected = {
        id_: result
        for id_, result in without.results.items()
        if id_ not in unstable
    }
    return Outcome(
        cell,
        comparison.Comparison(
            tests=len({*without.results, *with_it.results}),
            differences=comparison.differences(
                expected, settled, cell.release, allowances
            ),
            unstable=tuple(sorted(unstable)),
            problems=proof.problems(
                with_it, cell.suite, cell.way, cell.version
            ),
        ),
        without,
        with_it,
    )


def _with_it(
    cell: Cell, tree: running.Tree, ids: Sequence[str], tell: Tell
) -> results.Run:
    made = tree.run(cell.suite, ids, cell.way)
    tell(
        f"{cell.name}: with the plugin: {made.seconds:.0f} s, "
        f"{proof.judged(made)} writes judged"
    )
    return made


def _content(made: results.Run) -> results.Run:
    """Say what a Nova that is content with all of it would have said."""
    return results.Run(
        {
            id_: one if one.is_good else results.Result(id_, "pass")
            for id_, one in made.results.items()
        }
    )


def _again(
    cell: Cell,
    tree: running.Tree,
    ids: Sequence[str],
    without: results.Run,
    with_it: results.Run,
    tell: Tell,
) -> set[str]:
    """Run what differs again, alone.

    :returns: the ids of tests that then did not differ
    """
    ids_then = comparison.differing(without.results, with_it.results)
    if len(ids_then) > baseline.MAX_AGAIN:
        return set()
    same: set[str] = set()
    plain = dataclasses.replace(cell.way, mode="")
    for id_ in ids_then:
        tell(f"{cell.name}: again, alone: {id_}")
        # A scenario is run by the test that it is of.
        name = id_ if id_ in ids else id_.split("(", maxsplit=1)[0]
        one, other = (
            tree.run(cell.suite, [name], way).results
            for way in (plain, cell.way)
        )
        if not comparison.differing(one, other):
            same.add(id_)
    return same


def _good(run: results.Run) -> int:
    return sum(each.is_good for each in run.results.values())
