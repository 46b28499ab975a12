"""The API over HTTP/1.1 on loopback: keep-alive, one thread a connection, chunked watches.

The standard library's request handler parses headers with the e-mail package, which costs more than all the rest of a
small GET; this one reads what an API server needs and nothing else.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import unquote

from deploy_pipeline.sandbox.api import Api, Stream
from deploy_pipeline.sandbox.errors import internal, to_json
from deploy_pipeline.sandbox.request import Answer, Request

REASONS = {status.value: status.phrase for status in HTTPStatus}
SERVER = "Server: deploy-pipeline-sandbox (simulated)\r\n"
LONGEST_LINE = 65536


class Server:
    """Listens on 127.0.0.1 and answers until it is stopped."""

    def __init__(self, api: Api, port: int) -> None:
        self._api = api
        self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)

    def start(self) -> None:
        """Serve in background threads."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listening socket and every connection."""
        for open_socket in (self._socket, *list(self._open)):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed by stop()
            while True:
                connection, _ = self._socket.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # OSError, ValueError: the client went away, or does not speak HTTP.
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as reader:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := read_request(reader)) is not None:
                self._respond(connection, request)
                if request.headers.get("connection", "").lower() == "close":
                    break
        self._open.discard(connection)

    def _respond(self, connection: socket.socket, request: Request) -> None:
        try:
            answer = self._api.handle(request)
        except Exception as error:  # noqa: BLE001 - one request must not end the connection of others
            answer = Answer(500, internal(f"the sandbox failed: {error!r}").body)
        if isinstance(answer, Answer):
            connection.sendall(encode(answer))
        else:
            send_stream(connection, answer)


def read_request(reader: BinaryIO) -> Request | None:
    """The next request of a connection; None at its end."""
    line = reader.readline(LONGEST_LINE)
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = {}
    while line := reader.readline(LONGEST_LINE).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    body = b"".join(_chunks(reader)) if chunked else reader.read(int(headers.get("content-length") or 0))
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, body)


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(reader.readline(LONGEST_LINE).partition(b";")[0], 16):
        yield reader.read(size)
        reader.readline(LONGEST_LINE)
    while reader.readline(LONGEST_LINE).strip():  # trailers
        continue


def encode(answer: Answer) -> bytes:
    """The whole response."""
    body = answer.body
    if not isinstance(body, bytes):
        text = body if isinstance(body, str) else to_json(body)
        body = text.encode()
    head = [
        f"HTTP/1.1 {answer.code} {REASONS.get(answer.code, '')}\r\n{SERVER}",
        f"Content-Type: {answer.media_type}\r\nContent-Length: {len(body)}\r\n",
        *(f"{name}: {value}\r\n" for name, value in answer.headers.items()),
    ]
    for warning in answer.warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        head.append(f'Warning: 299 - "{quoted}"\r\n')
    return "".join(head).encode("latin-1", "replace") + b"\r\n" + body


def send_stream(connection: socket.socket, events: Stream) -> None:
    """A watch: one JSON document a chunk, until the server ends it or the client hangs up."""
    head = f"HTTP/1.1 200 OK\r\n{SERVER}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode())
    for event in events:
        if event is not None:
            line = to_json(event).encode() + b"\n"
            connection.sendall(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            continue
        with contextlib.suppress(BlockingIOError):  # nothing to read: a client that only listens is still there
            if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return
    connection.sendall(b"0\r\n\r\n")
