# SPDX-License-Identifier: Apache-2.0
"""How fast, how many locks, how long a wait: measured, not claimed.

``python -m benchmarks`` measures the figures the project promises, and
``python -m benchmarks.indexes`` what each candidate for an index would give
and cost.
"""
