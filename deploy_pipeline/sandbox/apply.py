"""Field management: who owns which field, and what an apply may change (KEP-555).

`apply` is server-side apply, `update` what any other write does to ownership. Both follow the
Updater of sigs.k8s.io/structured-merge-diff and the chain of field managers in apimachinery's
`managedfields`: a manager is one name with one operation and subresource; an update takes the fields
it changes away from everybody else; an apply that would do so is a conflict unless forced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from deploy_pipeline.sandbox import fieldset
from deploy_pipeline.sandbox.errors import ApiError, Json
from deploy_pipeline.sandbox.fieldset import Set
from deploy_pipeline.sandbox.merge import Comparison, compare, merge, remove
from deploy_pipeline.sandbox.schema import Node

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"  # the one manager for which the annotation of client-side apply is kept up


@dataclass(frozen=True)
class ManagerId:
    """Identity of an entry; an applier stays the same one when it changes the apiVersion."""

    name: str
    operation: str
    subresource: str = ""
    version: str = ""

    def __str__(self) -> str:
        text = json.dumps(self.name)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.version}" if self.operation == "Update" else text


@dataclass(frozen=True)
class Owned:
    """The fields of one manager."""

    fields: Set
    version: str
    time: str = ""


Managers = dict[ManagerId, Owned]


@dataclass(frozen=True)
class Write:
    """Who writes, when, to which kind; `mine` keeps what the endpoint may own (its reset fields)."""

    manager: ManagerId
    version: str
    time: str
    node: Node
    mine: Callable[[Set], Set]


class ConflictError(Exception):
    """Other managers own fields that an apply changes."""

    def __init__(self, fields: Managers) -> None:
        super().__init__("conflict")
        self.fields = fields


def _stripped() -> Set:
    fields: Set = {}
    for name in ("apiVersion", "kind", "metadata"):
        fieldset.insert(fields, (f"f:{name}",))
    for name in (
        "name namespace creationTimestamp selfLink uid clusterName generation managedFields resourceVersion"
    ).split():
        fieldset.insert(fields, ("f:metadata", f"f:{name}"))
    return fields


STRIPPED = _stripped()  # system fields that nobody owns


def decode(entries: Any) -> Managers:
    """From `metadata.managedFields`; what cannot be read is nobody's."""
    managers: Managers = {}
    for entry in entries if isinstance(entries, list) else ():
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        manager = ManagerId(
            entry.get("manager", ""),
            operation,
            entry.get("subresource", ""),
            version if operation == "Update" else "",
        )
        fields = fieldset.decode(entry.get("fieldsV1") or {})
        managers[manager] = Owned(fields, version, entry.get("time", ""))
    return managers


def encode(managers: Managers) -> list[Json]:
    """To `metadata.managedFields`, ordered by operation, time and name."""
    entries = []
    for manager, owned in managers.items():
        entry: Json = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": owned.version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldset.encode(owned.fields),
            "subresource": manager.subresource,
        }
        entries.append({key: value for key, value in entry.items() if value != ""})
    return sorted(entries, key=lambda e: (e["operation"], e.get("time", ""), e.get("manager", "")))


def without_managed_fields(value: Json) -> Json:
    """The object without `metadata.managedFields`."""
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k != "managedFields"}
    return {**value, "metadata": metadata}


def _transfer(changes: Comparison, managers: Managers, writer: ManagerId, *, force: bool) -> Managers:
    """Take changed and removed fields from the other managers; without force, only removed ones."""
    changed = fieldset.union(changes.modified, changes.added)
    others = {manager: owned for manager, owned in managers.items() if manager != writer}
    conflicts = {
        manager: replace(owned, fields=shared)
        for manager, owned in others.items()
        if (shared := fieldset.intersection(owned.fields, changed))
    }
    if conflicts and not force:
        raise ConflictError(conflicts)
    gone = fieldset.union(changed, changes.removed)
    result = {}
    for manager, owned in managers.items():
        if manager == writer:
            result[manager] = owned
        elif rest := fieldset.difference(owned.fields, gone):
            result[manager] = replace(owned, fields=rest)
    return result


