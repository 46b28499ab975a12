"""The form in which objects are shown: as they are, as metadata only, or as the Table that `kubectl get` asks for.

"Receiving resources as Tables" in the API concepts. The columns of built-in kinds are in `data/columns.yaml`; custom
kinds bring their own (`additionalPrinterColumns`).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.objects.selectors import at_path
from deploy_pipeline.sandbox.request import Request
from deploy_pipeline.sandbox.schema import data

META_V1 = "meta.k8s.io/v1"
NONE = "<none>"
COLUMNS: dict[str, dict[str, str]] = data("columns")
Cell = Callable[[Json], Any]


def present(resource: Resource, value: Json, request: Request) -> Json:
    """An object or list in the form the client asked for."""
    form = _wanted_form(request.accept) if "as=" in request.accept else ""
    if not form:
        return value
    items = value.get("items") if value.get("kind") == resource.list_kind else None
    if form == "Table":
        return _table(resource, value, items, request.query.get("includeObject", "Metadata"))
    if items is None:
        return _metadata_only(value)
    head = {"kind": "PartialObjectMetadataList", "apiVersion": META_V1, "metadata": value["metadata"]}
    return {**head, "items": [_metadata_only(item) for item in items]}


def _wanted_form(accept: str) -> str:
    """`Table`, `PartialObjectMetadata` or nothing: the first form of `Accept` that is served."""
    for choice in accept.split(","):
        media, *parameters = [part.strip() for part in choice.split(";")]
        given = dict(part.partition("=")[::2] for part in parameters)
        form = given.get("as", "")
        if media == "application/json" and given.get("g", "meta.k8s.io") == "meta.k8s.io":
            if form in ("", "Table") or form.startswith("PartialObjectMetadata"):
                return form.removesuffix("List")
        elif media == "*/*":
            return ""
    return ""


def _metadata_only(value: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": META_V1, "metadata": value["metadata"]}


def _table(resource: Resource, value: Json, items: list[Json] | None, include: str) -> Json:
    """A Table of one object or of a list."""
    columns = [("Name", "string", 0, _cell("metadata.name")), *_columns(resource)]
    head = [
        {"name": name, "type": kind, "format": "name" * (name == "Name"), "description": "", "priority": priority}
        for name, kind, priority, _ in columns
    ]
    rows = []
    for item in [value] if items is None else items:
        whole = {"kind": resource.kind, "apiVersion": resource.group_version, **item}
        shown = {"Object": whole, "None": None}.get(include, _metadata_only(whole))
        rows.append({"cells": [cell(whole) for _, _, _, cell in columns], "object": shown})
    metadata = value["metadata"] if items is not None else {"resourceVersion": value["metadata"]["resourceVersion"]}
    table = {"kind": "Table", "apiVersion": META_V1, "metadata": metadata}
    return {**table, "columnDefinitions": head, "rows": rows}


def _columns(resource: Resource) -> list[tuple[str, str, int, Cell]]:
    """Name, type, priority and cell of each column but the name."""
    if printed := resource.custom.get("additionalPrinterColumns"):
        return [(c["name"], c["type"], c.get("priority", 0), _custom_cell(c)) for c in printed]
    columns, builtin = [], {} if resource.custom else COLUMNS
    for title, cell in builtin.get(resource.kind, {"Age": "age"}).items():
        name, _, more = title.partition(":")
        kind = more if more not in ("", "wide") else "string"
        columns.append((name, kind, int(more == "wide"), _cell(cell)))
    return columns


def _cell(text: str) -> Cell:
    name, *arguments = text.split(" ")
    if name in CELLS:
        return lambda value: CELLS[name](value, *arguments)
    path, there, otherwise = text.partition("|")
    default: Any = {"0": 0, "false": False}.get(otherwise, otherwise) if there else NONE
    return lambda value: default if (found := at_path(value, path)) is None else found


def _custom_cell(column: Json) -> Cell:
    """The simple paths printer columns use: names, indexes and `[?(@.key=="value")]`."""
    step = re.compile(r"([\w-]+)|\[\?\(@\.(\w+)\s*==\s*[\"']([^\"']*)[\"']\)\]|\[(\d+)\]")

    def cell(value: Any) -> Any:
        for name, key, wanted, index in step.findall(column["jsonPath"].lstrip(".")):
            if name:
                value = value.get(name) if isinstance(value, dict) else None
            elif key:
                value = next((item for item in value or () if str(item.get(key)) == wanted), None)
            else:
                value = value[int(index)] if value and len(value) > int(index) else None
        return _age({"at": value}, "at") if column["type"] == "date" and value else value

    return cell


# Cells of built-in kinds


def _age(value: Json, path: str = "metadata.creationTimestamp", otherwise: str = "<unknown>") -> str:
    """How long ago, as kubectl shortens it."""
    text = at_path(value, path)
    if not text:
        return otherwise
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    seconds = max(0, int((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    if seconds < 120:
        return f"{seconds}s"
    if hours < 3:
        return f"{minutes}m" + (f"{seconds % 60}s" if minutes < 10 and seconds % 60 else "")
    if hours < 8:
        return f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def _labels(value: Json, path: str) -> str:
    found = at_path(value, path) or {}
    labels = found.get("matchLabels", found)
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items()) if isinstance(v, str)) or NONE


def _each(value: Json, path: str, key: str, otherwise: str = "") -> str:
    return ",".join(item.get(key, otherwise) for item in at_path(value, path) or ()) or otherwise


def _external(value: Json) -> str:
    spec = value["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", NONE))
    found = [
        entry.get("ip") or entry.get("hostname", "") for entry in at_path(value, "status.loadBalancer.ingress") or ()
    ]
    return ",".join([*found, *spec.get("externalIPs", ())]) or ("<pending>" if spec["type"] == "LoadBalancer" else NONE)


def _ports(value: Json) -> str:
    found = []
    for port in value["spec"].get("ports", ()):
        number = [port["port"], port["nodePort"]] if "nodePort" in port else [port["port"]]
        found.append(":".join(map(str, number)) + f"/{port['protocol']}")
    return ",".join(found) or NONE


def _pod_status(value: Json) -> str:
    if "deletionTimestamp" in value["metadata"]:
        return "Terminating"
    for state in value["status"].get("containerStatuses", ()):
        if reason := at_path(state, "state.waiting.reason"):
            return str(reason)
    phase = str(value["status"].get("phase", "Unknown"))
    return "Completed" if phase == "Succeeded" else phase


def _pod_ready(value: Json) -> str:
    states = value["status"].get("containerStatuses", ())
    return f"{sum(bool(s.get('ready')) for s in states)}/{len(value['spec'].get('containers', ()))}"


CELLS: dict[str, Callable[..., Any]] = {
    "age": _age,
    "count": lambda value, *paths: sum(len(at_path(value, path) or ()) for path in paths),
    "each": _each,
    "external": _external,
    "labels": _labels,
    "pod_ready": _pod_ready,
    "pod_status": _pod_status,
    "ports": _ports,
    "ratio": lambda value, ready, wanted: f"{at_path(value, ready) or 0}/{at_path(value, wanted) or 0}",
    "reference": lambda value, path: "{kind}/{name}".format(**at_path(value, path)),
    "text": lambda value, path, otherwise="": str(found) if (found := at_path(value, path)) is not None else otherwise,
}
