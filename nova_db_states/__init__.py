# SPDX-License-Identifier: Apache-2.0
"""Guarded state changes for the instances of OpenStack Nova.

The public modules are :mod:`nova_db_states.api` (the verbs),
:mod:`nova_db_states.states` (the vocabulary and the guard markers) and
:mod:`nova_db_states.exceptions` (what can go wrong).
"""
