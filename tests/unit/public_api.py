# SPDX-License-Identifier: Apache-2.0
"""Write down the public names of the package, with their signatures.

    python -m tests.unit.public_api

renews ``tests/unit/public_api.txt``. Look at its diff: a name or parameter
that goes away breaks somebody's code and needs a release note.
"""

from collections.abc import Iterator
import enum
import importlib
import inspect
import pathlib
import pkgutil
import types
from typing import Final

import nova_db_states

CHECKED_IN: Final = pathlib.Path(__file__).with_suffix(".txt")

# The commands are public by their names and options, and what stands under
# Nova's saves by Nova's own names; it cannot be imported without Nova either.
_NOT_FOR_IMPORT: Final = frozenset({"cmd", "nova"})


def render() -> str:
    """List every public name of every public module."""
    return "".join(
        f"{line}\n" for module in _modules() for line in _module(module)
    )


def _modules() -> Iterator[types.ModuleType]:
    """Import the public modules, and the folders that name something.

    What a folder does not take into its own ``__all__`` is internal; a
    module has to say.
    """
    for found in pkgutil.iter_modules(nova_db_states.__path__):
        if found.name.startswith("_") or found.name in _NOT_FOR_IMPORT:
            continue
        module = importlib.import_module(f"nova_db_states.{found.name}")
        if hasattr(module, "__all__") or not found.ispkg:
            yield module


def _module(module: types.ModuleType) -> Iterator[str]:
    yield f"{module.__name__}:"
    for name in sorted(module.__all__):
        yield from member(name, getattr(module, name))


def member(name: str, value: object) -> Iterator[str]:
    """Show one public name as a caller may use it."""
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        yield f"    class {name}({bases})"
        yield from _class(value)
    elif inspect.isfunction(value):
        yield f"    def {name}{_signature(value)}"
    else:
        yield f"    {name}: {type(value).__name__}"


def _class(cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        for entry in cls:
            yield f"        {entry.name} = {entry.value!r}"
        return
    for name, held in sorted(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        function = getattr(held, "__func__", held)
        if inspect.isfunction(function):
            yield f"        def {name}{_signature(function)}"
        elif isinstance(held, property):
            yield f"        {name}: property"


def _signature(function: types.FunctionType) -> str:
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(default=_Default(parameter.default))
        if parameter.default is not parameter.empty
        else parameter
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters))


class _Default:
    """A default value, shown without what differs from run to run."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        shown = repr(self._value)
        # A function, or an object with one in it, shows its address.
        return f"<{type(self._value).__name__}>" if "<" in shown else shown


if __name__ == "__main__":
    CHECKED_IN.write_text(render())
