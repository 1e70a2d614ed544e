# SPDX-License-Identifier: Apache-2.0
"""Make one virtualenv for each Nova release that the tests run against.

    python tools/nova_venvs.py [RELEASE ...]

leaves ``.nova/<release>/`` for every supported release, or for those named.
What is there and complete stays; what was left half-made by a killed run is
made again. Standard library only, as it runs before anything is installed.
"""

import argparse
import concurrent.futures
import fcntl
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Final

RELEASES: Final = ("31.3.1", "32.2.1", "33.0.2", "34.0.0")

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".nova"

_STAMP: Final = "complete.json"
_AT_ONCE: Final = 2


class VenvError(Exception):
    """A virtualenv could not be made; the message has pip's last words."""


def requirements(release: str) -> list[str]:
    """List what pip installs; these releases were made for SQLAlchemy 2.0."""
    return [f"nova=={release}", "SQLAlchemy<2.1", "PyMySQL"]


def python(release: str) -> pathlib.Path:
    """Give the Python of a release's virtualenv."""
    return FOLDER / release / "bin" / "python"


def ensure(release: str) -> bool:
    """Make the virtualenv of a release unless it is there and complete.

    Another process at the same work is waited for.

    :returns: whether it had to be made
    :raises VenvError: it could not be made
    """
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_complete(release):
            return False
        _make(release, lock.fileno())
        return True


def _recipe(release: str) -> dict[str, object]:
    """Describe what the virtualenv is made of, to notice when it changes."""
    return {
        "python": sys.version,
        "folder": str(FOLDER / release),
        "requirements": requirements(release),
    }


def _is_complete(release: str) -> bool:
    stamp = FOLDER / release / _STAMP
    try:
        return bool(json.loads(stamp.read_text()) == _recipe(release))
    except (OSError, ValueError):
        return False


def _make(release: str, lock: int) -> None:
    folder = FOLDER / release
    shutil.rmtree(folder, ignore_errors=True)
    _run(lock, sys.executable, "-m", "venv", str(folder))
    _run(
        lock,
        str(python(release)),
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *requirements(release),
    )
    # Last, so that it vouches for all of the above.
    (folder / _STAMP).write_text(json.dumps(_recipe(release)))


def _run(lock: int, *command: str) -> None:
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            # If this process is killed, pip may live on for a while. It then
            # keeps the lock, and nobody else writes into the same folder.
            pass_fds=[lock],
            check=False,
        )
        if done.returncode:
            output.seek(0)
            last = "".join(output.readlines()[-15:])
            raise VenvError(f"{' '.join(command)} failed:\n{last}")


def main() -> int:
    """Make the virtualenvs, a few at a time, and report each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "release",
        nargs="*",
        default=RELEASES,
        help=f"releases to make (default: {' '.join(RELEASES)})",
    )
    releases = parser.parse_args().release
    unknown = sorted(set(releases) - set(RELEASES))
    if unknown:
        parser.error(f"not supported: {', '.join(unknown)}")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        made = {release: pool.submit(ensure, release) for release in releases}
        for release, future in made.items():
            try:
                word = "made" if future.result() else "there already"
            except VenvError as error:
                failed += 1
                word = f"FAILED\n{error}"
            print(f"nova {release}: {word}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
