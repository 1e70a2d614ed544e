# SPDX-License-Identifier: Apache-2.0
"""Make one virtualenv for each Nova release that the tests run against.

    python tools/nova_venvs.py [RELEASE ...]

leaves ``.nova/<release>/`` for every supported release, or for those named:
Nova, what its own tests need, and this project as an editable installation,
so that its entry points are found.

What is there and complete stays; what was left half-made by a killed run is
made again; what only lacks something is added to. Standard library only, as
it runs before anything is installed.
"""

import argparse
import concurrent.futures
import fcntl
import hashlib
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

# What Nova's unit and functional tests import beside Nova itself.
_FOR_TESTS: Final = (
    "openstack-placement",
    "ddt",
    "fixtures",
    "osprofiler",
    "oslotest",
    "python-subunit",
    "requests-mock",
    "stestr",
    "testresources",
    "testscenarios",
    "testtools",
    "wsgi-intercept",
)

_STAMP: Final = "complete.json"
_PROJECT_STAMP: Final = "project.json"
_AT_ONCE: Final = 2


class VenvError(Exception):
    """A virtualenv could not be made; the message has pip's last words."""


def requirements(release: str) -> list[str]:
    """List what pip installs; these releases were made for SQLAlchemy 2.0."""
    own = (ROOT / "requirements.txt").read_text().splitlines()
    return [
        f"nova=={release}",
        "SQLAlchemy<2.1",
        "PyMySQL",
        *_FOR_TESTS,
        *(line.strip() for line in own if line.strip() and line[0] != "#"),
    ]


def python(release: str) -> pathlib.Path:
    """Give the Python of a release's virtualenv."""
    return FOLDER / release / "bin" / "python"


def ensure(release: str) -> bool:
    """Make the virtualenv of a release unless it is there and complete.

    Another process at the same work is waited for.

    :returns: whether anything had to be made
    :raises VenvError: it could not be made
    """
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _ensure_packages(release, lock.fileno())
        return _ensure_project(release, lock.fileno()) or made


def _ensure_packages(release: str, lock: int) -> bool:
    folder = FOLDER / release
    wanted = _recipe(release)
    there = _read(folder / _STAMP)
    if there == wanted:
        return False
    # Until the new stamp is written nothing vouches for the folder.
    (folder / _STAMP).unlink(missing_ok=True)
    if not _can_grow(there, wanted):
        shutil.rmtree(folder, ignore_errors=True)
        _run(lock, sys.executable, "-m", "venv", str(folder))
    _pip(release, lock, *requirements(release))
    (folder / _STAMP).write_text(json.dumps(wanted))
    return True


def _ensure_project(release: str, lock: int) -> bool:
    """Install this project again whenever its entry points may have changed.

    Its code needs no installation: that is read from the checkout.
    """
    stamp = FOLDER / release / _PROJECT_STAMP
    config = (ROOT / "setup.cfg").read_bytes()
    wanted = {"setup.cfg": hashlib.sha256(config).hexdigest()}
    if _read(stamp) == wanted:
        return False
    stamp.unlink(missing_ok=True)
    # The build writes beside the sources, which all releases share.
    with (FOLDER / "project.lock").open("w") as building:
        fcntl.flock(building, fcntl.LOCK_EX)
        _pip(release, lock, "--no-deps", "--editable", str(ROOT))
    stamp.write_text(json.dumps(wanted))
    return True


def _recipe(release: str) -> dict[str, object]:
    """Describe what the virtualenv is made of, to notice when it changes."""
    return {
        "python": sys.version,
        "folder": str(FOLDER / release),
        "requirements": requirements(release),
    }


def _can_grow(there: dict[str, object], wanted: dict[str, object]) -> bool:
    """Tell whether a complete virtualenv is only asked for other packages.

    What is asked for no longer stays in it, which does no harm.
    """
    return {**there, "requirements": wanted["requirements"]} == wanted


def _read(stamp: pathlib.Path) -> dict[str, object]:
    try:
        content = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _pip(release: str, lock: int, *what: str) -> None:
    _run(
        lock,
        str(python(release)),
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *what,
    )


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
