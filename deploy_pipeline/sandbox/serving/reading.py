"""Lists with selectors and pages, and watches.

"Efficient detection of changes" and "Retrieving large results sets in chunks" in the API concepts say how they behave.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator

from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request, cause, internal, invalid_option
from deploy_pipeline.sandbox.kinds import Target
from deploy_pipeline.sandbox.objects import selectors
from deploy_pipeline.sandbox.objects.selectors import Predicate
from deploy_pipeline.sandbox.objects.store import Event, Store
from deploy_pipeline.sandbox.request import Request
from deploy_pipeline.sandbox.serving.table import present

LONGEST_WATCH = 1800.0
INITIAL_END = {"k8s.io/initial-events-end": "true"}


def select(store: Store, target: Target, request: Request) -> list[Json]:
    """The objects a request names, in order."""
    chosen = selectors.of_query(target.resource, request.query)
    found = store.objects(target.resource.key, target.namespace)
    return [target.resource.at_version(value) for value in found if chosen is None or chosen(value)]


def listing(store: Store, target: Target, request: Request) -> Json:
    """A list, or one page of it."""
    resource, query = target.resource, request.query
    metadata: Json = {"resourceVersion": str(store.revision)}
    items = select(store, target, request)
    if token := query.get("continue"):
        start = _read_token(token)
        items = [value for value in items if _position(value) > start]
    limit = int(query.get("limit") or 0)
    if 0 < limit < len(items):
        if "labelSelector" not in query and "fieldSelector" not in query:
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
        position = json.dumps(_position(items[-1])).encode()
        metadata["continue"] = base64.urlsafe_b64encode(position).decode().rstrip("=")
    if not resource.custom:
        items = [{k: v for k, v in x.items() if k not in ("apiVersion", "kind")} for x in items]
    return {"kind": resource.list_kind, "apiVersion": resource.group_version, "metadata": metadata, "items": items}


def _position(value: Json) -> list[str]:
    return [value["metadata"].get("namespace", ""), value["metadata"]["name"]]


def _read_token(token: str) -> list[str]:
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    return [str(namespace), str(name)]


def watch(store: Store, target: Target, request: Request, stopping: threading.Event) -> Iterator[Json | None]:
    """The events of a watch; None says that nothing happened for a second."""
    resource, query = target.resource, request.query
    start, chosen = _start(request), selectors.of_query(resource, query)
    deadline = time.monotonic() + float(query.get("timeoutSeconds") or LONGEST_WATCH)

    def event(kind: str, value: Json) -> Json:
        return {"type": kind, "object": present(resource, resource.at_version(value), request)}

    position = start or store.revision
    initial = [] if start else select(store, target, request)
    yield None  # the stream has begun, even if nothing ever happens
    yield from (event("ADDED", value) for value in initial)
    if request.flag("sendInitialEvents") and request.flag("allowWatchBookmarks"):
        metadata = {"resourceVersion": str(position), "annotations": INITIAL_END}
        blank = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata}
        yield {"type": "BOOKMARK", "object": blank}
    while not stopping.is_set():
        happened = store.events(resource.key, position)
        if happened is None:
            gone = ApiError(410, "Expired", f"too old resource version: {position} ({store.revision})")
            yield {"type": "ERROR", "object": gone.body}
            return
        for change in happened:
            position = change.revision
            if seen := _seen(change, target.namespace, chosen):
                yield event(*seen)
        left = deadline - time.monotonic()
        if left <= 0:
            return
        with store.changed:
            if not store.events(resource.key, position):
                store.changed.wait(min(left, 1.0))
        yield None


def _start(request: Request) -> int:
    version = request.query.get("resourceVersion", "")
    if request.flag("sendInitialEvents"):
        if request.query.get("resourceVersionMatch") != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise invalid_option("ListOptions", cause("Forbidden", "resourceVersionMatch", text))
        return 0
    if version and not version.isdigit():
        why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise internal(f'resourceVersion: Invalid value: "{version}": {why}')
    return int(version or 0)


def _seen(event: Event, namespace: str, chosen: Predicate | None) -> tuple[str, Json] | None:
    """The event as this watch sees it; what left a selection is shown as it was while it was in."""
    if namespace and event.object["metadata"].get("namespace") != namespace:
        return None
    if chosen is None:
        return event.type, event.object
    now_in = event.type != "DELETED" and chosen(event.object)
    if event.before is None or not chosen(event.before):
        return ("ADDED", event.object) if now_in else None
    if now_in:
        return "MODIFIED", event.object
    if event.type == "DELETED":
        return "DELETED", event.object
    metadata = {**event.before["metadata"], "resourceVersion": str(event.revision)}
    return "DELETED", {**event.before, "metadata": metadata}
