# SPDX-License-Identifier: Apache-2.0
"""The command ``nova-db-states``: a thin shell over the library."""
