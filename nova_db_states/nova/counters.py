# SPDX-License-Identifier: Apache-2.0
"""What the plugin did in this process, for tests and for the curious."""

import collections
import threading
from typing import Final

__all__ = ["add", "forget_seams", "reset", "snapshot"]

_NAMES: Final = (
    "lower",
    "upper",
    "guarded",
    "refused",
    "observed",
    "yielded",
    "checked",
    "watched",
    "skipped",
)

_lock: Final = threading.Lock()
_counts: collections.Counter[str] = collections.Counter()


def add(name: str, count: int = 1) -> None:
    """Count.

    :param name: ``lower`` and ``upper`` for a seam put in place;
        ``guarded`` for a write of state that the database judged;
        ``refused``, ``observed`` (would have been refused) and ``yielded``
        (refused inside the handling of another error, so given up);
        ``checked`` for a judgement without a write; ``watched`` for a look
        during a transfer, ``skipped`` for one that nobody answered
    :param count: how much
    """
    with _lock:
        _counts[name] += count


def snapshot() -> dict[str, int]:
    """Give the counts.

    :returns: every name with its count since the start of the process
    """
    with _lock:
        return {name: _counts[name] for name in _NAMES}


def reset() -> None:
    """Begin anew with all but the seams, which stay where they are."""
    with _lock:
        for name in _NAMES:
            if name not in ("lower", "upper"):
                _counts[name] = 0


def forget_seams() -> None:
    """Count no seam any more: what was put in place was taken back."""
    with _lock:
        _counts["lower"] = _counts["upper"] = 0
