"""The API as a function: a request in, an answer or a stream of watch events out.

Knows the paths of the API server and which part of the sandbox answers each; it knows nothing of HTTP.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import yaml

from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request, method_not_allowed, no_resource
from deploy_pipeline.sandbox.kinds import DEFINITIONS, Kinds, Resource, Target
from deploy_pipeline.sandbox.objects.deletes import delete, delete_collection
from deploy_pipeline.sandbox.objects.store import Event, Store
from deploy_pipeline.sandbox.objects.writes import APPLY, Writer
from deploy_pipeline.sandbox.request import Answer, Options, Request
from deploy_pipeline.sandbox.serving import discovery, questions, reading
from deploy_pipeline.sandbox.serving.discovery import Documents
from deploy_pipeline.sandbox.serving.table import present
from deploy_pipeline.sandbox.typed import protobuf
from deploy_pipeline.sandbox.typed.body import read_object

TEXT = "text/plain; charset=utf-8"
YAML = "application/yaml"
NOT_FOUND = Answer(404, "404 page not found\n", media_type=TEXT)
Stream = Iterator[Json | None]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Stored objects share parts; nobody needs to see that."""
        return True


class Api:
    """Everything under one server address."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self.store, self.kinds = store, kinds
        self.writer = Writer(store, kinds)
        self.documents = Documents(kinds)
        self.stopping = threading.Event()
        store.listeners.append(self._define)

    def _define(self, event: Event) -> None:
        """A CustomResourceDefinition changes what is served, at once."""
        if event.resource == DEFINITIONS and event.type == "DELETED":
            self.kinds.forget(event.object["metadata"]["name"])
        elif event.resource == DEFINITIONS:
            self.store.begin_history(event.object["metadata"]["name"])
            self.kinds.define(event.object)

    def handle(self, request: Request) -> Answer | Stream:
        """Answer a request; refusals are answers, too."""
        try:
            answer = self._route(request)
        except ApiError as error:
            answer = Answer(error.code, error.body)
        wanted = request.accept.partition(",")[0].partition(";")[0].strip().lower()
        if isinstance(answer, Answer) and isinstance(answer.body, dict) and wanted == YAML:
            return replace(answer, body=yaml.dump(answer.body, Dumper=_Dumper, width=math.inf), media_type=YAML)
        return answer

    def _route(self, request: Request) -> Answer | Stream:
        parts = [part for part in request.path.split("/") if part]
        if parts[:1] == ["api"]:
            parts = ["apis", "", *parts[1:]]  # the core group
        if parts[:1] == ["apis"] and len(parts) > 3:
            return self._resource(request, parts[1], parts[2], parts[3:])
        if request.method != "GET":
            return NOT_FOUND
        if request.path in ("/healthz", "/readyz", "/livez"):
            return Answer(200, "ok", media_type=TEXT)
        if parts == ["version"]:
            return Answer(200, discovery.VERSION)
        if parts[:2] == ["openapi", "v3"]:
            return self.documents.answer("/".join(parts[2:]), request) or NOT_FOUND
        return discovery.answer(parts[1:], request, self.kinds) if parts[:1] == ["apis"] else NOT_FOUND

    def _resource(self, request: Request, group: str, version: str, rest: list[str]) -> Answer | Stream:
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource = self.kinds.find(group, version, rest[0])
        if resource is None and group not in self.kinds.groups():
            return NOT_FOUND
        name, subresource = [*rest[1:3], "", ""][:2]
        if (
            resource is None
            or bool(namespace) > resource.namespaced
            or (name and resource.namespaced and not namespace)
            or (subresource and subresource not in resource.subresources)
        ):
            raise no_resource()
        target = Target(resource, namespace, name, subresource)
        if questions.is_review(resource):
            body = self._body(request, resource, request.options("CreateOptions"))
            return Answer(201, questions.review(resource, body))
        if not name:
            return self._collection(request, target)
        if subresource == "scale":
            return self._scale(request, target)
        if subresource == "log":
            self.store.live(target)
            return Answer(200, "the sandbox simulates pods: they write no logs\n", media_type="text/plain")
        if subresource not in ("", "status", "finalize"):
            raise method_not_allowed()
        return self._object(request, target)

    def _collection(self, request: Request, target: Target) -> Answer | Stream:
        resource, method = target.resource, request.method
        if method == "GET" and request.flag("watch"):
            events = reading.watch(self.store, target, request, self.stopping)
            return itertools.chain([next(events, None)], events)  # a refusal has to come before the stream begins
        if method == "GET":
            return Answer(200, present(resource, reading.listing(self.store, target, request), request))
        if method == "POST" and (target.namespace or not resource.namespaced):
            options = request.options("CreateOptions")
            body = self._body(request, resource, options)
            value = self.writer.create(target, body, options)
            return Answer(201, present(resource, value, request), options.warnings)
        if method == "DELETE" and "deletecollection" in resource.verbs:
            delete_options = request.delete_options(self._optional_body(request))
            found = reading.listing(self.store, target, request)
            delete_collection(self.store, resource, found["items"], delete_options)
            return Answer(200, found)
        raise method_not_allowed()

    def _object(self, request: Request, target: Target) -> Answer:
        code, method, resource = 200, request.method, target.resource
        if method == "GET":
            return Answer(200, present(resource, self.store.live(target), request))
        if method == "DELETE" and not target.subresource:
            delete_options = request.delete_options(self._optional_body(request))
            return Answer(200, delete(self.store, target, delete_options), delete_options.warnings)
        if method not in ("PUT", "PATCH"):
            raise method_not_allowed()
        applying = method == "PATCH" and request.content_type == APPLY
        options = request.options("UpdateOptions" if method == "PUT" else "PatchOptions", applying=applying)
        if applying:
            code, value = self.writer.apply(target, request.body, options)
        elif method == "PATCH":
            value = self.writer.patch(target, request, options)
        elif target.subresource == "finalize":
            value = self._finalize(target, self._body(request, resource, options))
        else:
            value = self.writer.replace(target, self._body(request, resource, options), options)
        return Answer(code, present(resource, value, request), options.warnings)

    def _finalize(self, target: Target, body: Json) -> Json:
        """A namespace whose last finalizer is taken off goes, if it was deleted."""
        live = self.store.live(target)
        finalizers = body.get("spec", {}).get("finalizers", [])
        changed = {**live, "spec": {"finalizers": finalizers} if finalizers else {}}
        if finalizers or "deletionTimestamp" not in live["metadata"]:
            return self.store.put(target.resource.key, changed)
        self.store.delete(target.resource.key, live)
        return changed

    def _scale(self, request: Request, target: Target) -> Answer:
        if request.method == "GET":
            return Answer(200, questions.scale(self.store.live(target), target.resource))
        if request.method not in ("PUT", "PATCH"):
            raise method_not_allowed()
        return Answer(200, questions.rescale(self.writer, target, request))

    def _body(self, request: Request, resource: Resource, options: Options) -> Json:
        """The object of a write; keys that are there twice are told to the options."""
        if request.content_type == protobuf.MEDIA_TYPE:
            return self._decoded(request.body)
        value, repeated = read_object(request.body, request.content_type)
        options.unknown.extend(repeated)
        return {"apiVersion": resource.group_version, "kind": resource.kind, **value}

    def _optional_body(self, request: Request) -> Json:
        if request.content_type == protobuf.MEDIA_TYPE and request.body:
            return self._decoded(request.body)
        return read_object(request.body, request.content_type)[0] if request.body else {}

    def _decoded(self, body: bytes) -> Json:
        try:
            return protobuf.decode(body, self.kinds.definitions.messages)
        except (ValueError, LookupError) as error:
            raise bad_request(f"error decoding protobuf: {error}") from error
