"""The promise itself: the change set shown before is, object for object and field for field, what the release then did.

Everything that is left out is named here, with the reason. Nothing else may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from deploy_pipeline.changes import ChangeSet, ObjectChange
from tests.properties.cluster_view import Json, Key
from tests.properties.differ import Difference, Fields, difference, text

Dump = Mapping[Key, Json]

# Made anew in every namespace by controllers of the cluster, without saying so in ownerReferences.
_IN_EVERY_NAMESPACE = frozenset((("", "ConfigMap", "kube-root-ca.crt"), ("", "ServiceAccount", "default")))
# Made by controllers: endpoints of a Service, volumes of a claim.
_MADE_BY_CONTROLLERS = frozenset((("", "Endpoints"), ("", "PersistentVolume")))
# Helm's own records of its releases.
_HELM_RECORD = "helm.sh/release.v1"
# Hooks are named in the change set, not compared: what they do is theirs.
_HOOK = "helm.sh/hook"

# Objects whose status controllers write when it pleases them.
_WITH_STATUS = frozenset(
    "Deployment StatefulSet Job CronJob PodDisruptionBudget PersistentVolumeClaim Ingress Namespace "
    "CustomResourceDefinition".split()
)
# What controllers write into an object's own fields after it was applied.
_BY_CONTROLLERS = {
    "Deployment": r'metadata\.annotations\["deployment\.kubernetes\.io/revision"\]',
    "PersistentVolumeClaim": r'spec\.volumeName|metadata\.annotations\["(pv|volume)\..*"\]',
}
# What the server makes up for a new object, other ones at each try: nobody can say them before.
_MADE_UP = {
    "Service": r"spec\.clusterIP|spec\.clusterIPs\[\d+\]|spec\.ports\[.+\]\.nodePort",
    "Job": r'spec\.(selector|template\.metadata\.labels)\b.*controller-uid("\])?',
}
# A Secret without data is shown with empty data.
_EMPTY_SECRET = ("data", (None, "{}"))
_EMPTY = frozenset(("{}", "[]", '""', "0", "false"))
_MASKED = re.compile(r'"<masked [0-9a-f]{12}>"')


def is_of_people(item: Json) -> bool:
    """Whether somebody asked for the object: neither a controller's own nor a record of Helm."""
    group, metadata = item["apiVersion"].rpartition("/")[0], item["metadata"]
    controlled = any(owner.get("controller") for owner in metadata.get("ownerReferences", ()))
    return not (
        controlled
        or (group, item["kind"], metadata["name"]) in _IN_EVERY_NAMESPACE
        or (group, item["kind"]) in _MADE_BY_CONTROLLERS
        or item.get("type") == _HELM_RECORD
        or _HOOK in metadata.get("annotations", {})
    )


def broken_promises(predicted: ChangeSet | None, before: Dump, after: Dump) -> list[str]:
    """A line for each object or field that was predicted otherwise than it happened, or not at all; empty if kept.

    None promises that nothing happens. The dumps are without the deployer's own namespace.
    """
    shown = {_key(change): change for app in (predicted.apps if predicted else ()) for change in app.changed}
    happened = {
        key: found
        for key in sorted(before.keys() | after.keys())
        if is_of_people(after.get(key) or before[key]) and (found := _happened(key, before, after))
    }
    faults = [
        f"{_name(key)}: shown was {shown[key].operation.value}, nothing happened" for key in shown.keys() - happened
    ]
    faults += [
        f"{_name(key)}: {happened[key].operation} of {sorted(happened[key].fields)} happened, nothing was shown"
        for key in happened.keys() - shown
    ]
    for key in sorted(shown.keys() & happened):
        faults += _object_faults(key, shown[key], happened[key], tried=_can_be_tried(key, before))
    return [*faults, *_touched(before, after, happened), *_unnamed_hooks(predicted, before, after)]


def _happened(key: Key, before: Dump, after: Dump) -> Difference | None:
    """What happened to an object, without what controllers added to it."""
    found = difference(before.get(key), after.get(key))
    if found is None or found.operation in ("prune", "recreate"):
        return found
    fields = {path: change for path, change in found.fields.items() if not _is(path, _BY_CONTROLLERS.get(key.kind))}
    return Difference(found.operation, fields) if fields else None


