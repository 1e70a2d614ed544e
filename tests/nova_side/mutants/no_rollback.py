# SPDX-License-Identifier: Apache-2.0
"""The tests of the plugin, with the change of that name."""

from tests.nova_side.mutants import changes

globals().update(changes.broken(__name__, changes.no_rollback))