def update(live: Json, new: Json, managers: Managers, write: Write) -> Managers:
    """Ownership after a create, replace or patch: the writer owns what it changed."""
    changes = compare(live, new, write.node)
    result = _transfer(changes, managers, ManagerId("", ""), force=True)
    changed = write.mine(fieldset.union(changes.modified, changes.added))
    taken = fieldset.difference(changed, STRIPPED)
    if taken:
        before = result.get(write.manager, Owned({}, write.version))
        fields = fieldset.union(before.fields, taken)
        result[write.manager] = Owned(fields, write.version, write.time)
    return result


def apply(live: Json, config: Json, managers: Managers, write: Write, *, force: bool) -> tuple[Json, Managers]:
    """Server-side apply: the merged object and the new owners, or ConflictError."""
    merged = merge(live, config, write.node)
    everything = write.mine(fieldset.of_value(config, write.node))
    before = managers.get(write.manager)
    result = {**managers, write.manager: Owned(everything, write.version)}
    if before is not None:
        merged = _prune(merged, before.fields, result.values(), write.node)
    changes = compare(live, merged, write.node)
    result = _transfer(changes, result, write.manager, force=force)
    fields = fieldset.difference(everything, STRIPPED)
    if not fields:
        del result[write.manager]
        return merged, result
    # The time says when the object was changed, not when the same thing was applied again.
    time = (before.time if before else "") if changes.is_same() else write.time
    result[write.manager] = Owned(fields, write.version, time)
    return merged, result


def _prune(merged: Json, last: Set, owners: Iterable[Owned], node: Node) -> Json:
    """Drop what this manager applied before and nobody applies or owns now."""
    kept: Set = {}
    for owned in owners:
        kept = fieldset.union(kept, fieldset.with_named_fields(owned.fields, node))
    gone = fieldset.difference(fieldset.with_named_fields(last, node), kept)
    pruned: Json = remove(merged, gone, node) if gone else merged
    return pruned


def conflict_status(error: ConflictError) -> ApiError:
    """409 that names each manager and field."""
    by_manager = {
        str(manager): list(fieldset.paths(owned.fields))
        for manager, owned in sorted(error.fields.items(), key=lambda item: str(item[0]))
    }
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, found in by_manager.items()
        for path in found
    ]
    if len(causes) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = []
        for manager, found in by_manager.items():
            lines += [f"conflicts with {manager}:", *(f"- {path}" for path in found)]
        text = f"{len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def last_applied(value: Json) -> Json | None:
    """What client-side apply last applied, if the object carries it."""
    text = (value.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def with_last_applied(value: Json, config: Json) -> Json:
    """Keep the annotation of client-side apply in step with what kubectl applies server-side."""
    metadata = without_managed_fields(config)["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k != LAST_APPLIED}
    if "annotations" in metadata:
        metadata["annotations"] = annotations
    text = json.dumps({**config, "metadata": metadata}, sort_keys=True, separators=(",", ":"))
    merged = {**value["metadata"].get("annotations", {}), LAST_APPLIED: text + "\n"}
    return {**value, "metadata": {**value["metadata"], "annotations": merged}}


def upgrade_conflicts(error: ConflictError, live: Json, node: Node) -> Managers:
    """The conflicts left when kubectl takes over what client-side apply applied and still holds."""
    config = last_applied(live)
    if config is None:
        return error.fields
    changes = compare(config, live, node)
    allowed = fieldset.of_value(config, node)
    for part in changes:
        allowed = fieldset.difference(allowed, part)
    left = {}
    for manager, owned in error.fields.items():
        if rest := fieldset.difference(owned.fields, allowed):
            left[manager] = replace(owned, fields=rest)
    return left
