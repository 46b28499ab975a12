"""A cluster looked at and written to by somebody who is not the deployer.

Shares no code with ``deploy_pipeline``: the promise is judged by what this client sees. It needs a kubeconfig and
nothing else, so that it looks at a real cluster just as at the sandbox.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kubernetes import client, config

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

Json = dict[str, Any]

# What lives by itself in every cluster, or is only another view of objects that are listed anyway.
_NEVER_LISTED = frozenset(("events", "leases", "componentstatuses", "nodes", "controllerrevisions"))
# Its kinds are listed by other groups, too; gone with Kubernetes 1.22.
_OLD_GROUP = "extensions"
_GONE_SECONDS = 60.0
_FOREGROUND = {"propagationPolicy": "Foreground"}


class Key(NamedTuple):
    """Names one object, whatever API version it is read in."""

    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Served:
    """A kind that the cluster lists."""

    base: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As it stands in manifests."""
        return self.base.removeprefix("/apis/").removeprefix("/api/")


class Refused(AssertionError):
    """The API server did not do what a test asked for."""


class ClusterView:
    """One connection to one cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        configuration = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
        self._client = client.ApiClient(configuration)
        self._served: tuple[Served, ...] = ()

    def send(self, method: str, path: str, body: Any = None, media: str = JSON) -> tuple[int, Json]:
        """One request: status and body."""
        headers: dict[str, str] = {"Content-Type": media, "Accept": JSON, "User-Agent": "alice"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"])
        reply = self._client.rest_client.pool_manager.request(
            method,
            self._client.configuration.host + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=60,
        )
        if "json" not in reply.headers.get("Content-Type", ""):  # a group that went a moment ago is a page not found
            return reply.status, {"message": reply.data.decode()}
        return reply.status, json.loads(reply.data or b"{}")

    def done(self, method: str, path: str, body: Any = None, media: str = JSON) -> Json:
        """One request that has to succeed: the body."""
        status, answer = self.send(method, path, body, media)
        if status >= 400:
            raise Refused(f"{method} {path}: {status} {answer.get('message')}\n{json.dumps(body)}")
        return answer

    def path(self, manifest: Mapping[str, Any]) -> str:
        """The path of the object that a manifest (or a live object) describes."""
        served = self._kind(manifest["apiVersion"], manifest["kind"])
        namespace = manifest["metadata"].get("namespace")
        middle = f"/namespaces/{namespace}" if served.namespaced else ""
        return f"{served.base}{middle}/{served.plural}/{manifest['metadata']['name']}"

    def get(self, manifest: Mapping[str, Any]) -> Json | None:
        """The live object that a manifest describes, or None."""
        status, body = self.send("GET", self.path(manifest))
        return body if status == 200 else None

    def create(self, manifest: Mapping[str, Any], manager: str) -> Json:
        """Make an object."""
        collection = self.path(manifest).rpartition("/")[0]
        return self.done("POST", f"{collection}?fieldManager={manager}", manifest)

    def delete(self, *manifests: Mapping[str, Any]) -> None:
        """Delete objects with all that hangs on them, and wait until they are gone. Gone already is fine."""
        paths = [self.path(manifest) for manifest in manifests]
        for path in paths:
            # A namespace empties itself; what others own goes first, so that nothing of it is left to see.
            options = None if path.startswith("/api/v1/namespaces/") and path.count("/") == 4 else _FOREGROUND
            status, answer = self.send("DELETE", path, options)
            if status not in (200, 202, 404):
                raise Refused(f"DELETE {path}: {status} {answer.get('message')}")
        deadline = time.monotonic() + _GONE_SECONDS
        for path in paths:
            while self.send("GET", path)[0] != 404:
                if time.monotonic() > deadline:
                    raise Refused(f"{path} does not go")
                time.sleep(0.02)

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        answer = self.done("GET", "/version")
        major, minor = (int("".join(filter(str.isdigit, answer[part]))) for part in ("major", "minor"))
        return major, minor

    def serves(self, manifest: Mapping[str, Any]) -> bool:
        """Whether the cluster knows the manifest's kind."""
        return self._find(manifest["apiVersion"], manifest["kind"]) is not None

    def dump(self, namespaces: Sequence[str] = ()) -> dict[Key, Json]:
        """Every object of every kind, whole: cluster-wide, and in these namespaces; none named are all."""
        return dict(self._listed((*self._kinds(), *self._custom_kinds()), namespaces))

    def cluster_wide(self) -> Iterator[tuple[Key, Json]]:
        """The objects without a namespace."""
        return self._listed(kind for kind in self._kinds() if not kind.namespaced)

    def may_create(self, group: str, plural: str) -> bool:
        """Whether the account may make objects of a kind that is cluster-wide."""
        asked = {"verb": "create", "group": group, "resource": plural}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.done("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        return bool(answer["status"]["allowed"])

    def _listed(self, kinds: Iterable[Served], namespaces: Sequence[str] = ()) -> Iterator[tuple[Key, Json]]:
        for served in kinds:
            middles = [f"/namespaces/{name}" for name in namespaces] if served.namespaced and namespaces else [""]
            for middle in middles:
                for item in self._items(f"{served.base}{middle}/{served.plural}"):
                    metadata = item["metadata"]
                    group = served.api_version.rpartition("/")[0]
                    key = Key(group, served.kind, metadata.get("namespace", ""), metadata["name"])
                    yield key, {"apiVersion": served.api_version, "kind": served.kind, **item}

    def _items(self, path: str) -> list[Json]:
        """The objects of a list; none where the account may not look or the definition just went."""
        status, body = self.send("GET", path)
        return list(body["items"]) if status < 400 else []

    def _kinds(self) -> tuple[Served, ...]:
        """The kinds the server has by itself, each in its preferred version; asked for once."""
        if not self._served:
            groups = self.done("GET", "/apis")["groups"]
            versions = [group["preferredVersion"]["groupVersion"] for group in groups]
            left_out = {_OLD_GROUP, *(definition["spec"]["group"] for definition in self._definitions())}
            bases = ["/api/v1", *(f"/apis/{v}" for v in versions if v.partition("/")[0] not in left_out)]
            self._served = tuple(served for base in bases for served in self._serves(base))
        return self._served

    def _serves(self, base: str) -> Iterator[Served]:
        for entry in self.done("GET", base)["resources"]:
            listed = "list" in entry["verbs"] and "/" not in entry["name"]
            if listed and entry["name"] not in _NEVER_LISTED and "metrics.k8s.io" not in base:
                yield Served(base, entry["name"], entry["kind"], entry["namespaced"])

    def _custom_kinds(self) -> Iterator[Served]:
        for definition in self._definitions():
            spec = definition["spec"]
            version = next(version["name"] for version in spec["versions"] if version["storage"])
            base = f"/apis/{spec['group']}/{version}"
            yield Served(base, spec["names"]["plural"], spec["names"]["kind"], spec["scope"] == "Namespaced")

    def _definitions(self) -> list[Json]:
        return list(self.done("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"])

    def _kind(self, api_version: str, kind: str) -> Served:
        found = self._find(api_version, kind)
        if found is None:
            raise Refused(f"the cluster serves no {kind} of {api_version}")
        return found

    def _find(self, api_version: str, kind: str) -> Served | None:
        for served in self._kinds():
            if (served.api_version, served.kind) == (api_version, kind):
                return served
        return next((s for s in self._custom_kinds() if (s.api_version, s.kind) == (api_version, kind)), None)
