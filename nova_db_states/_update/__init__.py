# SPDX-License-Identifier: Apache-2.0
"""How one guarded update is built, executed and explained. Private."""
