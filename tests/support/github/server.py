"""A stand-in for GitHub on loopback: REST under ``/api/v3`` and git over HTTP on one port, as on Enterprise servers.

It is stateful (``state.py``), backed by real bare repositories, and held to GitHub's own description: whatever a client
sends or is told beyond it stands in ``violations``, which a test has to find empty.
"""

from __future__ import annotations

import hashlib
import json
import math
import socket
import struct
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tests.support.git_http import GitHandler
from tests.support.github import account_routes, delivery_routes, pull_routes, repository_routes
from tests.support.github.access import Caller, caller_of, check_access
from tests.support.github.description import Operation, answer_faults, find_operation, request_faults
from tests.support.github.errors import ApiError, not_found, primary_rate_limit
from tests.support.github.faults import Faults, GarbageError, Kind, after, before
from tests.support.github.routing import ROUTES, Answer, Call
from tests.support.github.rules import follow_branches
from tests.support.github.state import Repository, State

_API = "/api/v3"
_HANDLERS = (account_routes, delivery_routes, pull_routes, repository_routes)  # importing them fills ROUTES


@dataclass(frozen=True)
class Request:
    """One request that was answered; status 0 is a connection that was cut."""

    method: str
    path: str
    query: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Reply:
    """Status, document and headers of an answer."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class GitHubServer:
    """Serves a State from ``root``; use it as a context manager."""

    def __init__(self, root: Path) -> None:
        self.state = State(root)
        self.faults = Faults()
        self.violations: list[str] = []
        self.requests: list[Request] = []
        self.used: Counter[str] = Counter()
        self._reset = int(time.time()) + 3600
        handler = type("Handler", (_Handler,), {"root": root, "github": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="github", daemon=True)

    @property
    def url(self) -> str:
        """Where repositories lie: ``<url>/<owner>/<name>.git``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return self.url + _API

    def __enter__(self) -> GitHubServer:  # noqa: PYI034 - typing.Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -- one request -------------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        """Carry one REST request out, under the lock, and hold it and its answer to the description."""
        with self.state.lock:
            parts = urlsplit(target)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            path = self._by_name(parts.path.removeprefix(_API))
            operation = find_operation(method, path)
            if operation is None:
                self.violations.append(f"{method} {path} is not in the description")
                return Reply(404, not_found().body)
            body = json.loads(raw) if raw else None
            self._note(operation, request_faults(operation, query, body))
            reply = self._carried_out(operation, path, query, headers, body)
            self._note(operation, answer_faults(operation, reply.status, reply.body), reply)
            return reply

    def _note(self, operation: Operation, faults: list[str], reply: Reply | None = None) -> None:
        where = f"{operation.method} {operation.path}" + (f" → {reply.status}" if reply else "")
        self.violations += [f"{where}: {fault}" for fault in faults]

    def _carried_out(
        self, operation: Operation, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> Reply:
        try:
            caller = caller_of(self.state, headers.get("Authorization", ""))
            limits = self._limits(caller)
            repository = self._repository(operation)
            if repository and repository.full_name.lower() != self._asked_for(operation).lower():
                return self._moved(operation, repository, path)
            reply = self._handled(operation, query, caller, repository, body or {})
        except ApiError as error:
            return Reply(error.status, error.body, error.headers)
        tag = f'W/"{hashlib.sha256(json.dumps([reply.body, reply.headers]).encode()).hexdigest()}"'
        if operation.method == "GET" and headers.get("If-None-Match") == tag:
            return Reply(304, None, {**limits, "ETag": tag})
        self.used[caller.token] += 1
        return Reply(reply.status, reply.body, {**limits, **reply.headers, "ETag": tag})

    def _handled(
        self, operation: Operation, query: Mapping[str, str], caller: Caller, repository: Repository | None, body: Any
    ) -> Reply:
        route = ROUTES.get((operation.method, operation.path))
        if route is None:
            self.violations.append(f"{operation.method} {operation.path} is described, but not served")
            raise not_found()
        if repository:
            follow_branches(self.state, repository)
            check_access(caller, repository, route.role, route.permissions) if route.role != "none" else None
        call = Call(self.state, caller, operation.arguments, query, body, self.api_url, repository)
        answer = route.handler(call)
        return self._page(call, operation, answer) if answer.paged else Reply(answer.status, answer.body)

    def _page(self, call: Call, operation: Operation, answer: Answer) -> Reply:
        size = min(max(int(call.query.get("per_page", 30)), 1), 100)
        number, last = max(int(call.query.get("page", 1)), 1), max(math.ceil(len(answer.body) / size), 1)
        address = operation.path
        for name, value in call.arguments.items():
            address = address.replace(f"{{{name}}}", quote(value))
        if operation.path.startswith("/repos/"):  # GitHub's links lead by the number of the repository
            address = f"/repositories/{call.repository.id}/" + address.split("/", 4)[-1]
        found = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
        wanted = ("next", "last") * (number < last) + ("prev", "first") * (number > 1)
        links = [
            f'<{self.api_url}{address}?{urlencode({**call.query, "page": found[name]})}>; rel="{name}"'
            for name in wanted
        ]
        page = answer.wrap(answer.body[(number - 1) * size : number * size])
        return Reply(answer.status, page, {"Link": ", ".join(links)} if links else {})

    # -- which repository, and how much is left ----------------------------------------------------------------------

    def _by_name(self, path: str) -> str:
        """The path by owner and name, where a link led by the repository's number."""
        parts = path.split("/", 3)
        if parts[1] == "repositories" and parts[2].isdigit():
            repository = self.state.repositories.get(int(parts[2]))
            return f"/repos/{repository.full_name if repository else '-/-'}" + (f"/{parts[3]}" if parts[3:] else "")
        return path

    def _asked_for(self, operation: Operation) -> str:
        return f"{operation.arguments['owner']}/{operation.arguments['repo']}"

    def _repository(self, operation: Operation) -> Repository | None:
        if not operation.path.startswith("/repos/"):
            return None
        owner, name = operation.arguments["owner"], operation.arguments["repo"]
        found = self.state.find(owner, name) or self.state.renamed(owner, name)
        if found is None:
            raise not_found()
        return found

    def _moved(self, operation: Operation, repository: Repository, path: str) -> Reply:
        """A renamed repository: reading is redirected for good, writing for now."""
        rest = path.split("/", 4)[4:]
        location = "/".join([f"{self.api_url}/repositories/{repository.id}", *rest])
        raise ApiError(
            301 if operation.method == "GET" else 307, "Moved Permanently", headers={"Location": location}, url=location
        )

    def _limits(self, caller: Caller) -> dict[str, str]:
        left = self.state.hour_limit - self.used[caller.token]
        if left <= 0:
            raise primary_rate_limit(self.state.hour_limit, self._reset)
        return {
            "x-ratelimit-limit": str(self.state.hour_limit),
            "x-ratelimit-remaining": str(left - 1),
            "x-ratelimit-reset": str(self._reset),
        }


class _Handler(GitHandler):
    """Tells REST from git by the path."""

    protocol_version = "HTTP/1.1"
    github: GitHubServer

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        self._take(b"")

    def do_POST(self) -> None:  # noqa: N802 - named by http.server
        self._take(self._body())

    do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815 - named by http.server

    def _take(self, body: bytes) -> None:
        if self.path.startswith(_API):
            self._rest(body)
        else:
            self._git(body)

    def _rest(self, raw: bytes) -> None:
        started = time.monotonic()
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(_API)
        fault, garbage = self.github.faults.take(self.command, path), b""
        try:
            before(fault)
            if fault and fault.kind is Kind.TWICE:
                self.github.answer(self.command, self.path, cast("Mapping[str, str]", self.headers), raw)
            reply = self.github.answer(self.command, self.path, cast("Mapping[str, str]", self.headers), raw)
            after(fault)
        except ApiError as error:
            reply = Reply(error.status, error.body, error.headers)
        except GarbageError:
            reply = Reply(200, None, {"Content-Type": "text/html"})
            garbage = b"<html>Please log in.</html>"
        except ConnectionResetError:
            self._cut()
            reply = Reply(0, None)
        except Exception:  # noqa: BLE001 - a fault of the stand-in has to fail the test, not only the request
            self.github.violations.append(traceback.format_exc())
            reply = Reply(500, {"message": "fault of the stand-in"})
        seconds = time.monotonic() - started
        self.github.requests.append(Request(self.command, path, parts.query, reply.status, seconds))
        if reply.status:
            document = b"" if reply.body is None else json.dumps(reply.body).encode()
            self._send(reply.status, reply.headers, garbage or document)

    def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        """Let the peer see a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _git(self, body: bytes) -> None:
        """Git over HTTP with the same tokens; a push moves pull requests."""
        state = self.github.state
        owner, _, rest = self.path.lstrip("/").partition("/")
        name, _, rest = rest.partition("/")
        writes = "git-receive-pack" in rest
        try:
            with state.lock:
                repository = state.find(owner, name.removesuffix(".git"))
                caller = caller_of(state, self.headers.get("Authorization", ""))
                if repository is None or (not caller.token and (repository.private or writes)):
                    raise ApiError(401, "Authentication required")
                check_access(caller, repository, "write" if writes else "read", ("contents",))
        except ApiError as error:
            self._send(error.status, {"WWW-Authenticate": 'Basic realm="GitHub"'}, str(error).encode())
            return
        self.path = f"/{repository.full_name}.git/{rest}"
        self._answer(body)
        if writes:
            with state.lock:
                follow_branches(state, repository)
