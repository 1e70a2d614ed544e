# SPDX-License-Identifier: Apache-2.0
"""What a comparison reports."""

import dataclasses
import enum

__all__ = ["Drift", "Kind"]


class Kind(enum.StrEnum):
    """In what the source and the map are apart."""

    UNDECLARED = "undeclared write"
    GONE = "no longer in Nova's source"
    VALUES = "values differ"
    GUARD = "guard differs"
    COUNT = "number of writes differs"
    CONDITION = "conditions differ"
    CHECK = "check differs"
    NAMES = "state names differ"
    STATUS = "reported status differs"


@dataclasses.dataclass(frozen=True)
class Drift:
    """One thing in which a release of Nova is not what the map says.

    :ivar kind: in what they are apart
    :ivar where: the place in Nova's source, with the line if it has one
    :ivar found: what the source says
    :ivar declared: what the map says
    :ivar remedy: what to do
    """

    kind: Kind
    where: str
    found: str
    declared: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.where}: Nova has {self.found}, "
            f"the map has {self.declared}. {self.remedy}"
        )
