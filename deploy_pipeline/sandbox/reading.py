"""Reading: one object, lists with selectors and pages, watches, and how an answer is presented.

"Efficient detection of changes", "Retrieving large results sets in chunks" and "Receiving resources as
Tables" in the API concepts say how these have to behave.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

from deploy_pipeline.sandbox import selectors, table
from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request, forbidden_field, internal, invalid_option
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.request import Request
from deploy_pipeline.sandbox.selectors import Predicate
from deploy_pipeline.sandbox.store import Event, Store
from deploy_pipeline.sandbox.writes import at_version

META_V1 = "meta.k8s.io/v1"
LONGEST_WATCH = 1800.0
INITIAL_END = {"k8s.io/initial-events-end": "true"}


def predicate(resource: Resource, request: Request) -> Predicate | None:
    """What the selectors of a request let through; None is everything."""
    tests = []
    if text := request.query.get("labelSelector", ""):
        tests.append(selectors.labels(text))
    if text := request.query.get("fieldSelector", ""):
        paths = resource.custom.get("selectableFields", ()) if resource.custom else ()
        extra = tuple(entry["jsonPath"].lstrip(".") for entry in paths)
        tests.append(selectors.fields(text, "" if resource.custom else resource.plural, extra))
    return (lambda value: all(test(value) for test in tests)) if tests else None


def select(store: Store, resource: Resource, namespace: str, request: Request) -> list[Json]:
    """The objects a request names, in order."""
    chosen = predicate(resource, request)
    found = store.objects(resource.key, namespace)
    return [value for value in found if chosen is None or chosen(value)]


def listing(store: Store, resource: Resource, namespace: str, request: Request) -> Json:
    """A list, or one page of it."""
    revision = store.revision
    items = [at_version(v, resource) for v in select(store, resource, namespace, request)]
    metadata: Json = {"resourceVersion": str(revision)}
    if token := request.query.get("continue", ""):
        start = _read_token(token)
        items = [value for value in items if _position(value) > start]
    limit = int(request.query.get("limit") or 0)
    if 0 < limit < len(items):
        if "labelSelector" not in request.query and "fieldSelector" not in request.query:
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
        metadata["continue"] = _token(items[-1])
    if not resource.custom:
        items = [{k: v for k, v in x.items() if k not in ("apiVersion", "kind")} for x in items]
    return {
        "kind": resource.list_kind,
        "apiVersion": resource.group_version,
        "metadata": metadata,
        "items": items,
    }


def _position(value: Json) -> list[str]:
    return [value["metadata"].get("namespace", ""), value["metadata"]["name"]]


def _token(value: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(_position(value)).encode()).decode().rstrip("=")


def _read_token(token: str) -> list[str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return [str(found[0]), str(found[1])]
    except (ValueError, LookupError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


# Presentation


def wanted_form(accept: str) -> str:
    """`Table`, `PartialObjectMetadata` or nothing: the first form of `Accept` that is served."""
    for choice in accept.split(","):
        media, *parameters = [part.strip() for part in choice.split(";")]
        given = dict(part.partition("=")[::2] for part in parameters)
        if media == "application/json" and given.get("g", "meta.k8s.io") == "meta.k8s.io":
            form = given.get("as", "")
            if form in ("", "Table") or form.startswith("PartialObjectMetadata"):
                return form.removesuffix("List")
        elif media in ("application/yaml", "*/*"):
            return ""
    return ""


def present(resource: Resource, value: Json, request: Request) -> Json:
    """An object or list in the form the client asked for."""
    form = wanted_form(request.accept) if "as=" in request.accept else ""
    if not form:
        return value
    items = value.get("items") if value.get("kind") == resource.list_kind else None
    if form == "Table":
        include = request.query.get("includeObject", "Metadata")
        return table.render(resource, value, items, include)
    if items is None:
        return table.metadata_only(value)
    partial = [table.metadata_only(item) for item in items]
    kind = "PartialObjectMetadataList"
    return {"kind": kind, "apiVersion": META_V1, "metadata": value["metadata"], "items": partial}


# Watching


def watch(store: Store, resource: Resource, namespace: str, request: Request, stopping: Any) -> Iterator[Json | None]:
    """The events of a watch; None says that nothing happened for a second."""
    query = request.query
    start = _start(query, request)
    chosen = predicate(resource, request)
    deadline = time.monotonic() + float(query.get("timeoutSeconds") or LONGEST_WATCH)
    with store.lock:
        current = store.revision
        initial = select(store, resource, namespace, request) if not start else []
    yield None  # the stream has begun, even if nothing ever happens
    for value in initial:
        yield _event("ADDED", resource, value, request)
    if request.flag("sendInitialEvents") and request.flag("allowWatchBookmarks"):
        metadata = {"resourceVersion": str(current), "annotations": INITIAL_END}
        blank = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata}
        yield {"type": "BOOKMARK", "object": blank}
    position = start or current
    while not stopping.is_set():
        events = store.events(resource.key, position)
        if events is None:
            yield {"type": "ERROR", "object": _too_old(position, store.revision).body}
            return
        for event in events:
            position = event.revision
            if kind := _kind_for(event, namespace, chosen):
                yield _event(kind, resource, _seen(event, kind), request)
        left = deadline - time.monotonic()
        if left <= 0:
            return
        with store.changed:
            if not store.events(resource.key, position):
                store.changed.wait(min(left, 1.0))
        yield None


def _start(query: dict[str, str], request: Request) -> int:
    if request.flag("sendInitialEvents"):
        if query.get("resourceVersionMatch") != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise invalid_option("ListOptions", forbidden_field("resourceVersionMatch", text))
        return 0
    version = query.get("resourceVersion", "")
    if version and not version.isdigit():
        raise internal(
            f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
        )
    return int(version or 0)


def _too_old(wanted: int, current: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {wanted} ({current})")


def _kind_for(event: Event, namespace: str, chosen: Predicate | None) -> str:
    """The event's type as this watch sees it; empty if it does not concern it."""
    if namespace and event.object["metadata"].get("namespace") != namespace:
        return ""
    if chosen is None:
        return event.type
    now_in = event.type != "DELETED" and chosen(event.object)
    was_in = event.before is not None and chosen(event.before)
    return {(True, False): "ADDED", (True, True): "MODIFIED", (False, True): "DELETED"}.get((now_in, was_in), "")


def _seen(event: Event, kind: str) -> Json:
    """What left a selection is shown as it was while it was in."""
    if kind != "DELETED" or event.type == "DELETED" or event.before is None:
        return event.object
    metadata = {**event.before["metadata"], "resourceVersion": str(event.revision)}
    return {**event.before, "metadata": metadata}


def _event(kind: str, resource: Resource, value: Json, request: Request) -> Json:
    return {"type": kind, "object": present(resource, at_version(value, resource), request)}
