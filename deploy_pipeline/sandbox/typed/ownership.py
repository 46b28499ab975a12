"""Field management: who owns which field, and what an apply may change (KEP-555).

`apply` is server-side apply, `update` what any other write does to ownership. Both follow the
Updater of sigs.k8s.io/structured-merge-diff and the chain of field managers in apimachinery's
`managedfields`: a manager is one name with one operation and subresource; an update takes the fields
it changes away from everybody else; an apply that would do so is a conflict unless forced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from deploy_pipeline.sandbox.errors import ApiError, Json
from deploy_pipeline.sandbox.schema import Node
from deploy_pipeline.sandbox.typed import fieldset
from deploy_pipeline.sandbox.typed.fieldset import Set
from deploy_pipeline.sandbox.typed.merge import Comparison, compare, merge, remove

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
    encoded: Json | None = field(default=None, compare=False)  # the fields as they were read


Managers = dict[ManagerId, Owned]


@dataclass(frozen=True)
class Write:
    """Who writes, when, to which kind; `part` of the object is what the endpoint may own (upstream: reset fields)."""

    manager: ManagerId
    version: str
    time: str
    node: Node
    part: Literal["all", "status", "all but status"]

    def mine(self, fields: Set) -> Set:
        """The fields that may be owned."""
        status = self.part == "status"
        return fields if self.part == "all" else frozenset(p for p in fields if (p[0] == "f:status") == status)


# Fields that nobody owns.
_SYSTEM = "name namespace creationTimestamp selfLink uid clusterName generation managedFields resourceVersion"
STRIPPED = {("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{n}") for n in _SYSTEM.split())}


def decode(value: Json, *, stored: bool = False) -> Managers:
    """From `metadata.managedFields` of an object; what is `stored` was encoded here, and need not be again."""
    managers: Managers = {}
    for entry in value.get("metadata", {}).get("managedFields") or ():
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        same = version if operation == "Update" else ""
        manager = ManagerId(entry.get("manager", ""), operation, entry.get("subresource", ""), same)
        fields = entry.get("fieldsV1") or {}
        encoded = fields if stored else None
        managers[manager] = Owned(frozenset(fieldset.decode(fields)), version, entry.get("time", ""), encoded)
    return managers


def sent(live: Json, new: Json) -> Managers:
    """The owners before an update: a client may rewrite them, and `[{}]` forgets them all."""
    if new["metadata"].get("managedFields") == [{}]:
        return {}
    given, known = decode(new), decode(live, stored=True)
    return given if given and given != known else known


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
            "fieldsV1": owned.encoded or fieldset.encode(owned.fields),
            "subresource": manager.subresource,
        }
        entries.append({key: value for key, value in entry.items() if value != ""})
    return sorted(entries, key=lambda e: (e["operation"], e.get("time", ""), e.get("manager", "")))


def without_managed_fields(value: Json) -> Json:
    """The object without `metadata.managedFields`."""
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k != "managedFields"}
    return {**value, "metadata": metadata}


def _without(managers: Managers, changes: Comparison, writer: ManagerId | None = None) -> Managers:
    """The managers after the writer took from the others what changed or went."""
    taken = changes.added | changes.modified | changes.removed
    return _narrowed(managers, lambda owner, fields: fields if owner == writer else fields - taken)


def _narrowed(managers: Managers, part: Callable[[ManagerId, Set], Set]) -> Managers:
    """A part of what each manager owns; those without any are left out."""
    narrow = {manager: (part(manager, owned.fields), owned) for manager, owned in managers.items()}
    return {
        manager: owned if fields == owned.fields else replace(owned, fields=fields, encoded=None)
        for manager, (fields, owned) in narrow.items()
        if fields
    }


def update(live: Json, new: Json, managers: Managers, write: Write) -> Managers:
    """Ownership after a create, replace or patch: the writer owns what it changed."""
    changes = compare(live, new, write.node)
    result = _without(managers, changes)
    if taken := write.mine(frozenset(changes.modified | changes.added)) - STRIPPED:
        before = result.get(write.manager)
        fields = taken | before.fields if before else taken
        result[write.manager] = Owned(fields, write.version, write.time)
    return result


def server_side_apply(live: Json, config: Json, write: Write, *, force: bool) -> tuple[Json, Managers]:
    """The merged object without its owners, and the new owners; 409 where other managers are in the way."""
    managers, before = decode(live, stored=True), without_managed_fields(live)
    if not managers and live["metadata"].get("uid"):  # written before anybody kept track
        unknown = ManagerId("before-first-apply", "Update", "", write.version)
        managers = update({}, before, {}, replace(write, manager=unknown))
    merged, managers, conflicts = apply(before, config, managers, write)
    if write.manager.name == KUBECTL:
        conflicts = _upgrade(conflicts, before, write.node)
    if conflicts and not force:
        raise _conflict(conflicts)
    if write.manager.name == KUBECTL and _last_applied(before):
        merged = _with_last_applied(merged, config)
    return {**merged, "metadata": dict(merged["metadata"])}, managers


def first_apply(config: Json, write: Write) -> Managers:
    """Who owns what of an object that an apply makes."""
    fields = write.mine(frozenset(fieldset.of_value(config, write.node)))
    owned = Owned(fields - STRIPPED, write.version, write.time)
    return {write.manager: owned} if owned.fields else {}


def apply(live: Json, config: Json, managers: Managers, write: Write) -> tuple[Json, Managers, Managers]:
    """Server-side apply: the merged object, its owners afterwards, and whose fields that takes away."""
    merged = merge(live, config, write.node)
    everything = write.mine(frozenset(fieldset.of_value(config, write.node)))
    before = managers.get(write.manager)
    result = {**managers, write.manager: Owned(everything, write.version)}
    if before is not None:
        merged = _prune(merged, before.fields, result.values(), write.node)
    changes = compare(live, merged, write.node)
    changed = changes.added | changes.modified
    conflicts = _narrowed(result, lambda owner, fields: fields & changed if owner != write.manager else frozenset())
    result = _without(result, changes, write.manager)
    # The time says when the object was changed, not when the same thing was applied again.
    time = write.time if any(changes) else before.time if before else ""
    result[write.manager] = Owned(everything - STRIPPED, write.version, time)
    return merged, {manager: owned for manager, owned in result.items() if owned.fields}, conflicts


def _prune(merged: Json, last: Set, owners: Iterable[Owned], node: Node) -> Json:
    """Drop what this manager applied before and nobody applies or owns now."""
    kept: Set = frozenset().union(*(owned.fields for owned in owners))
    if last <= kept:
        return merged
    gone = fieldset.with_named_fields(last, node) - fieldset.with_named_fields(kept, node)
    return remove(merged, gone, node)


def _conflict(fields: Managers) -> ApiError:
    """409 that names each manager and field."""
    by_manager = {
        str(manager): fieldset.texts(owned.fields)
        for manager, owned in sorted(fields.items(), key=lambda item: str(item[0]))
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


def _last_applied(value: Json) -> Json | None:
    """What client-side apply last applied, if the object carries it."""
    text = (value.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _with_last_applied(value: Json, config: Json) -> Json:
    """Keep the annotation of client-side apply in step with what kubectl applies server-side."""
    metadata = without_managed_fields(config)["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k != LAST_APPLIED}
    if "annotations" in metadata:
        metadata["annotations"] = annotations
    text = json.dumps({**config, "metadata": metadata}, sort_keys=True, separators=(",", ":"))
    merged = {**value["metadata"].get("annotations", {}), LAST_APPLIED: text + "\n"}
    return {**value, "metadata": {**value["metadata"], "annotations": merged}}


def _upgrade(conflicts: Managers, live: Json, node: Node) -> Managers:
    """The conflicts left when kubectl takes over what client-side apply applied and still holds."""
    config = _last_applied(live)
    if config is None:
        return conflicts
    held = frozenset(fieldset.of_value(config, node)).difference(*compare(config, live, node))
    return _narrowed(conflicts, lambda _, fields: fields - held)


def timeless(value: Json) -> dict[ManagerId, tuple[Set, str]]:
    """Who owns what, whenever it was written."""
    return {manager: (owned.fields, owned.version) for manager, owned in decode(value).items()}
