# SPDX-License-Identifier: Apache-2.0
"""Long steps of nova-compute, with a nova-conductor that answers at will."""

from collections.abc import Iterator
import io
import itertools
import pathlib
import types
from typing import Any

import pytest

from nova_db_states.nova import counters
from nova_db_states.nova import settings
from nova_db_states.nova import transfers


class _Error(Exception):
    def __init__(self, message: str = "", **kwargs: Any) -> None:
        super().__init__(message)
        self.kwargs = kwargs


class _NotFound(_Error):
    pass


class _Unexpected(_Error):
    pass


class _Deleting(_Unexpected):
    pass


_EXCEPTION = types.SimpleNamespace(
    InstanceNotFound=_NotFound,
    UnexpectedTaskStateError=_Unexpected,
    UnexpectedDeletingTaskStateError=_Deleting,
)


class _Conductor:
    """Answers saves: notes them, or raises what it is told to."""

    def __init__(self) -> None:
        self.saves: list[tuple[int | None, list[str]]] = []
        self.error: Exception | None = None

    def instance(self, context: Any, **fields: Any) -> Any:
        """Stand in for ``nova.objects.Instance``."""
        made = _Instance(self)
        made.__dict__.update(fields, _context=context)
        return made


class _Instance:
    indirection_api = None

    def __init__(self, conductor: _Conductor) -> None:
        self._conductor = conductor

    def obj_reset_changes(self) -> None:
        pass

    def obj_attr_is_set(self, name: str) -> bool:
        return name in self.__dict__

    def save(self, expected_task_state: list[str]) -> None:
        self._conductor.saves.append(
            (self.__dict__["progress"], expected_task_state)
        )
        if self._conductor.error is not None:
            raise self._conductor.error


class _Chunks:
    """As glanceclient gives them."""

    wrapped = True

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def __len__(self) -> int:
        return sum(map(len, self._chunks))


@pytest.fixture
def conductor(monkeypatch: pytest.MonkeyPatch) -> _Conductor:
    """Be asked at every use of what is watched."""
    settings.register()
    monkeypatch.setattr(settings, "watch_interval_s", lambda: 0.0)
    counters.reset()
    return _Conductor()


def _step(
    conductor: _Conductor,
    vm_state: str = "active",
    progress: int | None = 0,
) -> transfers.Step:
    theirs = conductor.instance(
        None, uuid="u", vm_state=vm_state, progress=progress
    )
    manager = types.SimpleNamespace(
        objects=types.SimpleNamespace(Instance=conductor.instance),
        exception=_EXCEPTION,
    )
    return transfers.Step(manager, theirs, {"spawning"}, "image")


def _told(conductor: _Conductor) -> list[int | None]:
    """List what was told, each as often as it changed."""
    return [
        progress
        for progress, _ in itertools.groupby(
            progress for progress, _ in conductor.saves
        )
    ]


@pytest.mark.parametrize("before", [None, 0, 7])
def test_progress_rises_and_goes_back(
    conductor: _Conductor, before: int | None
) -> None:
    """Tells how much is there with each look, and in the end what was."""
    step = _step(conductor, progress=before)
    step.begin()
    chunks = step.download(_Chunks(b"aa", b"bb"), "image")
    assert list(chunks) == [b"aa", b"bb"]
    step.end()
    said = _told(conductor)
    assert said[0] == said[-1] == before
    assert [one for one in said if one != before][-1] == 50
    assert {tuple(each) for _, each in conductor.saves} == {("spawning",)}
    assert counters.snapshot()["watched"] == len(conductor.saves)


def test_a_kernel_is_checked_and_moves_nothing(conductor: _Conductor) -> None:
    """Leaves the progress alone for other images than the server's own."""
    step = _step(conductor)
    assert list(step.download(_Chunks(b"aa", b"bb"), "kernel"))
    assert _told(conductor) == [0]
    assert len(conductor.saves) > 2


