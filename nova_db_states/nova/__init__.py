# SPDX-License-Identifier: Apache-2.0
"""The plugin: guards under Nova's own saves. Only this package knows Nova."""
