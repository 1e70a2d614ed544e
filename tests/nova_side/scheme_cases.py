# SPDX-License-Identifier: Apache-2.0
"""The contract under ``mariadb://``, where Nova's own retries do not work.

Nova's migrations do not work there either; the tables are there already.
"""

from tests.nova_side import contract_cases
from tests.nova_side import server_cases
from tests.nova_side import transaction_cases

_SCHEME = "mariadb+pymysql"


class Values(contract_cases.Values):
    """What is written."""

    SCHEME = _SCHEME


class Expectations(contract_cases.Expectations):
    """What is refused."""

    SCHEME = _SCHEME


class Nested(transaction_cases.Nested):
    """Transactions of the caller."""

    SCHEME = _SCHEME


class Races(server_cases.Races):
    """What others do meanwhile."""

    SCHEME = _SCHEME


class Snapshots(server_cases.Snapshots):
    """What others do, where that is an error."""

    SCHEME = _SCHEME
