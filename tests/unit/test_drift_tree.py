# SPDX-License-Identifier: Apache-2.0
"""Finding and reading a whole tree of Nova's source, made small here."""

import importlib.machinery
import importlib.util
import pathlib
import sys

import pytest

from nova_db_states import drift
from nova_db_states import exceptions
from nova_db_states.drift import find
from nova_db_states.drift import report
from nova_db_states.drift import scan
from tests.unit import drift_snippets

_API = """
def check_instance_state(vm_state=None, task_state=(None,),
                         must_have_launched=True):
    raise RuntimeError('nobody runs this')

class API:
    @check_instance_state(vm_state=[vm_states.ACTIVE])
    def pause(self, context, instance):
        instance.task_state = task_states.PAUSING
        instance.save(expected_task_state=[None])
"""
_COMMON = """
_STATE_MAP = {
    vm_states.ACTIVE: {
        'default': 'ACTIVE',
        task_states.REBOOTING: 'REBOOT',
    },
}
"""
_FILES = {
    "objects/fields.py": drift_snippets.FIELDS,
    "compute/vm_states.py": drift_snippets.VM_STATES,
    "compute/task_states.py": drift_snippets.TASK_STATES,
    "compute/api.py": _API,
    "compute/manager.py": "def f(instance):\n    instance.destroy()\n",
    "api/openstack/common.py": _COMMON,
    "cmd/quiet.py": "this is no Python, and nobody reads it",
    "tests/unit/test_it.py": "instance.task_state = 'a test writes this'",
    "__init__.py": "raise RuntimeError('nobody imports this')",
}


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """Make a checkout: a folder with the package in it and no metadata."""
    checkout = tmp_path / "checkout"
    for name, text in _FILES.items():
        path = checkout / "nova" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return checkout


def describe(beside: pathlib.Path, version: str, name: str = "nova") -> None:
    """Put the metadata of an installed package beside the tree."""
    folder = beside / f"{name}-{version}.dist-info"
    folder.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (folder / "METADATA").write_text(text)


def test_tree_is_read(tree: pathlib.Path) -> None:
    """Writes, decorators, names and statuses come out of one reading."""
    found = scan.scan(tree / "nova")
    assert [(site.place, str(site)) for site in found.sites] == [
        ("nova/compute/api.py:API.pause", "update = / pausing if NULL"),
        ("nova/compute/manager.py:f", "destroy = / ="),
    ]
    (check,) = found.checks
    assert check.place == "nova/compute/api.py:API.pause"
    assert str(check) == "admits active / NULL, launched"
    assert found.vm_states["STOPPED"] == "stopped"
    assert set(found.task_states.values()) == {
        "rebooting",
        "pausing",
        "deleting",
    }
    assert found.statuses == {
        "active": {"default": "ACTIVE", "rebooting": "REBOOT"}
    }


def test_report(tree: pathlib.Path) -> None:
    """A Nova that is not ours is a report, with the release it was held to."""
    made = drift.verify(tree, "35.0.0")
    assert not made.holds
    assert (made.tree.release, made.compared_with) == (35, 34)
    assert made.writes == 2
    kinds = {each.kind for each in made.drifts}
    assert {drift.Kind.GONE, drift.Kind.NAMES, drift.Kind.STATUS} <= kinds


def test_release_is_one_that_is_known(tree: pathlib.Path) -> None:
    """An older release than the oldest known is held to that."""
    assert drift.verify(tree, "29.1.0").compared_with == 31
    assert drift.verify(tree, "32.0.0").compared_with == 32


@pytest.mark.parametrize("inside", ["", "nova"])
def test_package_or_the_folder_around_it(
    tree: pathlib.Path, inside: str
) -> None:
    """Both the package and what it is in can be given."""
    found = find.find_nova(tree / inside, "34.0.0")
    assert found == find.Tree((tree / "nova").resolve(), "34.0.0")


