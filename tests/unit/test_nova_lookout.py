# SPDX-License-Identifier: Apache-2.0
"""Looks during a transfer: who makes them, and how long the data waits."""

from collections.abc import Callable
import threading
from typing import Any

import pytest

from nova_db_states.nova import lookout


class _Lost(Exception):
    pass


def _lose() -> None:
    raise _Lost


def test_a_look_at_ones_own_database_is_made_at_once() -> None:
    """Makes a look in the same thread where no other process is asked."""
    here: list[int] = []
    made = lookout.Lookout(remote=False)
    assert made.make(lambda: here.append(threading.get_ident()))
    assert here == [threading.get_ident()]


def test_a_remote_look_is_made_by_another_thread() -> None:
    """Lets another thread wait for the other process."""
    there: list[int] = []
    made = lookout.Lookout(remote=True)
    assert made.make(lambda: there.append(threading.get_ident()))
    assert there != [threading.get_ident()]


@pytest.mark.parametrize("remote", [False, True])
def test_what_a_look_raises_ends_the_data(*, remote: bool) -> None:
    """Raises what the look does, whoever makes it."""
    with pytest.raises(_Lost):
        lookout.Lookout(remote=remote).make(_lose)


def test_data_flows_on_while_nobody_answers() -> None:
    """Waits its patience, and no longer, for an answer."""
    answer = threading.Event()
    made = lookout.Lookout(remote=True, patience_s=0)
    assert not made.make(lambda: _wait(answer))
    answer.set()


def test_there_is_one_look_at_a_time() -> None:
    """Sends no second look while the first has no answer."""
    answer = threading.Event()
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        _wait(answer)

    made = lookout.Lookout(remote=True, patience_s=0)
    assert not made.make(look)
    assert not made.make(look)
    answer.set()
    _until(lambda: made.make(look))
    assert looks == [1]


def test_a_late_answer_ends_the_data_too() -> None:
    """Raises at a later look what the first one said too late."""
    answer = threading.Event()

    def look() -> None:
        _wait(answer)
        _lose()

    made = lookout.Lookout(remote=True, patience_s=0)
    assert not made.make(look)
    answer.set()
    with pytest.raises(_Lost):
        _until(lambda: made.make(look))


def test_without_greenlets_nobody_has_to_serve() -> None:
    """Starts no thread for looks from elsewhere where threads are real."""
    before = threading.active_count()
    with lookout.Lookout(remote=True).serving():
        assert threading.active_count() == before


def _wait(event: threading.Event) -> None:
    assert event.wait(60)


def _until(is_so: Callable[[], Any]) -> None:
    # Each try ends at once; the thread that is waited for is running.
    for _ in range(10**7):
        if is_so():
            return
    raise AssertionError("waited in vain")
