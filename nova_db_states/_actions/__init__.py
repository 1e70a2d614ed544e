# SPDX-License-Identifier: Apache-2.0
"""How actions are built: claims of a task, and looking back meanwhile."""
