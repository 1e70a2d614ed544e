# SPDX-License-Identifier: Apache-2.0
"""Switches the plugin on in each Python process under ``nova-db-states run``.

Python imports this before anything else. It may be any Python of this machine,
with or without Nova and this package: a process without Nova must notice
nothing, so as little as possible is imported, and nothing may fail.
"""

import importlib.machinery
import importlib.util
import os
import sys

try:
    from nova_db_states.nova import activation

    activation.activate()
except Exception as error:  # noqa: BLE001 - no process may break
    if importlib.util.find_spec("nova") is not None:
        import logging

        # As there is no log yet, Python writes it to standard error.
        logging.getLogger("nova_db_states").error(  # noqa: TRY400 - one line
            "nova_db_states cannot be used by %s, which has Nova: %s: %s. "
            "Install it there; until then nothing is guarded.",
            sys.executable,
            type(error).__name__,
            error,
        )


def _chain() -> None:
    """Run the file of this name that there would be without this one."""
    here = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120
    others = [path for path in sys.path if os.path.realpath(path) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    theirs = importlib.util.module_from_spec(spec)
    # Whoever looks at it expects to find his own.
    sys.modules["sitecustomize"] = theirs
    spec.loader.exec_module(theirs)


_chain()
