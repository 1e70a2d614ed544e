# SPDX-License-Identifier: Apache-2.0
"""Calls over a pipe, in the way of oslo.messaging."""

from typing import Any

from nova import exception
from nova import rpc
from oslo_messaging._drivers import common
from oslo_serialization import jsonutils


class Pipe:
    """Stands in for the client of oslo.messaging."""

    def __init__(self, process: Any, serializer: Any) -> None:
        self._process = process
        self._serializer = serializer
        self.sent: list[str] = []

    def prepare(self, **_: Any) -> "Pipe":
        """Give the object to call with."""
        return self

    def call(self, context: Any, method: str, **arguments: Any) -> Any:
        """Call the other side, and wait."""
        asked = jsonutils.dumps(
            {
                "context": self._serializer.serialize_context(context),
                "method": method,
                "args": {
                    name: self._serializer.serialize_entity(context, value)
                    for name, value in arguments.items()
                },
            }
        )
        self.sent.append(asked)
        self._process.stdin.write(asked + "\n")
        self._process.stdin.flush()
        said = jsonutils.loads(self._process.stdout.readline())
        if "failure" in said:
            raise common.deserialize_remote_exception(
                said["failure"], rpc.get_allowed_exmods()
            )
        return self._serializer.deserialize_entity(context, said["result"])


def attempt(call: Any, **arguments: Any) -> str:
    """Say what comes of a call."""
    try:
        call(**arguments)
    except exception.NovaException as error:
        return type(error).__name__.removesuffix("_Remote")
    return "passed"
