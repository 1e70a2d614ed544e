# SPDX-License-Identifier: Apache-2.0
"""One promised figure: what was measured, and what it must be."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from benchmarks import sampling

__all__ = ["Figure"]


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    :ivar name: of the benchmark it belongs to, for ``--only``
    :ivar what: what is compared
    :ivar value: what was measured
    :ivar bound: what it must not pass
    :ivar unit: of both
    :ivar at_least: whether the bound is a lower one
    :ivar samples: the times behind it, by contender
    :ivar numbers: other numbers behind it, each label with its unit
    """

    name: str
    what: str
    value: float
    bound: float
    unit: str
    at_least: bool = False
    samples: Mapping[str, sampling.Summary] = dataclasses.field(
        default_factory=dict
    )
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        if self.at_least:
            return self.value >= self.bound
        return self.value <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """Give everything as plain values, for JSON."""
        return {**dataclasses.asdict(self), "holds": self.holds}