def test_an_upload_is_watched(
    conductor: _Conductor, tmp_path: pathlib.Path
) -> None:
    """Takes the size of a file for the whole."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(100))
    with path.open("rb") as file, _step(conductor).upload(file) as data:
        while data.read(50):
            pass
    assert _told(conductor) == [0, 50, 100]


def test_what_cannot_be_read_is_passed_on(conductor: _Conductor) -> None:
    """Leaves alone what is no file."""
    with _step(conductor).upload("") as data:
        assert data == ""
    assert not conductor.saves


def test_a_refusal_stops_the_data(conductor: _Conductor) -> None:
    """Hands no chunk over after a refusal, and raises it again later."""
    step = _step(conductor)
    chunks = iter(step.download(_Chunks(b"a", b"b", b"c"), "image"))
    assert next(chunks) == b"a"
    conductor.error = _Deleting("deleting")
    with pytest.raises(_Deleting):
        next(chunks)
    asked = len(conductor.saves)
    with pytest.raises(_Deleting):
        step.end()
    step.abandon()
    assert len(conductor.saves) == asked


@pytest.mark.parametrize(
    ("vm_state", "error", "raised"),
    [
        ("building", _Unexpected("x"), _Deleting),
        ("building", _NotFound("x"), _NotFound),
        ("shelved_offloaded", _Unexpected("x"), _Unexpected),
    ],
)
def test_a_build_is_not_tried_elsewhere(
    conductor: _Conductor,
    vm_state: str,
    error: _Error,
    raised: type[Exception],
) -> None:
    """Raises for a build what Nova takes for a server that disappeared."""
    conductor.error = error
    with pytest.raises(raised) as caught:
        _step(conductor, vm_state).begin()
    assert type(caught.value) is raised
    assert str(caught.value) == "x"


def test_nobody_there_is_no_refusal(conductor: _Conductor) -> None:
    """Counts a look that found nobody, and lets the data flow on."""
    conductor.error = TimeoutError("no conductor")
    step = _step(conductor)
    step.begin()
    assert list(step.download(_Chunks(b"a", b"b"), "image")) == [b"a", b"b"]
    step.end()
    assert counters.snapshot()["skipped"] == len(conductor.saves) > 3


def test_an_error_of_the_driver_is_not_masked(conductor: _Conductor) -> None:
    """Puts the progress back after an error, and says nothing of it."""
    step = _step(conductor)
    list(step.download(_Chunks(b"aa", b"bb"), "image"))
    conductor.error = _Unexpected("somebody else")
    step.abandon()
    assert _told(conductor)[-2:] == [50, 0]


def test_observe_stops_nothing(
    conductor: _Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks no more after a conflict in the mode observe, and goes on."""
    monkeypatch.setattr(settings, "observes", lambda: True)
    conductor.error = _Deleting("deleting")
    step = _step(conductor)
    step.begin()
    assert list(step.download(_Chunks(b"a"), "image")) == [b"a"]
    step.end()
    assert len(conductor.saves) == 1


def test_chunks_are_still_glanceclients(conductor: _Conductor) -> None:
    """Answers as what it stands for, by ``next`` and ``len`` too."""
    chunks = _step(conductor).download(_Chunks(b"aa", b"b"), "image")
    assert len(chunks) == 3
    assert next(chunks) == b"aa"
    assert chunks.next() == b"b"


def test_an_image_without_data_is_nothing_to_watch(
    conductor: _Conductor,
) -> None:
    """Passes on that there is no data, for Nova to notice."""
    nothing = types.SimpleNamespace(wrapped=None)
    assert _step(conductor).download(nothing, "image") is nothing


def test_a_stream_without_a_size_has_no_progress(
    conductor: _Conductor,
) -> None:
    """Checks what has no file behind it, and tells nothing."""
    with _step(conductor).upload(io.BytesIO(b"abc")) as data:
        assert data.read() == b"abc"
    assert _told(conductor) == [0]
