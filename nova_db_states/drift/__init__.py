# SPDX-License-Identifier: Apache-2.0
"""Compares the declared map with what Nova's source really writes."""
