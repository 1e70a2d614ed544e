# SPDX-License-Identifier: Apache-2.0
"""The map as text: for programs (csv, json), for people, as pictures.

Values in, text out: every module here takes a :class:`parts.Part`, which is
the map or what was asked for of it, and has ``render``.
"""
