"""A reverse proxy in front of a cluster: writes down every request, and can refuse some, as an API server would.

The sandbox knows no accounts. Each account of a test has a gate of its own, and a kubeconfig that leads through it; so
what kubectl and helm ask is seen as well as what the deployer asks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

APPLY = "application/apply-patch+yaml"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_KEPT = ("accept", "accept-encoding", "content-type", "content-encoding", "user-agent")


@dataclass(frozen=True)
class ApiRequest:
    """A request as the API server's authorizer and its admission see it (k8s.io/apiserver, ``RequestInfo``)."""

    verb: str
    path: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    dry_run: bool = False
    applies: bool = False
    selector: str = ""
    status: int = 0

    @property
    def writes(self) -> bool:
        """Whether it is one that admission is asked about."""
        return bool(self.resource) and self.verb not in ("get", "list", "watch")

    def __str__(self) -> str:
        tried = " (dry run)" if self.dry_run else ""
        return f"{self.verb} {self.path}{tried}"


def api_request(method: str, target: str, body: bytes, content_type: str) -> ApiRequest:
    """What a request asks for. ``resource`` holds the subresource, too: ``pods/log``."""
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    parts = [unquote(part) for part in url.path.split("/") if part]
    group, rest = ("", parts[2:]) if parts[:1] == ["api"] else (parts[1] if len(parts) > 1 else "", parts[3:])
    if parts[:1] not in (["api"], ["apis"]) or not rest:
        return ApiRequest(method.lower(), url.path)
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 1 else ""
    resource, name, *sub = [*(rest[2:] if namespace and len(rest) > 2 else rest), ""]
    content = _content(body)
    if method == "POST":  # the name is in the body
        name, sub = str((content.get("metadata") or {}).get("name") or ""), []
    return ApiRequest(
        verb=_verb(method, name, watching=query.get("watch") in ("1", "true")),
        path=url.path,
        group=group,
        resource="/".join(filter(None, (resource, *sub))),
        namespace=namespace,
        name=name,
        dry_run="All" in (query.get("dryRun"), *(content.get("dryRun") or ())),
        applies=content_type == APPLY,
        selector=query.get("labelSelector", ""),
    )


def _verb(method: str, name: str, *, watching: bool) -> str:
    if method == "GET":
        return "watch" if watching else "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS[method]


def _content(body: bytes) -> dict[str, Any]:
    """The body; nothing for patches that are lists, and for protobuf, by which tools send Secrets and questions."""
    try:
        content = json.loads(body) if body else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@dataclass
class Gate:
    """An account's way to the cluster: what went through (``seen``), and what was turned back (``refused``).

    ``guard`` gives the reason to refuse a request, if there is one; ``loses`` says whose answers get lost.
    """

    kubeconfig: Path
    guard: Callable[[ApiRequest], str]
    loses: Callable[[ApiRequest], bool] = lambda _: False
    seen: list[ApiRequest] = field(default_factory=list)
    refused: list[ApiRequest] = field(default_factory=list)


@contextmanager
def gate(cluster: Path, kubeconfig: Path, guard: Callable[[ApiRequest], str] = lambda _: "") -> Iterator[Gate]:
    """Stand between the cluster of one kubeconfig and the other kubeconfig, which is written here."""
    config = yaml.safe_load(cluster.read_text())
    address = urlsplit(config["clusters"][0]["cluster"]["server"])
    made = Gate(kubeconfig, guard)
    server = _Server(made, str(address.hostname), int(address.port or 80))
    config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{server.server_port}"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(config))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, gate: Gate, host: str, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gate, self.host, self.port = gate, host, port

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up in the middle of watches."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._cluster = HTTPConnection(self.server.host, self.server.port)

    def finish(self) -> None:
        self._cluster.close()
        super().finish()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = api_request(self.command, self.path, body, self.headers.get("Content-Type", ""))
        if reason := self.server.gate.guard(request):
            self.server.gate.refused.append(replace(request, status=403))
            return self._refuse(request, reason)
        headers = {name: value for name, value in self.headers.items() if name.lower() in _KEPT}
        self._cluster.request(self.command, self.path, body, headers)
        answer = self._cluster.getresponse()
        self.server.gate.seen.append(replace(request, status=answer.status))
        if self.server.gate.loses(request):
            answer.read()
            self.close_connection = True
            return None
        return self._answer(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the names that http.server calls

    def _refuse(self, request: ApiRequest, reason: str) -> None:
        """As the API server words it."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": f'{request.resource} "{request.name}" is forbidden: {reason}',
            "reason": "Forbidden",
            "code": 403,
        }
        body = json.dumps(status).encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, answer: HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        if answer.getheader("Content-Length"):
            self.end_headers()
            self.wfile.write(answer.read())
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while part := answer.read1(1 << 16):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Say nothing."""
