# SPDX-License-Identifier: Apache-2.0
"""The folder that ``nova-db-states run`` puts in front of PYTHONPATH."""
