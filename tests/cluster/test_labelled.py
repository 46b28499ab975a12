"""Searching a cluster by label: every kind once, and an honest list of what could not be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.cluster.labelled import Labelled

Respond = Callable[[str, dict[str, str]], tuple[int, Any]]


@contextmanager
def serve(respond: Respond, folder: Path) -> Iterator[Labelled]:
    """A search of an API server that answers as ``respond(path, query)`` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            status, body = respond(url.path, dict(parse_qsl(url.query)))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
        (folder / "config").write_text(json.dumps({"current-context": "c", **config}))
        yield Labelled(Connection(folder / "config"))
        server.shutdown()


def kinds(*entries: tuple[str, str, list[str]]) -> dict[str, Any]:
    """What discovery says of a group version: plural, kind and verbs of each resource."""
    return {"resources": [{"name": name, "kind": kind, "verbs": verbs} for name, kind, verbs in entries]}


def objects(*names: str, **metadata: str) -> dict[str, Any]:
    """A list of objects, as the server sends it: its elements do not say of which kind they are."""
    return {"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]}


def group(name: str, *versions: str, preferred: str) -> dict[str, Any]:
    """A group of discovery."""
    listed = [{"groupVersion": f"{name}/{version}"} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": {"groupVersion": f"{name}/{preferred}"}}


@pytest.fixture
def answers() -> dict[str, tuple[int, Any]]:
    """A cluster of some kinds, by path."""
    groups = [
        group("apps", "v1", preferred="v1"),
        group("scaling", "v1", "v2", preferred="v2"),
        group("metrics.k8s.io", "v1", preferred="v1"),
    ]
    core = kinds(
        ("pods", "Pod", ["get", "list"]),
        ("pods/log", "Pod", ["get", "list"]),
        ("bindings", "Binding", ["create"]),
        ("events", "Event", ["list"]),
        ("endpoints", "Endpoints", ["list"]),
    )
    return {
        "/api": (200, {"versions": ["v1"]}),
        "/apis": (200, {"groups": groups}),
        "/api/v1": (200, core),
        "/apis/apps/v1": (200, kinds(("deployments", "Deployment", ["list"]))),
        "/apis/scaling/v1": (200, kinds(("scalers", "Scaler", ["list"]), ("old", "Old", ["list"]))),
        "/apis/scaling/v2": (200, kinds(("scalers", "Scaler", ["list"]))),
        "/api/v1/pods": (200, objects("a")),
        "/apis/apps/v1/deployments": (200, objects("b")),
        "/apis/scaling/v2/scalers": (200, objects("c")),
        "/apis/scaling/v1/old": (200, objects("d")),
    }


def test_every_kind_is_listed_once(answers: dict[str, tuple[int, Any]], tmp_path: Path) -> None:
    """In the preferred version where there are several; only what can be listed; discovery is asked once."""
    asked: list[str] = []

    def respond(path: str, query: dict[str, str]) -> tuple[int, Any]:
        asked.append(path)
        assert query.get("labelSelector", "x=y") == "x=y"
        return answers[path]

    with serve(respond, tmp_path) as labelled:
        found = labelled.find("x=y")
        assert {(o["apiVersion"], o["kind"], o["metadata"]["name"]) for o in found.objects} == {
            ("v1", "Pod", "a"),
            ("apps/v1", "Deployment", "b"),
            ("scaling/v2", "Scaler", "c"),
            ("scaling/v1", "Old", "d"),
        }
        assert found.unseen == ()
        assert sorted(asked) == sorted(answers)
        labelled.find("x=y")
        assert asked.count("/apis/apps/v1") == 1
        assert asked.count("/apis/apps/v1/deployments") == 2


def test_what_may_not_be_listed_is_named(answers: dict[str, tuple[int, Any]], tmp_path: Path) -> None:
    """A kind that is forbidden, one whose API is down, a group that does not say what it has; the rest is found."""
    answers["/api/v1/pods"] = (403, {"reason": "Forbidden"})
    answers["/apis/scaling/v2/scalers"] = (503, {"reason": "ServiceUnavailable"})
    answers["/apis/apps/v1"] = (403, {"reason": "Forbidden"})
    with serve(lambda path, _: answers[path], tmp_path) as labelled:
        found = labelled.find("x=y")
    assert [o["metadata"]["name"] for o in found.objects] == ["d"]
    assert set(found.unseen) == {"Pod (Forbidden)", "Scaler.scaling (no answer)", "apps/v1 (Forbidden)"}


def test_without_discovery_nothing_is_looked_at(tmp_path: Path) -> None:
    """That is said; it is not the same as that there was nothing."""
    with serve(lambda *_: (403, {"reason": "Forbidden"}), tmp_path) as labelled:
        found = labelled.find("x=y")
    assert (found.objects, found.unseen) == ((), ("any kind (Forbidden)",))


def test_long_lists_come_in_pages(answers: dict[str, tuple[int, Any]], tmp_path: Path) -> None:
    """All of them are read; a list that breaks off counts as not looked at."""
    broken = False

    def respond(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/api/v1/pods" and "continue" in query:
            return (410, {"reason": "Expired"}) if broken else (200, objects("second"))
        return (200, objects("first", **{"continue": "here"})) if path == "/api/v1/pods" else answers[path]

    with serve(respond, tmp_path) as labelled:
        assert {"first", "second"} <= {o["metadata"]["name"] for o in labelled.find("x=y").objects}
        broken = True
        assert labelled.find("x=y").unseen == ("Pod (Expired)",)
