# SPDX-License-Identifier: Apache-2.0
"""A Glance that a test holds up: what Nova's client needs of the real one.

It speaks HTTP on 127.0.0.1, so that Nova's image API, glanceclient and
requests are all there. Before every chunk of image data that goes out, and
after every one that has come in, it asks the test.
"""

from collections.abc import Callable, Iterator
import copy
import hashlib
from http import server
import json
import socket
import threading
from typing import Any
import uuid

CHUNK = 64 * 1024
"""What goes out at once. glanceclient reads and writes 16 times as much."""

_TEXT = {"type": ["string", "null"]}
_NUMBER = {"type": ["integer", "null"]}
_SCHEMA = {
    "name": "image",
    "properties": {
        **dict.fromkeys(
            (
                *("id", "name", "status", "visibility", "checksum", "owner"),
                *("disk_format", "container_format", "created_at"),
                *("updated_at", "self", "file", "schema", "os_hash_algo"),
                "os_hash_value",
            ),
            _TEXT,
        ),
        **dict.fromkeys(
            ("size", "virtual_size", "min_ram", "min_disk"), _NUMBER
        ),
        "tags": {"type": "array"},
        "protected": {"type": "boolean"},
    },
    "additionalProperties": _TEXT,
}


class Image:
    """An image and what happened to its data.

    :ivar facts: as the API tells them
    :ivar data: what it consists of
    :ivar sent: how many bytes of it went out, over all downloads
    :ivar broken: how many transfers the other side did not finish
    """

    def __init__(self, data: bytes | None, **facts: Any) -> None:
        self.data = data
        self.sent = 0
        self.broken = 0
        self.received = 0
        name = str(facts.pop("id", uuid.uuid4()))
        self.facts: dict[str, Any] = {
            "id": name,
            "name": "slow",
            "status": "queued" if data is None else "active",
            "visibility": "public",
            "owner": None,
            "disk_format": "raw",
            "container_format": "bare",
            "min_ram": 0,
            "min_disk": 0,
            "size": None if data is None else len(data),
            "virtual_size": None,
            "checksum": None,
            "protected": False,
            "tags": [],
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "self": f"/v2/images/{name}",
            "file": f"/v2/images/{name}/file",
            "schema": "/v2/schemas/image",
            **facts,
        }
        if data is not None:
            self.complete(data)

    def complete(self, data: bytes) -> None:
        """Take all of the data."""
        self.data = data
        self.facts |= {
            "status": "active",
            "size": len(data),
            "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        }


class SlowGlance:
    """The server.

    :ivar images: by id
    :ivar deleted: ids of those that were deleted
    :ivar on_chunk: called with the image and the number of a chunk, counted
        from 0, before it goes out or after it has come in
    """

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.deleted: list[str] = []
        self.on_chunk: Callable[[Image, int], Any] = lambda image, number: None
        self.failures: list[BaseException] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        # What waits in buffers is neither here nor there.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
        self._over = False

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def add(self, data: bytes, **facts: Any) -> Image:
        """Have one more image."""
        image = Image(data, **facts)
        self.images[image.facts["id"]] = image
        return image

    def start(self) -> None:
        """Serve until ``stop``."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Take no more connections."""
        self._over = True
        # Closing alone does not end an accept that waits.
        socket.create_connection(self._socket.getsockname()).close()

    def _accept(self) -> None:
        while True:
            connection, address = self._socket.accept()
            if self._over:
                connection.close()
                self._socket.close()
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
            threading.Thread(
                target=self._serve, args=(connection, address), daemon=True
            ).start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        try:
            _Handler(connection, address, self)  # type: ignore[arg-type]
        except (ConnectionError, TimeoutError):
            pass
        finally:
            connection.close()


class _Handler(server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: SlowGlance  # type: ignore[assignment]

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[-1] == "file":
            self._with_image(parts[2], self._send_data)
        elif parts[1:] == ["schemas", "image"]:
            self._answer(200, _SCHEMA)
        elif parts[1:] == ["images"]:
            every = [image.facts for image in self.server.images.values()]
            self._answer(200, {"images": every})
        elif parts[1:2] == ["images"]:
            self._with_image(
                parts[2], lambda image: self._answer(200, image.facts)
            )
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        image = Image(None, **json.loads(self._body()))
        self.server.images[image.facts["id"]] = image
        self._answer(201, image.facts)

    def do_PATCH(self) -> None:
        operations = json.loads(self._body())

        def change(image: Image) -> None:
            for each in operations:
                name = each["path"].strip("/")
                if each["op"] == "remove":
                    image.facts.pop(name, None)
                else:
                    image.facts[name] = each["value"]
            self._answer(200, image.facts)

        self._with_image(self.path.split("/")[3], change)

    def do_DELETE(self) -> None:
        def delete(image: Image) -> None:
            name = image.facts["id"]
            del self.server.images[name]
            self.server.deleted.append(name)
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        self._with_image(self.path.split("/")[3], delete)

    def do_PUT(self) -> None:
        self._with_image(self.path.split("/")[3], self._receive_data)

    def _with_image(self, name: str, do: Callable[[Image], None]) -> None:
        image = self.server.images.get(name)
        if image is None:
            self._answer(404, {"message": "no such image"})
        else:
            do(image)

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send_data(self, image: Image) -> None:
        data = copy.copy(image.data) or b""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            for number, start in enumerate(range(0, len(data), CHUNK)):
                self.server.on_chunk(image, number)
                chunk = data[start : start + CHUNK]
                self.wfile.write(chunk)
                image.sent += len(chunk)
        except OSError:
            image.broken += 1
            self.close_connection = True
        except BaseException as error:
            self.server.failures.append(error)
            raise

    def _receive_data(self, image: Image) -> None:
        image.facts["status"] = "saving"
        found = bytearray()
        try:
            for number, chunk in enumerate(self._chunks()):
                found += chunk
                image.received += len(chunk)
                self.server.on_chunk(image, number)
        except (OSError, ValueError):
            image.broken += 1
            image.facts["status"] = "queued"
            self.close_connection = True
            return
        except BaseException as error:
            self.server.failures.append(error)
            raise
        image.complete(bytes(found))
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _chunks(self) -> Iterator[bytes]:
        """Take chunked transfer encoding apart.

        :raises ValueError: the connection ended in between
        """
        while size := int(self.rfile.readline(), 16):
            chunk = self.rfile.read(size)
            if len(chunk) < size:
                raise ValueError("a chunk has no end")
            self.rfile.readline()
            yield chunk
        self.rfile.readline()
