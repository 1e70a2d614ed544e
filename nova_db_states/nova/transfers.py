# SPDX-License-Identifier: Apache-2.0
"""One long step on a server, as nova-compute does it, and its data.

nova-compute has no database. Check, sign of life and progress are one save
through nova-conductor, made with an ``Instance`` object that nobody else has:
what is dirty in the object of the step is not written by it, and what that
object believes is not changed.
"""

from collections.abc import Iterable, Iterator
import contextlib
import os
import time
from typing import Any, Final

from oslo_log import log
import wrapt

from nova_db_states._actions import heartbeat
from nova_db_states._actions import progress as progress_
from nova_db_states._actions import watch
from nova_db_states.nova import counters
from nova_db_states.nova import lookout
from nova_db_states.nova import settings

__all__ = ["Chunks", "Step"]

LOG: Final = log.getLogger(__name__)

# Looks that find nobody to ask are skipped, for as long as it takes: Nova's
# own next save decides what becomes of the server then.
_FOR_EVER_S: Final = 10.0**9


class Step:
    """A call of a driver's that takes long."""

    def __init__(
        self,
        manager: Any,
        instance: Any,
        expected: Iterable[str],
        image_id: str | None,
    ) -> None:
        """Remember what is worked on; nothing is asked yet.

        :param manager: ``nova.compute.manager``
        :param instance: the object of the step, which is left alone
        :param expected: the task states in which the step is wanted
        :param image_id: of the image whose data is the progress; ``None``
            where all data is
        """
        self.uuid = str(instance.uuid)
        self._objects = manager.objects
        self._exception = manager.exception
        self._context = instance._context
        # Nova's guards in these steps are about task_state alone: a guest
        # that crashes during its snapshot has another vm_state, and its
        # snapshot is still wanted.
        self._expected = sorted(expected)
        self._image_id = image_id
        self._boots = (
            instance.obj_attr_is_set("vm_state")
            and instance.vm_state == "building"
        )
        self._before = (
            instance.progress if instance.obj_attr_is_set("progress") else None
        )
        self._shown = self._before
        self._lost = False
        self._refusal: Exception | None = None
        self._lookout = lookout.Lookout(
            remote=instance.indirection_api is not None
        )

    def begin(self) -> None:
        """Look before anything is done.

        :raises InstanceNotFound: of Nova, where the row is gone
        :raises UnexpectedTaskStateError: of Nova, where the server is not
            ours any more
        """
        self._look(self._before)

    def end(self) -> None:
        """Put the progress back, if it was shown.

        What Nova saves next names an expectation, and says the same.

        :raises InstanceNotFound: as ``begin``
        :raises UnexpectedTaskStateError: as ``begin``
        """
        if self._shown != self._before or self._refusal is not None:
            self._look(self._before)

    def abandon(self) -> None:
        """Put the progress back after an error, which is what counts."""
        if self._shown == self._before or self._lost:
            return
        with contextlib.suppress(
            self._exception.UnexpectedTaskStateError,
            self._exception.InstanceNotFound,
        ):
            self._look(self._before)

    def download(self, chunks: Any, image_id: str) -> Any:
        """Watch chunks on their way from Glance.

        :param chunks: as glanceclient gives them
        :param image_id: of what they are
        :returns: the same, to be used in their place
        """
        if getattr(chunks, "wrapped", None) is None:
            return chunks
        total = len(chunks) or None
        if self._image_id not in (None, image_id):
            # A kernel or a ramdisk: checked, but not what the user waits for.
            total = None
        return Chunks(chunks, self._watch(total).iterate(chunks))

    @contextlib.contextmanager
    def upload(self, data: Any) -> Iterator[Any]:
        """Watch data on its way to Glance.

        :param data: a file, or what is like one for reading
        :returns: yields what to send in its place
        """
        if not hasattr(data, "read"):
            yield data
            return
        with self._lookout.serving():
            yield self._watch(_size_of(data)).file(data)

    def _watch(self, total: int | None) -> watch.Watch:
        progress = progress_.Progress(total)

        def look() -> None:
            percent = progress.percent()
            self._look(self._shown if percent is None else percent)

        heart = heartbeat.Heart(
            look,
            self.uuid,
            settings.watch_interval_s(),
            _FOR_EVER_S,
            time.monotonic,
        )
        heart.start(time.sleep)
        return watch.Watch(heart, progress)

    def _look(self, progress: int | None) -> None:
        """Ask whether the server is still ours, and tell how far we are."""
        if self._refusal is not None:
            # Some driver has caught it and gone on.
            raise self._refusal
        if self._lost:
            return
        if not self._lookout.make(lambda: self._save(progress)):
            self._skip("nova-conductor has not answered yet")

    def _save(self, progress: int | None) -> None:
        counters.add("watched")
        ours = self._objects.Instance(self._context, uuid=self.uuid)
        ours.obj_reset_changes()
        # Nova looks at the expectation only where a column is written, so
        # that this is set even where it stays what it is.
        ours.progress = progress
        try:
            ours.save(expected_task_state=self._expected)
        except (
            self._exception.UnexpectedTaskStateError,
            self._exception.InstanceNotFound,
        ) as error:
            self._lost = True
            if settings.observes():
                LOG.info(
                    "Server %s is not ours any more; with mode = enforce "
                    "what is done to it would stop: %s",
                    self.uuid,
                    error,
                )
                return
            self._refusal = self._preempted(error)
            raise self._refusal from None
        except Exception as error:  # noqa: BLE001 - away in whatever way
            self._skip(f"{type(error).__name__}: {error}")
        else:
            self._shown = progress

    def _preempted(self, error: Any) -> Exception:
        """Make an error that Nova takes for a task that was preempted.

        For a build that is the one about a delete alone. Any other error of
        a driver makes Nova try another host, and write that over whatever
        has become of the server.
        """
        deleting = self._exception.UnexpectedDeletingTaskStateError
        gone = self._exception.InstanceNotFound
        if not self._boots or isinstance(error, (deleting, gone)):
            made: Exception = error
        else:
            made = deleting(str(error), **error.kwargs)
        return made

    def _skip(self, why: str) -> None:
        counters.add("skipped")
        LOG.warning(
            "Server %s could not be looked at; its data flows on. %s",
            self.uuid,
            why,
        )


class Chunks(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """The chunks of an image, each after the check."""

    def __init__(self, theirs: Any, watched: Any) -> None:
        super().__init__(theirs)
        self._self_watched = watched

    def __iter__(self) -> Iterator[Any]:
        return iter(self._self_watched)

    def __next__(self) -> Any:
        return next(self._self_watched)

    def next(self) -> Any:
        """Give the next chunk, for those who do not know ``__next__``."""
        return next(self._self_watched)


def _size_of(data: Any) -> int | None:
    """Say how much there is to read; ``None`` where that is not known."""
    try:
        return max(os.fstat(data.fileno()).st_size - data.tell(), 0) or None
    except (AttributeError, OSError, TypeError, ValueError):
        return None