def test_virtualenv(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A virtualenv can be given, and the package beside says the version."""
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    packages.parent.mkdir(parents=True)
    tree.rename(packages)
    describe(packages, "33.0.2")
    describe(packages, "1.0.0", name="nova_other")
    found = find.find_nova(tmp_path / "venv")
    assert (found.version, found.release) == ("33.0.2", 33)


def test_archive(tree: pathlib.Path) -> None:
    """An unpacked archive says its version in a file of its own."""
    (tree / "PKG-INFO").write_text("Name: nova\nVersion: 32.2.1\n\nWords.\n")
    assert find.find_nova(tree).release == 32


def test_installed(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed Nova is found, and nothing of it is run."""
    describe(tree, "34.0.0")
    monkeypatch.syspath_prepend(str(tree))
    monkeypatch.delitem(sys.modules, "nova", raising=False)
    assert find.find_nova().version == "34.0.0"
    assert "nova" not in sys.modules


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_installed(
    monkeypatch: pytest.MonkeyPatch, *, broken: bool
) -> None:
    """Without any Nova, the message says what to install or to give."""

    def find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
        if broken:
            raise ValueError(f"{name}.__spec__ is None")
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(drift.NovaSourceError, match="no package 'nova'"):
        drift.verify()


def test_folder_without_nova(tmp_path: pathlib.Path) -> None:
    """A wrong folder is named, with every place that was looked at."""
    with pytest.raises(find.NovaSourceError) as caught:
        find.find_nova(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / "nova") in str(caught.value)
    assert isinstance(caught.value, exceptions.NovaDBStatesError)


def test_incomplete_source(tree: pathlib.Path) -> None:
    """A tree in which something is missing is refused by that name."""
    (tree / "nova" / "objects" / "fields.py").unlink()
    with pytest.raises(find.NovaSourceError, match=r"objects/fields\.py"):
        find.find_nova(tree, "34.0.0")


def test_version_that_cannot_be_told(tree: pathlib.Path) -> None:
    """A checkout has no metadata: its version must be given."""
    with pytest.raises(find.NovaSourceError, match="there is none"):
        find.find_nova(tree)
    (tree / "PKG-INFO").write_text("Name: other\nVersion: 1.0\n")
    with pytest.raises(find.NovaSourceError, match="Give its version"):
        find.find_nova(tree)
    describe(tree, "33.0.0")
    describe(tree, "34.0.0")
    with pytest.raises(find.NovaSourceError, match=r"33\.0\.0, 34\.0\.0"):
        find.find_nova(tree)


def test_given_version_is_that_of_the_metadata(tree: pathlib.Path) -> None:
    """What is given may be less than the metadata say, and nothing else."""
    describe(tree, "34.0.0")
    for given in "34", "34.0", "34.0.0":
        assert find.find_nova(tree, given).version == "34.0.0"
    for given in "30", "99", "34.1", "3":
        with pytest.raises(find.NovaSourceError) as caught:
            find.find_nova(tree, given)
        assert f"is 34.0.0, as the metadata beside it says, and {given} " in (
            str(caught.value)
        )


def test_given_version_is_one_of_several(tree: pathlib.Path) -> None:
    """Where an old one was left behind, the given one is looked for."""
    describe(tree, "33.0.0")
    describe(tree, "34.0.0")
    assert find.find_nova(tree, "34").version == "34.0.0"
    with pytest.raises(find.NovaSourceError, match=r"33\.0\.0 or 34\.0\.0"):
        find.find_nova(tree, "35")


def test_metadata_without_a_version(tree: pathlib.Path) -> None:
    """Metadata that say nothing of the version are refused by their place."""
    (tree / "PKG-INFO").write_text("Name: nova\n\nWords.\n")
    with pytest.raises(find.NovaSourceError, match="'None', is none of"):
        find.find_nova(tree)


def test_version_that_is_none(tree: pathlib.Path) -> None:
    """A name is no version."""
    for given in "master", "", "\u0663\u0664":
        with pytest.raises(find.NovaSourceError, match="begin with a number"):
            find.find_nova(tree, given)


def test_source_that_cannot_be_read(tree: pathlib.Path) -> None:
    """Source in a syntax that this Python does not know is said to be so."""
    (tree / "nova" / "compute" / "new.py").write_text("task_state ==> 1\n")
    with pytest.raises(find.NovaSourceError, match="newer Python"):
        report.verify(tree, "34.0.0")
