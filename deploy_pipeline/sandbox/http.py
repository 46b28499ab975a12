"""The API over HTTP/1.1 on loopback: keep-alive, one thread a connection, chunked watches.

The standard library's request handler parses headers with the e-mail package, which costs more than
all the rest of a small GET; this one reads what an API server needs and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import unquote

import yaml

from deploy_pipeline.sandbox.api import Api
from deploy_pipeline.sandbox.errors import Json, internal
from deploy_pipeline.sandbox.request import Answer, Request

REASONS = {status.value: status.phrase for status in HTTPStatus}
SERVER = "Server: deploy-pipeline-sandbox (simulated)\r\n"
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Server:
    """Listens on 127.0.0.1 and answers until it is stopped."""

    def __init__(self, api: Api, port: int) -> None:
        self._api = api
        self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)

    def start(self) -> None:
        """Serve in background threads."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listening socket and every connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed by stop()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as reader:
                while (request := read_request(reader, connection)) is not None:
                    keep = self._respond(connection, request)
                    if not keep or request.headers.get("connection", "").lower() == "close":
                        return
        except (OSError, ValueError):  # the client went away, or does not speak HTTP
            return
        finally:
            with self._lock:
                self._open.discard(connection)

    def _respond(self, connection: socket.socket, request: Request) -> bool:
        """Send the answer; False ends the connection."""
        try:
            answer = self._api.handle(request)
        except Exception as error:  # noqa: BLE001 - one request must not end the connection of others
            error_answer = internal(f"the sandbox failed: {error!r}")
            connection.sendall(encode(Answer(500, error_answer.body), request))
            return True
        if isinstance(answer, Answer):
            connection.sendall(encode(answer, request))
            return True
        send_stream(connection, answer)
        return True


def read_request(reader: BinaryIO, connection: socket.socket) -> Request | None:
    """The next request of a connection; None at its end."""
    line = reader.readline(65536)
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline(65536)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = b"".join(_chunks(reader))
    else:
        body = reader.read(int(headers.get("content-length") or 0))
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, body)


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(reader.readline(1024).partition(b";")[0], 16):
        yield reader.read(size)
        reader.readline(1024)
    while reader.readline(65536) not in (b"\r\n", b"\n", b""):
        continue


def to_bytes(answer: Answer, request: Request) -> tuple[bytes, str]:
    """The body and its media type; YAML for those who want nothing else."""
    if isinstance(answer.body, bytes):
        return answer.body, answer.media_type
    if isinstance(answer.body, str):
        return answer.body.encode(), answer.media_type
    if request.accept.startswith("application/yaml"):
        text: str = yaml.dump(answer.body, Dumper=_Dumper, sort_keys=True, default_flow_style=False)
        return text.encode(), "application/yaml"
    text = json.dumps(answer.body, separators=(",", ":"), ensure_ascii=False)
    return text.encode(), answer.media_type


def encode(answer: Answer, request: Request) -> bytes:
    """The whole response."""
    body, media_type = to_bytes(answer, request)
    head = [
        f"HTTP/1.1 {answer.code} {REASONS.get(answer.code, '')}\r\n{SERVER}",
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n",
    ]
    head += [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
    for warning in answer.warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        head.append(f'Warning: 299 - "{quoted}"\r\n')
    return "".join(head).encode("latin-1", "replace") + b"\r\n" + body


def _is_gone(connection: socket.socket) -> bool:
    """Whether the client hung up; one that only listens is told apart by a look at the socket."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def send_stream(connection: socket.socket, events: Iterator[Json | None]) -> None:
    """A watch: one JSON document a chunk, until the server ends it."""
    connection.sendall(
        f"HTTP/1.1 200 OK\r\n{SERVER}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    for event in events:
        if event is None:
            if _is_gone(connection):
                return
        else:
            line = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            connection.sendall(f"{len(line):x}\r\n".encode() + line + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
