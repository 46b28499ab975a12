"""The API over HTTP/1.1 on loopback: keep-alive, chunked watches.

One thread answers all requests, one after the other: they are short, and threads that wait for each other take more
time than the work does. A watch, which lives long, has a thread of its own. The head of a request is read here, as the
parser of the standard library costs more than all the rest of a small GET.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

from deploy_pipeline.sandbox.controllers.engine import Engine
from deploy_pipeline.sandbox.errors import internal, to_json
from deploy_pipeline.sandbox.request import Answer, Request
from deploy_pipeline.sandbox.serving.api import Api, Stream

REASONS = {status.value: status.phrase for status in HTTPStatus}
SERVER = "Server: deploy-pipeline-sandbox (simulated)\r\n"
LONGEST_HEAD = 65536
END_OF_HEAD = b"\r\n\r\n"


class Server:
    """Listens on 127.0.0.1 and answers until it is stopped."""

    def __init__(self, api: Api, engine: Engine, port: int) -> None:
        self.api = api
        self._engine = engine
        self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.open: set[asyncio.Transport] = set()
        self.loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="sandbox-http", daemon=True)

    def start(self) -> None:
        """Serve in background threads."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Close the listening socket and every connection."""
        with contextlib.suppress(RuntimeError):  # it is stopped already
            self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(5)

    async def _serve(self) -> None:
        self.loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await self.loop.create_server(lambda: _Connection(self), sock=self._socket)
        controllers = asyncio.create_task(self._engine.run())
        self._started.set()
        await self._stopping.wait()
        controllers.cancel()
        server.close()
        for transport in list(self.open):
            transport.abort()
        await asyncio.sleep(0)  # lets the transports close their sockets


class _Connection(asyncio.Protocol):
    """One connection: its requests, answered in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._needed = 0  # bytes; clients send the head of a request and its body one after the other
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            while len(self._received) >= self._needed and not self._transport.is_closing():
                found = read_request(self._received)
                if isinstance(found, int):
                    self._needed = found
                    return
                request, self._received = found
                self._needed = 1
                self._respond(request)
        except ValueError:  # the client does not speak HTTP
            self._transport.close()

    def _respond(self, request: Request) -> None:
        try:
            answer = self._server.api.handle(request)
        except Exception as error:  # noqa: BLE001 - one request must not end the connection of others
            answer = Answer(500, internal(f"the sandbox failed: {error!r}").body)
        if isinstance(answer, Answer):
            self._transport.write(encode(answer))
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()
        else:
            threading.Thread(target=self._stream, args=(answer,), daemon=True).start()

    def _stream(self, events: Stream) -> None:
        """A watch: one JSON document a chunk, until the server ends it or the client hangs up."""
        self._send(f"HTTP/1.1 200 OK\r\n{SERVER}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in events:
            if self._transport.is_closing():
                return
            if event is not None:
                line = to_json(event) + "\n"
                self._send(f"{len(line.encode()):x}\r\n{line}\r\n")
        self._send("0\r\n\r\n")

    def _send(self, text: str) -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped
            self._server.loop.call_soon_threadsafe(self._transport.write, text.encode())


def read_request(received: bytes) -> tuple[Request, bytes] | int:
    """The first request of what was received, and what follows it; how many bytes it has at least while incomplete.

    Raises ValueError.
    """
    head, end, rest = received.partition(END_OF_HEAD)
    if not end:
        if len(received) > LONGEST_HEAD:
            raise ValueError("the head of a request does not end")
        return len(received) + 1
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        unpacked, needed = _unchunked(rest), len(received) + 1
    else:
        length = int(headers.get("content-length") or 0)
        if length < 0:
            raise ValueError("a body has no negative length")
        unpacked = (rest[:length], rest[length:]) if len(rest) >= length else None
        needed = len(received) - len(rest) + length
    if unpacked is None:
        return needed
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, unpacked[0]), unpacked[1]


def _unchunked(rest: bytes) -> tuple[bytes, bytes] | None:
    """A body that came in chunks, and what follows it; None while it is incomplete. Trailers are not expected."""
    body = b""
    while True:
        size, end, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16) if end else 0
        if not end or len(rest) < length + 2:
            return None
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            return body, rest


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
