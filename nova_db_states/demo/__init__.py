# SPDX-License-Identifier: Apache-2.0
"""The race, played many times: saves as Nova makes them, then guarded ones.

``plan`` draws the races from a seed, ``stories`` says what each side of a race
does and ``writes`` what it then writes, ``direct`` and ``guarded`` are the two
ways to write and ``saves`` what they have in common. ``actor`` is the process
that plays a side, ``runner`` starts the processes, ``verdict`` counts what
they and the database say, ``scratch`` finds a database that nobody else uses.
Nothing here prints; ``nova-db-states demo`` shows the results.
"""
