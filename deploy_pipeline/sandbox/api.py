"""The API as a function: a request in, an answer or a stream of watch events out.

Knows the paths of the API server and which part of the sandbox answers each; it knows nothing of HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from deploy_pipeline.sandbox import discovery, protobuf, reading, reviews, scale
from deploy_pipeline.sandbox.body import read_object
from deploy_pipeline.sandbox.deletes import DeleteOptions, Deleter
from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request, method_not_allowed, no_resource
from deploy_pipeline.sandbox.kinds import Kinds, Resource
from deploy_pipeline.sandbox.openapi import Documents
from deploy_pipeline.sandbox.protobuf import MEDIA_TYPE
from deploy_pipeline.sandbox.request import Answer, Request, Target
from deploy_pipeline.sandbox.store import Event, Store
from deploy_pipeline.sandbox.writes import Writer

NOT_FOUND = Answer(404, "404 page not found\n", media_type="text/plain; charset=utf-8")
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
Stream = Iterator[Json | None]


class Api:
    """Everything under one server address."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self.store, self.kinds = store, kinds
        self.writer = Writer(store, kinds)
        self.deleter = Deleter(self.writer)
        self.documents = Documents(kinds)
        self.stopping = threading.Event()
        store.listeners.append(self._define)

    def _define(self, event: Event) -> None:
        """A CustomResourceDefinition changes what is served, at once."""
        if event.resource != DEFINITIONS:
            return
        if event.type == "DELETED":
            self.kinds.forget(event.object["metadata"]["name"])
        else:
            spec = event.object["spec"]
            self.store.begin_history(f"{spec['names']['plural']}.{spec['group']}")
            self.kinds.define(event.object)

    def handle(self, request: Request) -> Answer | Stream:
        """Answer a request; refusals are answers, too."""
        try:
            return self._route(request)
        except ApiError as error:
            return Answer(error.code, error.body)

    def _route(self, request: Request) -> Answer | Stream:
        parts = [part for part in request.path.split("/") if part]
        root = parts[0] if parts else ""
        if root == "api" and len(parts) > 2:
            return self._resource(request, "", parts[1], parts[2:])
        if root == "apis" and len(parts) > 3:
            return self._resource(request, parts[1], parts[2], parts[3:])
        if request.method != "GET":
            return NOT_FOUND
        if root in ("healthz", "readyz", "livez"):
            return Answer(200, "ok", media_type="text/plain; charset=utf-8")
        if root == "version":
            return Answer(200, dict(discovery.VERSION))
        if parts[:2] == ["openapi", "v3"]:
            return self._openapi("/".join(parts[2:]), request)
        return self._discovery(request, parts)

    def _openapi(self, path: str, request: Request) -> Answer:
        if not path:
            return Answer(200, self.documents.index(), media_type="text/plain; charset=utf-8")
        found = self.documents.document(path)
        if found is None:
            return NOT_FOUND
        forever = {"Cache-Control": "public, immutable", "Expires": "Thu, 31 Dec 2099 00:00:00 GMT"}
        return Answer(200, found, headers=forever if "hash" in request.query else {})

    def _discovery(self, request: Request, parts: list[str]) -> Answer:
        groups = self.kinds.groups()
        if parts in (["api"], ["apis"]):
            core = parts == ["api"]
            if discovery.wants_aggregated(request.accept):
                found = discovery.aggregated(self.kinds, core=core)
                return Answer(200, found, media_type=discovery.AGGREGATED)
            return Answer(200, discovery.api_versions() if core else discovery.group_list(self.kinds))
        if parts[:1] == ["api"] and len(parts) == 2:
            parts = ["apis", "", parts[1]]
        if parts[:1] != ["apis"] or parts[1] not in groups:
            return NOT_FOUND
        if len(parts) == 2:
            head = {"kind": "APIGroup", "apiVersion": "v1"}
            return Answer(200, {**head, **discovery.group(parts[1], groups[parts[1]])})
        resources = self.kinds.at(parts[1], parts[2])
        if not resources:
            raise no_resource()
        return Answer(200, discovery.resource_list(parts[1], parts[2], resources))

    def _resource(self, request: Request, group: str, version: str, rest: list[str]) -> Answer | Stream:
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource = self.kinds.find(group, version, rest[0])
        if resource is None:
            if group not in self.kinds.groups():
                return NOT_FOUND
            raise no_resource()
        name, subresource = [*rest[1:3], "", ""][:2]
        misplaced = bool(namespace) > resource.namespaced or (name and resource.namespaced and not namespace)
        if misplaced or (subresource and subresource not in resource.subresources):
            raise no_resource()
        target = Target(resource, namespace, name, subresource)
        if subresource == "eviction" and request.method == "POST":
            return self._evict(target)
        if reviews.is_review(resource, subresource):
            return self._review(request, target)
        return self._named(request, target) if name else self._collection(request, target)

    # Collections

    def _collection(self, request: Request, target: Target) -> Answer | Stream:
        resource, method = target.resource, request.method
        if method == "GET":
            if request.flag("watch"):
                return self._watch(request, target)
            found = reading.listing(self.store, resource, target.namespace, request)
            return Answer(200, reading.present(resource, found, request))
        if method == "POST" and (target.namespace or not resource.namespaced):
            options = request.options("CreateOptions")
            body, complaints = self._body(request, resource)
            with self.store.lock:
                value, warnings = self.writer.create(target, body, options, complaints)
            return Answer(201, reading.present(resource, value, request), warnings)
        if method == "DELETE" and "deletecollection" in resource.verbs:
            return self._delete_collection(request, target)
        raise method_not_allowed()

    def _watch(self, request: Request, target: Target) -> Stream:
        events = reading.watch(self.store, target.resource, target.namespace, request, self.stopping)
        first = next(events, None)  # a refusal has to come before the stream begins

        def stream() -> Stream:
            yield first
            yield from events

        return stream()

    def _delete_collection(self, request: Request, target: Target) -> Answer:
        options = DeleteOptions.of(request, self._optional_body(request))
        with self.store.lock:
            found = reading.listing(self.store, target.resource, target.namespace, request)
            self.deleter.collection(target.resource, found["items"], options)
        return Answer(200, found)

    # One object

    def _named(self, request: Request, target: Target) -> Answer | Stream:
        resource, method = target.resource, request.method
        if target.subresource == "scale":
            return self._scale(request, target)
        if target.subresource == "log":
            self.writer.live(target)
            text = "the sandbox simulates pods: they write no logs\n"
            return Answer(200, text, media_type="text/plain")
        if target.subresource not in ("", "status", "finalize"):
            raise method_not_allowed()
        if method == "GET":
            return Answer(200, reading.present(resource, self.writer.live(target), request))
        if method == "PUT":
            return self._put(request, target)
        if method == "PATCH":
            with self.store.lock:
                code, value, warnings = self.writer.patch(target, request)
            return Answer(code, reading.present(resource, value, request), warnings)
        if method == "DELETE" and not target.subresource:
            options = DeleteOptions.of(request, self._optional_body(request))
            with self.store.lock:
                value, warnings = self.deleter.delete(target, options)
            return Answer(200, value, warnings)
        raise method_not_allowed()

    def _put(self, request: Request, target: Target) -> Answer:
        options = request.options("UpdateOptions")
        body, complaints = self._body(request, target.resource)
        with self.store.lock:
            if target.subresource == "finalize":
                return Answer(200, self._finalize(target, body))
            value, warnings = self.writer.replace(target, body, options, complaints)
        return Answer(200, reading.present(target.resource, value, request), warnings)

    def _finalize(self, target: Target, body: Json) -> Json:
        live = self.writer.live(target)
        finalizers = body.get("spec", {}).get("finalizers", [])
        changed = {**live, "spec": {"finalizers": finalizers} if finalizers else {}}
        if finalizers or "deletionTimestamp" not in live["metadata"]:
            return self.store.put(target.resource.key, changed)
        self.store.delete(target.resource.key, live)
        return changed

    def _scale(self, request: Request, target: Target) -> Answer:
        if request.method == "GET":
            return Answer(200, scale.of(self.writer.live(target), target.resource))
        if request.method not in ("PUT", "PATCH"):
            raise method_not_allowed()
        with self.store.lock:
            return Answer(200, scale.change(self.writer, target, request))

    def _evict(self, target: Target) -> Answer:
        """Deletes the pod: nothing is disrupted by that here."""
        options = DeleteOptions(policy="", uid="", version="", dry_run=False)
        with self.store.lock:
            self.deleter.delete(target, options)
        return Answer(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})

    def _review(self, request: Request, target: Target) -> Answer:
        if request.method != "POST":
            raise method_not_allowed()
        body, _ = self._body(request, target.resource)
        return Answer(201, reviews.answer(target, body, self.kinds))

    # Bodies

    def _body(self, request: Request, resource: Resource) -> tuple[Json, list[str]]:
        if request.content_type == MEDIA_TYPE:
            try:
                return protobuf.decode(request.body, self.kinds.definitions.messages), []
            except (ValueError, LookupError) as error:
                raise bad_request(f"error decoding protobuf: {error}") from error
        value, complaints = read_object(request.body, request.content_type)
        if not value.get("kind"):
            value = {"apiVersion": resource.group_version, "kind": resource.kind, **value}
        return value, complaints

    def _optional_body(self, request: Request) -> Json:
        if not request.body:
            return {}
        if request.content_type == MEDIA_TYPE:
            return protobuf.decode(request.body, self.kinds.definitions.messages)
        value: Any = read_object(request.body, request.content_type)[0]
        return dict(value)
