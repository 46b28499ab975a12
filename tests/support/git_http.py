"""Git over HTTP on loopback: ``git http-backend`` behind a server of the standard library.

Clones and pushes take the same way as with a forge, which a ``file://`` remote does not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@contextmanager
def serve_git(root: Path) -> Iterator[str]:
    """Serve the bare repositories under ``root``, readable and writable by everybody; yields the base URL."""
    handler = type("Handler", (GitHandler,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), name="git-http", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class GitHandler(BaseHTTPRequestHandler):
    """Answers git's requests; the stand-in for a forge adds its own to them."""

    root: Path
    disable_nagle_algorithm = True  # head and body are written one by one, and the client would acknowledge late

    def do_GET(self) -> None:  # noqa: D102 - named by http.server
        self._answer(b"")

    def do_POST(self) -> None:  # noqa: D102 - named by http.server
        self._answer(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent's parameter
        """Tests look at what git says, not at an access log."""

    def _answer(self, body: bytes) -> None:
        command = ["git", "http-backend"]
        environment = os.environ | self._cgi_variables(len(body))
        output = subprocess.run(command, input=body, env=environment, capture_output=True, check=True).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cgi_variables(self, length: int) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "test",
            "REMOTE_ADDR": "127.0.0.1",
        }

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return b"".join(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        """Git sends large pushes in chunks, which http.server does not decode."""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
