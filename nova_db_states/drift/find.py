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
        cannot be told or is not the given one
    """
    if version is not None:
        _require_number(version, "The given version")
    root = _installed() if path is None else _below(path)
    missing = [name for name in _NEEDED if not (root / name).is_file()]
    if missing:
        raise NovaSourceError(
            f"{root} is not the source of a Nova: it has no "
            f"{', '.join(missing)}. Give the folder that holds "
            "compute/manager.py."
        )
    return Tree(root, _version(root, version))


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


def _version(root: pathlib.Path, given: str | None) -> str:
    """Hold the given version to the metadata, or take it from there."""
    found = sorted(_of_metadata(root))
    if given is not None:
        if not found:
            return given
        chosen = [each for each in found if _is_part(given, each)]
        if not chosen:
            raise NovaSourceError(
                f"The Nova in {root} is {' or '.join(found)}, as the metadata "
                f"beside it says, and {given} was given. Leave that out, or "
                "give the source of the other one."
            )
        found = chosen
    if len(found) != 1:
        what = f"several: {', '.join(found)}" if found else "none"
        raise NovaSourceError(
            f"The release of the Nova in {root} cannot be told: of nova-*."
            f"dist-info, nova.egg-info and PKG-INFO there is {what} in "
            f"{root.parent}. Give its version."
        )
    _require_number(found[0], f"The version of the Nova in {root}")
    return found[0]


def _is_part(given: str, version: str) -> bool:
    """Say whether a version is the given one: 34 and 34.0 are 34.0.0."""
    return f"{version}.".startswith(f"{given}.")


def _of_metadata(root: pathlib.Path) -> set[str]:
    beside = root.parent
    found = {
        str(distribution.version)
        for distribution in importlib.metadata.distributions(
            name=_PACKAGE, path=[str(beside)]
        )
    }
    information = beside / "PKG-INFO"
    if not found and information.is_file():
        found = _of_archive(information)
    return found


def _of_archive(information: pathlib.Path) -> set[str]:
    headers = email.parser.HeaderParser().parsestr(
        information.read_text(encoding="utf-8")
    )
    if headers["Name"] != _PACKAGE:
        return set()
    return {str(headers["Version"])}


def _require_number(version: str, whose: str) -> None:
    if re.match(r"[0-9]+(\.|$)", version) is None:
        raise NovaSourceError(
            f"{whose}, {version!r}, is none of Nova's: those begin with a "
            "number, like 34.0.0."
        )
