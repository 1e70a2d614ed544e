# SPDX-License-Identifier: Apache-2.0
"""Finds the source of a Nova and its release, without importing any of it."""

import dataclasses
import email.parser
import importlib.metadata
import importlib.util
import pathlib
import re
from typing import Final

from nova_db_states import exceptions

__all__ = ["NovaSourceError", "Tree", "find_nova"]

_PACKAGE: Final = "nova"

# Every release has these, and the scanner needs them.
_NEEDED: Final = (
    "api/openstack/common.py",
    "compute/api.py",
    "compute/manager.py",
    "compute/task_states.py",
    "compute/vm_states.py",
    "objects/fields.py",
)


class NovaSourceError(exceptions.NovaDBStatesError):
    """The source of a Nova cannot be found or read, or its release be told."""


@dataclasses.dataclass(frozen=True)
class Tree:
    """The source of one release.

    :ivar root: the folder of the package ``nova``
    :ivar version: like ``34.0.0``
    """

    root: pathlib.Path
    version: str

    @property
    def release(self) -> int:
        """The number of the release: 34 for ``34.0.0``."""
        return int(self.version.split(".", maxsplit=1)[0])


def find_nova(
    path: pathlib.Path | None = None, version: str | None = None
) -> Tree:
    """Find the source of a Nova.

    :param path: the package ``nova``, the folder it is in (a checkout, an
        unpacked archive, ``site-packages``) or a virtualenv; ``None`` for
        the Nova that the running Python would import
    :param version: its version, where that cannot be told from the metadata
        of the package beside it; a checkout has none
    :returns: the tree
    :raises NovaSourceError: there is none, it is incomplete, or its version
        cannot be told
    """
    root = _installed() if path is None else _below(path)
    missing = [name for name in _NEEDED if not (root / name).is_file()]
    if missing:
        raise NovaSourceError(
            f"{root} is not the source of a Nova: it has no "
            f"{', '.join(missing)}. Give the folder that holds "
            "compute/manager.py."
        )
    return Tree(root, _checked(version or _version(root), root))


def _installed() -> pathlib.Path:
    # Finding a top-level package runs none of its code.
    try:
        found = importlib.util.find_spec(_PACKAGE)
    except ValueError:
        found = None
    locations = found.submodule_search_locations if found else None
    for location in locations or ():
        return pathlib.Path(location)
    raise NovaSourceError(
        "No Nova is installed for this Python: it has no package 'nova'. "
        "Install nova-db-states beside Nova, or give the folder of Nova's "
        "source."
    )


def _below(path: pathlib.Path) -> pathlib.Path:
    candidates = [
        path,
        path / _PACKAGE,
        *sorted(path.glob("lib/python3*/site-packages/nova")),
    ]
    for candidate in candidates:
        if (candidate / "compute" / "manager.py").is_file():
            return candidate.resolve()
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise NovaSourceError(
        f"There is no Nova at {path}: no compute/manager.py in {looked}. "
        "Give the package nova itself, the folder it is in, or a virtualenv."
    )


def _version(root: pathlib.Path) -> str:
    beside = root.parent
    found = {
        distribution.version
        for distribution in importlib.metadata.distributions(
            name=_PACKAGE, path=[str(beside)]
        )
    }
    information = beside / "PKG-INFO"
    if not found and information.is_file():
        found = _of_archive(information)
    if len(found) == 1:
        return found.pop()
    what = f"several: {', '.join(sorted(found))}" if found else "none"
    raise NovaSourceError(
        f"The release of the Nova in {root} cannot be told: of nova-*."
        f"dist-info, nova.egg-info and PKG-INFO there is {what} in {beside}. "
        "Give its version."
    )


def _of_archive(information: pathlib.Path) -> set[str]:
    headers = email.parser.HeaderParser().parsestr(
        information.read_text(encoding="utf-8")
    )
    if headers["Name"] != _PACKAGE:
        return set()
    return {headers["Version"]}


def _checked(version: str, root: pathlib.Path) -> str:
    if re.match(r"\d+(\.|$)", version) is None:
        raise NovaSourceError(
            f"The version {version!r} of the Nova in {root} is none of "
            "Nova's: those begin with a number, like 34.0.0."
        )
    return version
