# SPDX-License-Identifier: Apache-2.0
"""The declarations: what Nova 31 to 34 do to a server, action by action."""
