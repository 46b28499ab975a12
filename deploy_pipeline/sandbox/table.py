"""Tables: what `kubectl get` asks for. Custom kinds bring their own columns (`additionalPrinterColumns`)."""

from __future__ import annotations

import re
from typing import Any

from deploy_pipeline.sandbox.columns import AGE, ALIASES, COLUMNS, NAME, Column, age
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Resource


def columns_of(resource: Resource) -> list[Column]:
    """The columns of a kind."""
    if not resource.custom:
        kind = ALIASES.get(resource.kind, resource.kind)
        return [NAME, *COLUMNS.get(kind, [AGE])]
    found = resource.custom.get("additionalPrinterColumns")
    if not found:
        return [NAME, AGE]
    return [NAME, *(_custom_column(entry) for entry in found)]


def _custom_column(entry: Json) -> Column:
    where = entry["jsonPath"].lstrip(".")

    def cell(value: Json) -> Any:
        found = _json_path(value, where)
        if entry["type"] == "date" and found:
            return age({"at": found}, "at")
        return found

    return entry["name"], entry["type"], cell, entry.get("priority", 0)


def _json_path(value: Any, where: str) -> Any:
    """The simple paths printer columns use: names, indexes and `[?(@.key=="value")]`."""
    for name, filter_key, wanted, index in re.findall(
        r"([\w-]+)|\[\?\(@\.(\w+)\s*==\s*[\"']([^\"']*)[\"']\)\]|\[(\d+)\]", where
    ):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
        elif filter_key:
            value = next((i for i in value or () if str(i.get(filter_key)) == wanted), None)
        else:
            value = value[int(index)] if value and len(value) > int(index) else None
    return value


def metadata_only(value: Json) -> Json:
    """PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]}


def render(resource: Resource, value: Json, items: list[Json] | None, include: str) -> Json:
    """A Table of one object or of a list."""
    columns = columns_of(resource)
    head = [
        {
            "name": name,
            "type": kind,
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": priority,
        }
        for name, kind, _, priority in columns
    ]
    rows = []
    for item in items if items is not None else [value]:
        whole = {"kind": resource.kind, "apiVersion": resource.group_version, **item}
        shown = {"Object": whole, "None": None}.get(include, metadata_only(whole))
        rows.append({"cells": [cell(whole) for _, _, cell, _ in columns], "object": shown})
    version = {"resourceVersion": value["metadata"]["resourceVersion"]}
    more = {k: v for k, v in value["metadata"].items() if k in ("continue", "remainingItemCount")}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {**version, **(more if items is not None else {})},
        "columnDefinitions": head,
        "rows": rows,
    }
