# SPDX-License-Identifier: Apache-2.0
"""Processes of a Nova release, configured as an operator would."""

import dataclasses
import json
import os
import pathlib
import subprocess
from typing import Any, Final

import sqlalchemy as sa

from tests.resources import rows
from tools import nova_venvs

ROOT: Final = pathlib.Path(__file__).parents[2]
LINE: Final = "connection_parameters = plugin=nova_db_states"
ENFORCE: Final = "[nova_db_states]\nmode = enforce"

REFUSED: Final = "UnexpectedDeletingTaskStateError"
BOTH: Final = [1, 1]
NONE: Final = [0, 0]
"""Seams below and above that are in place."""

_SCRIPT: Final = ROOT / "tests" / "functional" / "nova_switch.py"


@dataclasses.dataclass
class Answer:
    """What a process of Nova's answered.

    :ivar result: of the case
    :ivar code: the exit code
    :ivar log: what it wrote to standard error
    """

    result: Any
    code: int
    log: str

    def count_reasons(self) -> int:
        """Count the lines that say why a Nova 99 is left alone."""
        said = "it is Nova 99.0.0, and the releases known are 31, 32, 33, 34"
        return sum(said in line for line in self.log.splitlines())


@dataclasses.dataclass
class Cloud:
    """One release of Nova with a cell, in which one server is deleted."""

    release: str
    url: str
    folder: pathlib.Path
    server: str

    def ask(
        self,
        case: str,
        *arguments: str,
        line: str = LINE,
        more: str = "",
        command: tuple[str, ...] = (),
        **environ: str,
    ) -> Answer:
        """Run a case in a process of its own."""
        file = self.folder / "nova.conf"
        file.write_text(
            f"[DEFAULT]\nuse_stderr = true\n"
            f"[api_database]\nconnection = sqlite:///{self.folder}/api.db\n"
            f"[database]\nconnection = {self.url}\n"
            f"max_retries = 0\n{line}\n{more}\n"
        )
        path = environ.pop("PYTHONPATH", "")
        python = str(nova_venvs.python(self.release))
        done = subprocess.run(
            [*command, python, _SCRIPT, case, file, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": f"{path}:{ROOT}" if path else str(ROOT),
                "PYTHONWARNINGS": "ignore",
                **environ,
            },
            cwd=self.folder,
        )
        lines = done.stdout.splitlines()
        return Answer(
            json.loads(lines[-1]) if done.returncode == 0 else None,
            done.returncode,
            done.stderr,
        )

    def row(self) -> tuple[str, str]:
        """Read the states of the server."""
        engine = sa.create_engine(self.url)
        row = rows.read_instance(engine, self.server)
        engine.dispose()
        return row["vm_state"], row["task_state"]