def _object_faults(key: Key, shown: ObjectChange, happened: Difference, *, tried: bool) -> Iterator[str]:
    if shown.operation.value != happened.operation:
        yield f"{_name(key)}: shown was {shown.operation.value}, done was {happened.operation}"
        return
    if happened.operation == "prune":
        return
    promised = {field.path: (field.before, field.after) for field in shown.fields}
    if key.kind == "Secret" and _EMPTY_SECRET in promised.items():
        del promised["data"]
    done = _masked(key, promised, happened.fields)
    for path in sorted(promised.keys() | done.keys()):
        if promised.get(path) != done.get(path) and not _may_differ(key, path, happened, promised, tried=tried):
            yield f"{_name(key)}: {path}: shown was {promised.get(path)}, done was {done.get(path)}"


def _may_differ(key: Key, path: str, happened: Difference, promised: Fields, *, tried: bool) -> bool:
    """Whether nobody could say this field before."""
    if happened.operation == "update":
        return False
    if not tried:
        # No server could try it, as its namespace or kind was still to be made: the manifest is shown as it stands,
        # which lacks defaults, and has empty fields that the server leaves out.
        left_out = happened.fields.get(path) in (None, (None, "null"))
        return path not in promised or (left_out and promised[path][1] in _EMPTY)
    return path not in promised and _is(path, _MADE_UP.get(key.kind))


def _can_be_tried(key: Key, before: Dump) -> bool:
    """Whether the server knew the object's namespace and kind before the release."""
    namespace = not key.namespace or ("", "Namespace", "", key.namespace) in before
    custom = "." in key.group and not key.group.endswith(".k8s.io")
    definitions = [item["spec"] for item in before.values() if item["kind"] == "CustomResourceDefinition"]
    return namespace and (not custom or any((s["group"], s["names"]["kind"]) == key[:2] for s in definitions))


def _masked(key: Key, promised: Fields, done: Fields) -> Fields:
    """What was done to a Secret, as it has to be shown: no value, but another mask for another value."""
    if key.kind != "Secret":
        return done
    found = {}
    for path, values in done.items():
        is_value = path == "data" or path.startswith(("data.", "data["))
        masks = promised.get(path, (None, None))
        found[path] = _as_masks(values, masks) if is_value else values
    return found


def _as_masks(
    values: tuple[str | None, str | None], masks: tuple[str | None, str | None]
) -> tuple[str | None, str | None]:
    """The masks, if they are masks just where there are values, and two for two values; else what cannot be equal."""
    right = all((mask is None) == (value is None) for value, mask in zip(values, masks, strict=True))
    right = right and all(mask in (None, "{}") or _MASKED.fullmatch(mask) for mask in masks)
    return masks if right and masks[0] != masks[1] else ("a mask per value", "a mask per value")


def _touched(before: Dump, after: Dump, happened: Mapping[Key, Difference]) -> Iterator[str]:
    """Objects that nothing should have happened to, and yet they were written: byte for byte, version and managers."""
    for key in sorted(before.keys() & after.keys()):
        if key not in happened and is_of_people(before[key]) and _whole(before[key]) != _whole(after[key]):
            yield f"{_name(key)}: was written although nothing changes\n  {_whole(before[key])}\n  {_whole(after[key])}"


def _unnamed_hooks(predicted: ChangeSet | None, before: Dump, after: Dump) -> Iterator[str]:
    """Hooks that ran and were not named."""
    named = {hook.rpartition(" (")[0] for app in (predicted.apps if predicted else ()) for hook in app.hooks}
    for key, item in after.items():
        ran = key not in before or before[key]["metadata"]["uid"] != item["metadata"]["uid"]
        if _HOOK in item["metadata"].get("annotations", {}) and ran and f"{key.kind} {key.name}" not in named:
            yield f"{_name(key)}: this hook ran and was not named"


def _whole(item: Json) -> str:
    """All of an object; without what changes by itself where controllers keep a status."""
    if item["kind"] not in _WITH_STATUS:
        return text(item)
    moving = ("resourceVersion", "managedFields", "generation")
    metadata = {name: value for name, value in item["metadata"].items() if name not in moving}
    return text({**{name: value for name, value in item.items() if name != "status"}, "metadata": metadata})


def _key(change: ObjectChange) -> Key:
    return Key(change.ref.group, change.ref.kind, change.ref.namespace, change.ref.name)


def _name(key: Key) -> str:
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"


def _is(path: str, pattern: str | None) -> bool:
    return pattern is not None and re.fullmatch(pattern, path) is not None
