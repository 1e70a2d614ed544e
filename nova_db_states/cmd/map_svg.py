# SPDX-License-Identifier: Apache-2.0
"""Pictures, drawn by Graphviz's program ``dot``."""

import shutil
import subprocess
from typing import Final

from nova_db_states import exceptions

__all__ = ["GraphvizError", "draw"]

_PROGRAM: Final = "dot"
_PATIENCE_S: Final = 60


class GraphvizError(exceptions.NovaDBStatesError):
    """``dot`` is not there, or cannot draw."""


def draw(text: str) -> str:
    """Draw a picture.

    :param text: in the language of Graphviz
    :returns: the picture as SVG
    :raises GraphvizError: there is no ``dot``, or it failed
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise GraphvizError(
            f"SVG is drawn by the program {_PROGRAM!r}, and there is none on "
            f"PATH. Install Graphviz (Debian, Ubuntu: apt-get install "
            f"graphviz; Red Hat: dnf install graphviz), or take --format dot "
            f"and draw it elsewhere."
        )
    try:
        drawn = subprocess.run(  # noqa: S603 - the text is no command
            [program, "-Tsvg"],
            input=text,
            capture_output=True,
            check=True,
            encoding="utf-8",
            timeout=_PATIENCE_S,
        )
    except subprocess.CalledProcessError as error:
        raise GraphvizError(
            f"{program} ended with {error.returncode}: "
            f"{' '.join(error.stderr.split())}. --format dot gives what it "
            f"was to draw."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GraphvizError(
            f"{program} could not draw: {error}. --format dot gives what it "
            f"was to draw."
        ) from error
    return drawn.stdout
