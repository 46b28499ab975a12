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
# The API server registers the group of each definition by itself.
_REGISTERED = "kube-aggregator.kubernetes.io/automanaged"
# Helm's own records of its releases.
_MANAGED_BY = "app.kubernetes.io/managed-by"
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
# What the server makes up for a new object: nobody can say it before.
_MADE_UP = {
    "Service": r"spec\.clusterIP|spec\.clusterIPs\[\d+\]|spec\.ports\[.+\]\.nodePort",
    "Job": r'spec\.(selector|template\.metadata\.labels)\b.*controller-uid("\])?',
}
_CHOSEN = '"<chosen by the server>"'
_EMPTY = frozenset(("{}", "[]", '""', "0", "false"))
# What kubectl notes of an object, which may be a Secret.
_LAST_APPLIED = 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]'
_MASKED = re.compile(r'"<masked [0-9a-f]{12}>"')


def is_of_people(item: Json) -> bool:
    """Whether somebody asked for the object: neither a controller's own nor a record of Helm."""
    group, metadata = item["apiVersion"].rpartition("/")[0], item["metadata"]
    controlled = any(owner.get("controller") for owner in metadata.get("ownerReferences", ()))
    return not (
        controlled
        or (group, item["kind"], metadata["name"]) in _IN_EVERY_NAMESPACE
        or (group, item["kind"]) in _MADE_BY_CONTROLLERS
        or (item["kind"] == "APIService" and _REGISTERED in metadata.get("labels", {}))
        or item.get("type") == _HELM_RECORD
        or _HOOK in metadata.get("annotations", {})
    )


def is_nobodys_choice(kind: str, path: str) -> bool:
    """Whether the server or a controller chooses the field for each object."""
    return _is(path, _MADE_UP.get(kind)) or _is(path, _BY_CONTROLLERS.get(kind))


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
    by_helm = any(app.driver == "helm" and not app.is_empty for app in (predicted.apps if predicted else ()))
    return [*faults, *_touched(before, after, happened, by_helm=by_helm), *_unnamed_hooks(predicted, before, after)]


def _happened(key: Key, before: Dump, after: Dump) -> Difference | None:
    """What happened to an object, without what controllers added to it."""
    found = difference(before.get(key), after.get(key))
    if found is None or found.operation == "prune":
        return found
    fields = {path: change for path, change in found.fields.items() if not _is(path, _BY_CONTROLLERS.get(key.kind))}
    return Difference(found.operation, fields) if fields or found.operation == "recreate" else None


def _object_faults(key: Key, shown: ObjectChange, happened: Difference, *, tried: bool) -> Iterator[str]:
    if shown.operation.value != happened.operation:
        yield f"{_name(key)}: shown was {shown.operation.value}, done was {happened.operation}"
        return
    if happened.operation == "prune":
        return
    promised = {field.path: (field.before, field.after) for field in shown.fields}
    if happened.operation == "recreate":  # what controllers had written into the old object goes with it
        promised = {path: change for path, change in promised.items() if not _is(path, _BY_CONTROLLERS.get(key.kind))}
    done = _masked(key, promised, happened.fields)
    for path in sorted(promised.keys() | done.keys()):
        if promised.get(path) != done.get(path) and not _may_differ(key, path, happened, promised, tried=tried):
            yield f"{_name(key)}: {path}: shown was {promised.get(path)}, done was {done.get(path)}"


def _may_differ(key: Key, path: str, happened: Difference, promised: Fields, *, tried: bool) -> bool:
    """Whether nobody could say this field before."""
    made_up = _is(path, _MADE_UP.get(key.kind))
    if happened.operation != "create":
        of_a_job = happened.operation == "recreate" and key.kind == "Job"
        return made_up and (of_a_job or _is_chosen(path, promised, happened.fields))
    if not tried:
        # No server could try it, as its namespace or kind was still to be made: the manifest is shown as it stands,
        # which lacks defaults, and has empty fields that the server leaves out and quantities that it writes otherwise.
        left_out = happened.fields.get(path) in (None, (None, "null"))
        quantity = ".resources." in path and path in happened.fields
        return path not in promised or quantity or (left_out and promised[path][1] in _EMPTY)
    return path not in promised and made_up


def _is_chosen(path: str, promised: Fields, done: Fields) -> bool:
    """Whether a value came where it was said that the server will choose one, instead of just the one that was said."""
    was, shown = promised.get(path, (None, None))
    return shown == _CHOSEN and path in done and done[path][0] == was and done[path][1] is not None


def _can_be_tried(key: Key, before: Dump) -> bool:
    """Whether the server knew the object's namespace and kind before the release."""
    namespace = not key.namespace or ("", "Namespace", "", key.namespace) in before
    custom = "." in key.group and not key.group.endswith(".k8s.io")
    definitions = [item["spec"] for item in before.values() if item["kind"] == "CustomResourceDefinition"]
    return namespace and (not custom or any((s["group"], s["names"]["kind"]) == key[:2] for s in definitions))


def _masked(key: Key, promised: Fields, done: Fields) -> Fields:
    """What was done, as it has to be shown: of values that are or may be secret no more than that they are others."""
    found = {}
    for path, values in done.items():
        secret = path == _LAST_APPLIED or (key.kind == "Secret" and path.startswith(("data.", "data[")))
        found[path] = _as_masks(values, promised.get(path, (None, None))) if secret else values
    return found


def _as_masks(
    values: tuple[str | None, str | None], masks: tuple[str | None, str | None]
) -> tuple[str | None, str | None]:
    """The masks, if they are masks just where there are values, and two for two values; else what cannot be equal."""
    right = all((mask is None) == (value is None) for value, mask in zip(values, masks, strict=True))
    right = right and all(mask in (None, "{}") or _MASKED.fullmatch(mask) for mask in masks)
    return masks if right and masks[0] != masks[1] else ("a mask per value", "a mask per value")


def _touched(before: Dump, after: Dump, happened: Mapping[Key, Difference], *, by_helm: bool) -> Iterator[str]:
    """Objects that nothing happened to, and yet they were written: not even their version or managers may be others.

    Where controllers keep a status, and so write, it has to do that no field has changed. The same goes for what Helm
    has made where it runs: it writes the whole chart, and may own another empty field then.
    """
    for key in sorted((before.keys() & after.keys()) - happened.keys()):
        old, new = before[key], after[key]
        again = by_helm and old["metadata"].get("labels", {}).get(_MANAGED_BY) == "Helm"
        if key.kind not in _WITH_STATUS and not again and is_of_people(old) and text(old) != text(new):
            yield f"{_name(key)}: was written although nothing changes\n  {text(old)}\n  {text(new)}"


def _unnamed_hooks(predicted: ChangeSet | None, before: Dump, after: Dump) -> Iterator[str]:
    """Hooks that ran and were not named."""
    named = {hook.rpartition(" (")[0] for app in (predicted.apps if predicted else ()) for hook in app.hooks}
    for key, item in after.items():
        ran = key not in before or before[key]["metadata"]["uid"] != item["metadata"]["uid"]
        if _HOOK in item["metadata"].get("annotations", {}) and ran and f"{key.kind} {key.name}" not in named:
            yield f"{_name(key)}: this hook ran and was not named"


def _key(change: ObjectChange) -> Key:
    return Key(change.ref.group, change.ref.kind, change.ref.namespace, change.ref.name)


def _name(key: Key) -> str:
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"


def _is(path: str, pattern: str | None) -> bool:
    return pattern is not None and re.fullmatch(pattern, path) is not None
