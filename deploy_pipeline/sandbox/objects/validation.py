"""What makes an object invalid, and what may not change: the rules authors run into most, in the server's words.

One walk along the schema checks each field of a built-in kind by `data/validation.yaml`; what several fields say
together stands here, by Go type. What is not listed is accepted. Custom objects are held to their own schema
(`custom_validation`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from deploy_pipeline.sandbox.errors import Cause, Json, cause, unsupported
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.objects import custom_validation
from deploy_pipeline.sandbox.objects.selectors import at_path, matches_selector
from deploy_pipeline.sandbox.schema import Node, data
from deploy_pipeline.sandbox.typed import quantity

Causes = Iterator[Cause]
TABLE: Json = data("validation")
FORMAT_OF_NAME = {key: name for name, keys in TABLE["names"].items() for key in keys}
MEBIBYTE = 1024 * 1024


def validate(resource: Resource, value: Json, old: Json | None) -> list[Cause]:
    """Everything that is wrong with an object, and with changing `old` into it."""
    causes = list(_metadata(resource, value["metadata"]))
    if old is not None:
        # The server checks metadata in two places, and reports it twice.
        causes += list(_changed_metadata(value["metadata"], old["metadata"])) * 2
    if resource.custom:
        return causes + custom_validation.validate(value, resource.node.raw, "")
    if old is None or any(value.get(key) != old.get(key) for key in value if key not in ("metadata", "status")):
        causes += _struct(value, resource.node, "")
    return causes + (list(_frozen(resource, value, old)) if old is not None else [])


def format_problem(name: str, text: str) -> str:
    """Why a text does not have a format of the table; empty if it has."""
    form = TABLE["formats"][name]
    if len(text) > form["longest"]:
        return f"{'name part ' * (name == 'name part')}must be no more than {form['longest']} bytes"
    shown = form.get("shown", form["pattern"])
    return "" if re.fullmatch(form["pattern"], text) else str(form["text"].replace("{pattern}", shown))


def _qualified(key: str) -> str:
    """Why a label or annotation key is not allowed."""
    prefix, slash, name = key.rpartition("/")
    if slash and format_problem("subdomain", prefix):
        return "prefix part " + format_problem("subdomain", prefix)
    return format_problem("name part", name)


def _metadata(resource: Resource, metadata: Json) -> Causes:
    """Name, labels, annotations, owners and finalizers of any object."""
    if problem := format_problem(FORMAT_OF_NAME.get(resource.key, "subdomain"), metadata["name"]):
        yield cause("Invalid", "metadata.name", problem, metadata["name"])
    yield from _labels(metadata.get("labels", {}), "metadata.labels")
    for field, key in [
        *(("annotations", key) for key in metadata.get("annotations", {})),
        *(("finalizers", name) for name in metadata.get("finalizers", ())),
    ]:
        if problem := _qualified(key.lower() if field == "annotations" else key):
            yield cause("Invalid", f"metadata.{field}", problem, key)
    for owner in metadata.get("ownerReferences", ()):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = "version must not be empty" if key == "apiVersion" else "must not be empty"
                yield cause("Invalid", f"metadata.ownerReferences.{key}", text, "")


def _labels(labels: Json, path: str) -> Causes:
    for key, value in labels.items():
        if problem := _qualified(key):
            yield cause("Invalid", path, problem, key)
        if problem := format_problem("label value", value):
            yield cause("Invalid", path, problem, value)


def _changed_metadata(new: Json, old: Json) -> Causes:
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        if new.get(key) != old.get(key):
            yield cause("Invalid", f"metadata.{key}", "field is immutable", new.get(key))
    more = [name for name in new.get("finalizers", ()) if name not in old.get("finalizers", ())]
    if old.get("deletionTimestamp") and more:
        listed = ", ".join(f'"{name}"' for name in more)
        text = "no new finalizers can be added if the object is being deleted, found new finalizers []string"
        yield cause("Forbidden", "metadata.finalizers", f"{text}{{{listed}}}")


# Field by field


def _struct(value: Json, node: Node, path: str) -> Causes:
    """The fields in the order of the Go struct, then what they say together."""
    rules = TABLE["fields"].get(node.name, {})
    for key in node.order:
        rule, item, where = rules.get(key), value.get(key), f"{path}.{key}" if path else key
        if not path and key in ("metadata", "status"):
            continue
        if item in (None, "", []) or (rule == "required" and not item):
            if rule == "required" or (key in node.required and rule != "optional"):
                yield cause("Required", where, rule.get("text", "") if isinstance(rule, dict) else "")
            continue
        if rule:
            yield from _field(item, rule, where)
        yield from _value(item, node.fields[key], where)
    if node.name in TOGETHER:
        yield from TOGETHER[node.name](value, path)


def _value(value: Any, node: Node, path: str) -> Causes:
    if node.shape == "struct" and isinstance(value, dict):
        yield from _struct(value, node, path)
    elif node.shape == "list" and node.element.shape == "struct":
        for index, item in enumerate(value):
            yield from _struct(item, node.element, f"{path}[{index}]")


def _field(value: Any, rule: Any, path: str) -> Causes:
    if isinstance(rule, dict):
        if value not in rule.get("one of", [value]):
            yield unsupported(path, value, rule["one of"])
    elif isinstance(rule, list):
        low, high = rule
        if isinstance(value, int) and high is not None and not low <= value <= high:
            yield cause("Invalid", path, f"must be between {low} and {high}, inclusive", value)
        elif isinstance(value, int) and value < low:
            yield cause("Invalid", path, f"must be greater than or equal to {low}", value)
    elif rule not in ("required", "optional") and (problem := format_problem(rule, value)):
        yield cause("Invalid", path, problem, value)


# Field and field


def _unique(items: list[Json], path: str) -> Causes:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get("name", "")
        if name and name in seen:
            yield cause("Duplicate", f"{path}[{index}].name", value=name)
        seen.add(name)


def _pod_spec(spec: Json, path: str) -> Causes:
    volumes = spec.get("volumes", [])
    for index, volume in enumerate(volumes):
        if len(volume) < 2:
            yield cause("Required", f"{path}.volumes[{index}]", "must specify a volume type")
    yield from _unique(volumes, f"{path}.volumes")
    known = {volume.get("name") for volume in volumes}
    for kind in ("initContainers", "containers"):
        containers = spec.get(kind) or []
        yield from _unique(containers, f"{path}.{kind}")
        for index, container in enumerate(containers):
            for at, mount in enumerate(container.get("volumeMounts", ())):
                if mount.get("name") and mount["name"] not in known:
                    yield cause("NotFound", f"{path}.{kind}[{index}].volumeMounts[{at}].name", value=mount["name"])


def _resources(value: Json, path: str) -> Causes:
    """Requests above their limits, and negative amounts."""
    limits, requests = value.get("limits", {}), value.get("requests", {})
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantity.parse(amount) < 0:
                yield cause("Invalid", f"{path}.{kind}[{name}]", "must be greater than or equal to 0", amount)
    for name, amount in requests.items():
        if name in limits and quantity.parse(amount) > quantity.parse(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield cause("Invalid", f"{path}.requests", text, amount)


def _workload(spec: Json, path: str) -> Causes:
    """The selector and the template of a workload that keeps pods running."""
    labels, pod = spec["template"]["metadata"].get("labels", {}), spec["template"]["spec"]
    if spec.get("selector") == {}:
        yield cause("Invalid", f"{path}.selector", "empty selector is invalid for workloads", {})
    if not matches_selector(spec.get("selector"), labels):
        text = "`selector` does not match template `labels`"
        yield cause("Invalid", f"{path}.template.metadata.labels", text, labels)
    yield from _labels(labels, f"{path}.template.labels")
    if pod.get("restartPolicy") in ("Never", "OnFailure"):
        yield unsupported(f"{path}.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    strategy, deadline = spec.get("strategy", {}), spec.get("progressDeadlineSeconds")
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield cause("Forbidden", f"{path}.strategy.rollingUpdate", text)
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        yield cause("Invalid", f"{path}.progressDeadlineSeconds", "must be greater than minReadySeconds", deadline)


def _job(spec: Json, path: str) -> Causes:
    if spec["template"]["spec"].get("restartPolicy") == "Always":
        yield cause("Required", f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def _service(spec: Json, path: str) -> Causes:
    ports, kind = spec.get("ports", []), spec["type"]
    if not ports and spec.get("clusterIP") != "None" and kind != "ExternalName":
        yield cause("Required", f"{path}.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield cause("Required", f"{path}.externalName")
    for index, port in enumerate(ports if len(ports) > 1 else ()):
        if not port.get("name"):
            yield cause("Required", f"{path}.ports[{index}].name")
    yield from _unique(ports, f"{path}.ports")


def _config(value: Json, path: str) -> Causes:
    """ConfigMap and Secret: keys and size."""
    entries = [(part, key, text) for part in ("data", "binaryData") for key, text in value.get(part, {}).items()]
    for part, key, _ in entries:
        if problem := format_problem("config key", key):
            yield cause("Invalid", f"{part}[{key}]", problem, key)
    if sum(len(text) for _, _, text in entries) > MEBIBYTE:
        field = "" if value["kind"] == "ConfigMap" else "data"
        yield cause("TooLong", field, f"may not be more than {MEBIBYTE} bytes")


def _definition(value: Json, path: str) -> Causes:
    spec, path = value["spec"], "spec"
    if value["metadata"]["name"] != f"{spec['names'].get('plural')}.{spec.get('group')}":
        yield cause("Invalid", "metadata.name", 'must be spec.names.plural+"."+spec.group', value["metadata"]["name"])
    versions = spec.get("versions") or ()
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield cause("Invalid", f"{path}.versions", text, [version.get("name") for version in versions])
    for index, version in enumerate(versions):
        if not version.get("schema", {}).get("openAPIV3Schema"):
            yield cause("Required", f"{path}.versions[{index}].schema.openAPIV3Schema", "schemas are required")


TOGETHER: Mapping[str, Callable[[Json, str], Causes]] = {
    "ConfigMap": _config,
    "CustomResourceDefinition": _definition,
    "DaemonSetSpec": _workload,
    "DeploymentSpec": _workload,
    "JobSpec": _job,
    "PodSpec": _pod_spec,
    "ReplicaSetSpec": _workload,
    "ResourceRequirements": _resources,
    "Secret": _config,
    "ServiceSpec": _service,
    "StatefulSetSpec": _workload,
}


# What may not change


def _frozen(resource: Resource, value: Json, old: Json) -> Causes:
    for rule in TABLE["frozen"].get(resource.kind, ()):
        if ("when" in rule and not at_path(old, rule["when"])) or ("unless" in rule and at_path(old, rule["unless"])):
            continue
        for path in rule.get("fields") or [rule["within"]]:
            new, before = at_path(value, path), at_path(old, path)
            hidden = rule.get("except", ())
            if _without(new, hidden) == _without(before, hidden):
                continue
            if "forbidden" in rule:
                yield cause("Forbidden", path, rule["forbidden"].format(field=path))
            elif new is None:
                yield cause("Required", path)
            else:
                yield cause("Invalid", path, rule.get("text", "field is immutable"), new)
    before, new = at_path(old, "spec.clusterIP"), at_path(value, "spec.clusterIP")
    if resource.key == "services" and before and new != before and value["spec"]["type"] != "ExternalName":
        yield cause("Invalid", "spec.clusterIPs[0]", "may not change once set", value["spec"].get("clusterIPs"))


def _without(value: Any, hidden: list[str]) -> Any:
    """The value without some fields, also of the items of a list."""
    if isinstance(value, list):
        return [_without(item, hidden) for item in value]
    if not isinstance(value, dict) or not hidden:
        return value
    below = {key: [path[len(key) + 1 :] for path in hidden if path.startswith(f"{key}.")] for key in value}
    return {key: _without(item, below[key]) for key, item in value.items() if key not in hidden}
