# SPDX-License-Identifier: Apache-2.0
"""Compares the declared map with what Nova's source really writes.

The scanner reads the source as text and knows nothing of the map; the
comparison says where the two are apart. So the next release of Nova is a
report and no surprise.
"""

from nova_db_states.drift import find
from nova_db_states.drift import findings
from nova_db_states.drift import report

__all__ = [
    "KNOWN_RELEASES",
    "Drift",
    "Kind",
    "NovaSourceError",
    "Report",
    "Tree",
    "verify",
]

KNOWN_RELEASES = report.KNOWN_RELEASES
"""The first and the last release that the map was made from."""

Drift = findings.Drift
Kind = findings.Kind
NovaSourceError = find.NovaSourceError
Report = report.Report
Tree = find.Tree
verify = report.verify
