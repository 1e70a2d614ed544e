# SPDX-License-Identifier: Apache-2.0
"""Races on real separate connections: exactly one winner, nothing undone."""

from collections.abc import Callable
import multiprocessing
import os
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from tests.resources import rows

ROUNDS = 25
WORKERS = 4


def race(workers: int, body: Callable[[int], Any]) -> list[Any]:
    """Let threads begin at the same moment; give what each returned."""
    start = threading.Barrier(workers)
    results: list[Any] = [None] * workers

    def run(number: int) -> None:
        start.wait()
        results[number] = body(number)

    threads = [
        threading.Thread(target=run, args=(number,))
        for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_winner(cell_url: str, cell_engine: sa.Engine) -> None:
    """Of several claims exactly one is applied; the others are told why."""
    contexts = [api.connect(cell_url) for _ in range(WORKERS)]
    for _ in range(ROUNDS):
        instance = rows.insert_instance(cell_engine)

        def claim(number: int, instance: str = instance) -> Any:
            try:
                api.instance_update(
                    contexts[number],
                    instance,
                    {"task_state": "rebooting", "progress": number},
                    expected_vm_state="active",
                    expected_task_state=None,
                )
            except exceptions.UnexpectedTaskStateError as conflict:
                return dict(conflict.actual)
            return "won"

        results = race(WORKERS, claim)
        assert results.count("won") == 1
        assert results.count({"task_state": "rebooting"}) == WORKERS - 1
        row = rows.read_instance(cell_engine, instance)
        assert results[row["progress"]] == "won"
    for context in contexts:
        context.close()


def test_a_delete_is_never_overwritten(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """A build that loses to a delete stops, whichever step it is at."""
    context = api.connect(cell_url)
    steps = [
        ("scheduling", "networking"),
        ("networking", "block_device_mapping"),
        ("block_device_mapping", "spawning"),
        ("spawning", None),
    ]
    for _ in range(ROUNDS):
        instance = rows.insert_instance(
            cell_engine, vm_state="building", task_state="scheduling"
        )

        def act(number: int, instance: str = instance) -> Any:
            if number == 0:
                api.instance_update(
                    context,
                    instance,
                    {"task_state": "deleting"},
                    expected_task_state=states.Not("deleting"),
                )
                return "accepted"
            try:
                for before, after in steps:
                    api.instance_update(
                        context,
                        instance,
                        {"task_state": after},
                        expected_task_state=before,
                    )
            except exceptions.UnexpectedDeletingTaskStateError:
                return "stopped"
            return "built"

        accepted, _ = race(2, act)
        assert accepted == "accepted"
        row = rows.read_instance(cell_engine, instance)
        assert row["task_state"] == "deleting"
    context.close()


def claim_many(
    url: str, instances: list[str], barrier: Any, wins: Any
) -> None:
    """Claim every instance, in a process of its own."""
    context = api.connect(url)
    barrier.wait()
    for instance in instances:
        try:
            api.instance_update(
                context,
                instance,
                {"task_state": "rescuing"},
                expected_task_state=None,
            )
        except exceptions.UnexpectedTaskStateError:
            continue
        wins.put(instance)
    context.close()


def test_one_winner_among_processes(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """Processes that share nothing but the database agree on the winner."""
    instances = rows.insert_instances(cell_engine, 60)
    spawn = multiprocessing.get_context("spawn")
    barrier, wins = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(
            target=claim_many, args=(cell_url, instances, barrier, wins)
        )
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    won = sorted(wins.get(timeout=60) for _ in instances)
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    assert won == sorted(instances)
    assert wins.empty()


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_context_survives_a_fork(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """A child does not speak on the connections of its parent."""
    instance = rows.insert_instance(cell_engine)
    context = api.connect(cell_url)
    api.instance_update(context, instance, {"progress": 1})
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            for number in range(20):
                api.instance_update(
                    context, instance, {"launch_index": number}
                )
            failed = 0
        finally:
            os._exit(failed)
    for number in range(20):
        api.instance_update(context, instance, {"progress": number})
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    row = rows.read_instance(cell_engine, instance)
    assert (row["progress"], row["launch_index"]) == (19, 19)
    context.close()
