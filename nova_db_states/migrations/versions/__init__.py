# SPDX-License-Identifier: Apache-2.0
"""One script for each index; alembic reads them, nobody imports them."""
