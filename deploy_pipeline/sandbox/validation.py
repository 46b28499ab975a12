"""What makes an object invalid: the rules authors run into most, in the server's words.

Upstream this is `pkg/apis/*/validation`. A rule here is a generator of causes; `RULES` says which
hold for a kind and `FROZEN` what may not change later. What is not listed is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from deploy_pipeline.sandbox import custom_validation, quantity
from deploy_pipeline.sandbox.errors import (
    Cause,
    Json,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    required,
    unsupported,
)
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.selectors import matches_selector

Causes = Iterator[Cause]
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
NAME_PART = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
    "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    f"validation is '{LABEL}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    f"validation is '{SUBDOMAIN}')"
)
NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{NAME_PART}')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    f"regex used for validation is '({NAME_PART})?')"
)
CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
MISMATCH = "`selector` does not match template `labels`"
NO_LABEL = ("namespaces", "services")  # their names are DNS labels
PATH_NAMES = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
MEBIBYTE = 1024 * 1024


def name_problem(resource: Resource, name: str) -> str:
    """Why a name is not allowed, empty if it is."""
    if resource.plural in PATH_NAMES and resource.group.startswith("rbac"):
        bad = next((part for part in ("/", "%") if part in name), "")
        return f"may not contain '{bad}'" if bad else ""
    label = resource.plural in NO_LABEL and not resource.group
    limit = 63 if label else 253
    if len(name) > limit:
        return f"must be no more than {limit} bytes"
    if not re.fullmatch(LABEL if label else SUBDOMAIN, name):
        return LABEL_TEXT if label else SUBDOMAIN_TEXT
    return ""


def qualified_name_problem(key: str) -> str:
    """Why a label or annotation key is not allowed."""
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(SUBDOMAIN, prefix):
        return f"prefix part {SUBDOMAIN_TEXT}"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return "" if re.fullmatch(NAME_PART, name) else NAME_PART_TEXT


def labels_causes(labels: Json, path: str) -> Causes:
    """Wrong keys and values of labels."""
    for key, value in labels.items():
        if problem := qualified_name_problem(key):
            yield invalid_value(path, key, problem)
        if len(value) > 63:
            yield invalid_value(path, value, "must be no more than 63 bytes")
        elif value and not re.fullmatch(NAME_PART, value):
            yield invalid_value(path, value, VALUE_TEXT)


def metadata_causes(resource: Resource, metadata: Json) -> Causes:
    """Name, labels, annotations and finalizers of any object."""
    if problem := name_problem(resource, metadata["name"]):
        yield invalid_value("metadata.name", metadata["name"], problem)
    yield from labels_causes(metadata.get("labels", {}), "metadata.labels")
    for key in metadata.get("annotations", {}):
        if problem := qualified_name_problem(key.lower()):
            yield invalid_value("metadata.annotations", key, problem)
    for owner in metadata.get("ownerReferences", ()):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = "version must not be empty" if key == "apiVersion" else "must not be empty"
                yield invalid_value(f"metadata.ownerReferences.{key}", "", text)
    for finalizer in metadata.get("finalizers", ()):
        if problem := qualified_name_problem(finalizer):
            yield invalid_value("metadata.finalizers", finalizer, problem)


def metadata_update_causes(new: Json, old: Json) -> Causes:
    """Metadata that may not change."""
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        if new.get(key) != old.get(key):
            yield invalid_value(f"metadata.{key}", new.get(key), "field is immutable")
    more = [name for name in new.get("finalizers", ()) if name not in old.get("finalizers", ())]
    if old.get("deletionTimestamp") and more:
        listed = ", ".join(f'"{name}"' for name in more)
        yield forbidden_field(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}",
        )


def port_causes(value: Any, path: str) -> Causes:
    """A number that is no port."""
    if isinstance(value, int) and not 1 <= value <= 65535:
        yield invalid_value(path, value, "must be between 1 and 65535, inclusive")


def not_negative(spec: Json, key: str, path: str = "spec") -> Causes:
    """A count below zero."""
    if (spec.get(key) or 0) < 0:
        yield invalid_value(f"{path}.{key}", spec[key], "must be greater than or equal to 0")


def one_of(value: Json, key: str, path: str, allowed: tuple[str, ...]) -> Causes:
    """A value outside its enumeration."""
    if value.get(key) is not None and value[key] not in allowed:
        yield unsupported(f"{path}.{key}", value[key], allowed)


def container_causes(container: Json, path: str, volumes: set[str]) -> Causes:
    """One container."""
    name = container.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch(LABEL, name) or len(name) > 63:
        yield invalid_value(f"{path}.name", name, LABEL_TEXT)
    if not container.get("image"):
        yield required(f"{path}.image")
    for index, port in enumerate(container.get("ports", ())):
        if not port.get("containerPort"):
            yield required(f"{path}.ports[{index}].containerPort")
        yield from port_causes(port.get("containerPort") or None, f"{path}.ports[{index}].containerPort")
        yield from one_of(port, "protocol", f"{path}.ports[{index}]", ("SCTP", "TCP", "UDP"))
    for index, variable in enumerate(container.get("env", ())):
        yield from env_causes(variable, f"{path}.env[{index}]")
    for index, mount in enumerate(container.get("volumeMounts", ())):
        where = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            yield required(f"{where}.name")
        elif mount["name"] not in volumes:
            yield not_found_value(f"{where}.name", mount["name"])
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")
    yield from one_of(container, "imagePullPolicy", path, ("Always", "IfNotPresent", "Never"))
    yield from resources_causes(container.get("resources", {}), f"{path}.resources")


def env_causes(variable: Json, path: str) -> Causes:
    """One environment variable."""
    name = variable.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch(r"[ -<>-~]+", name):
        yield invalid_value(f"{path}.name", name, ENV_TEXT)
    if variable.get("value") and variable.get("valueFrom"):
        yield invalid_value(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")


def resources_causes(resources: Json, path: str) -> Causes:
    """Requests above their limits, and negative amounts."""
    limits = resources.get("limits", {})
    for kind in ("limits", "requests"):
        for name, amount in resources.get(kind, {}).items():
            if quantity.parse(amount) < 0:
                where = f"{path}.{kind}[{name}]"
                yield invalid_value(where, amount, "must be greater than or equal to 0")
    for name, request in resources.get("requests", {}).items():
        if name in limits and quantity.parse(request) > quantity.parse(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid_value(f"{path}.requests", request, text)


def pod_spec_causes(spec: Json, path: str) -> Causes:
    """The containers and volumes of a pod."""
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes", ())):
        name, where = volume.get("name"), f"{path}.volumes[{index}].name"
        if not name:
            yield required(where)
        elif not re.fullmatch(LABEL, name):
            yield invalid_value(where, name, LABEL_TEXT)
        elif name in volumes:
            yield duplicate(where, name)
        if len(volume) < 2:
            yield required(f"{path}.volumes[{index}]", "must specify a volume type")
        volumes.add(name or "")
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{index}]"
            yield from container_causes(container, where, volumes)
            if container.get("name") in seen:
                yield duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
    yield from one_of(spec, "restartPolicy", path, ("Always", "Never", "OnFailure"))
    dns = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    yield from one_of(spec, "dnsPolicy", path, dns)


def pod_causes(value: Json) -> Causes:
    """Pod."""
    yield from pod_spec_causes(value["spec"], "spec")


def template_causes(value: Json) -> Causes:
    """The selector and the template of a workload that keeps pods running."""
    spec = value["spec"]
    kind = value["kind"]
    yield from not_negative(spec, "replicas")
    selector, labels = spec.get("selector"), spec["template"]["metadata"].get("labels", {})
    if selector is None:
        yield required("spec.selector")
    elif not selector:
        yield invalid_value("spec.selector", {}, f"empty selector is invalid for {kind.lower()}")
    if not matches_selector(selector, labels):
        yield invalid_value("spec.template.metadata.labels", labels, MISMATCH)
    yield from labels_causes(labels, "spec.template.labels")
    pod = spec["template"]["spec"]
    yield from pod_spec_causes(pod, "spec.template.spec")
    if pod.get("restartPolicy") in ("Never", "OnFailure"):
        yield unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    yield from not_negative(spec, "minReadySeconds")
    strategy = spec.get("strategy", {})
    yield from one_of(strategy, "type", "spec.strategy", ("Recreate", "RollingUpdate"))
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_field("spec.strategy.rollingUpdate", text)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        text = "must be greater than minReadySeconds"
        yield invalid_value("spec.progressDeadlineSeconds", deadline, text)


def job_spec_causes(spec: Json, path: str) -> Causes:
    """A job, on its own or in a CronJob."""
    for key in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"):
        yield from not_negative(spec, key, path)
    pod, where = spec["template"]["spec"], f"{path}.template.spec"
    yield from pod_spec_causes(pod, where)
    if pod.get("restartPolicy") == "Always":
        yield required(f"{where}.restartPolicy", 'valid values: "OnFailure", "Never"')


def job_causes(value: Json) -> Causes:
    """Job."""
    yield from job_spec_causes(value["spec"], "spec")


def cron_job_causes(value: Json) -> Causes:
    """CronJob."""
    schedule = value["spec"].get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    elif not schedule.startswith("@") and len(schedule.split()) != 5:
        text = f"expected exactly 5 fields, found {len(schedule.split())}: [{schedule}]"
        yield invalid_value("spec.schedule", schedule, text)
    allowed = ("Allow", "Forbid", "Replace")
    yield from one_of(value["spec"], "concurrencyPolicy", "spec", allowed)
    yield from job_spec_causes(value["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec")


def service_causes(value: Json) -> Causes:
    """Service."""
    spec = value["spec"]
    ports = spec.get("ports", ())
    kind = spec["type"]
    if not ports and spec.get("clusterIP") != "None" and kind != "ExternalName":
        yield required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name")
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name and not re.fullmatch(LABEL, name):
            yield invalid_value(f"{path}.name", name, LABEL_TEXT)
        elif name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name or "")
        yield from port_causes(port.get("port", 0), f"{path}.port")
        yield from one_of(port, "protocol", path, ("SCTP", "TCP", "UDP"))
        yield from port_causes(port.get("targetPort"), f"{path}.targetPort")
    yield from one_of(spec, "sessionAffinity", "spec", ("ClientIP", "None"))
    yield from one_of(spec, "type", "spec", ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"))


def backend_causes(backend: Json, path: str) -> Causes:
    """Where an Ingress leads to."""
    service = backend.get("service")
    if service is None and "resource" not in backend:
        yield required(path, "resource or service backend is required")
    if service is not None:
        if not service.get("name"):
            yield required(f"{path}.service.name")
        if not service.get("port"):
            yield required(f"{path}.service.port", "port name or number is required")


def ingress_causes(value: Json) -> Causes:
    """Ingress."""
    spec = value["spec"]
    if "defaultBackend" in spec:
        yield from backend_causes(spec["defaultBackend"], "spec.defaultBackend")
    if not spec.get("rules") and "defaultBackend" not in spec:
        yield invalid_value("spec", spec, "either `defaultBackend` or `rules` must be specified")
    for i, rule in enumerate(spec.get("rules", ())):
        host, where = rule.get("host", ""), f"spec.rules[{i}]"
        if host and not re.fullmatch(rf"(\*\.)?{SUBDOMAIN}", host):
            yield invalid_value(f"{where}.host", host, SUBDOMAIN_TEXT)
        for j, entry in enumerate(rule.get("http", {}).get("paths", ())):
            path = f"{where}.http.paths[{j}]"
            if entry.get("pathType") is None:
                yield required(f"{path}.pathType", "pathType must be specified")
            yield from one_of(entry, "pathType", path, ("Exact", "ImplementationSpecific", "Prefix"))
            if entry.get("pathType") in ("Exact", "Prefix") and entry.get("path", "")[:1] != "/":
                yield invalid_value(f"{path}.path", entry.get("path", ""), "must be an absolute path")
            yield from backend_causes(entry["backend"], f"{path}.backend")


def keys_causes(value: Json) -> Causes:
    """ConfigMap and Secret: keys and size."""
    size = 0
    for part in ("data", "binaryData"):
        for key, text in value.get(part, {}).items():
            if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
                yield invalid_value(f"{part}[{key}]", key, CONFIG_KEY_TEXT)
            size += len(text)
    if size > MEBIBYTE:
        where = "" if value["kind"] == "ConfigMap" else "data"
        text = f"Too long: may not be more than {MEBIBYTE} bytes"
        yield Cause("FieldValueTooLong", text, where)


def claim_causes(value: Json) -> Causes:
    """PersistentVolumeClaim."""
    spec = value["spec"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in spec["resources"].get("requests", {}):
        yield required("spec.resources[storage]")


def autoscaler_causes(value: Json) -> Causes:
    """HorizontalPodAutoscaler."""
    spec = value["spec"]
    if spec.get("maxReplicas", 0) < 1:
        text = "must be greater than or equal to 1"
        yield invalid_value("spec.maxReplicas", spec.get("maxReplicas", 0), text)
    elif spec["maxReplicas"] < spec["minReplicas"]:
        text = "must be greater than or equal to `minReplicas`"
        yield invalid_value("spec.maxReplicas", spec["maxReplicas"], text)
    for key in ("kind", "name"):
        if not spec["scaleTargetRef"].get(key):
            yield required(f"spec.scaleTargetRef.{key}")


def budget_causes(value: Json) -> Causes:
    """PodDisruptionBudget."""
    if "minAvailable" in value["spec"] and "maxUnavailable" in value["spec"]:
        text = "minAvailable and maxUnavailable cannot be both set"
        yield invalid_value("spec", value["spec"], text)


def binding_causes(value: Json) -> Causes:
    """RoleBinding and ClusterRoleBinding."""
    yield from one_of(value["roleRef"], "kind", "roleRef", ("Role", "ClusterRole"))
    if not value["roleRef"].get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(value.get("subjects", ())):
        path = f"subjects[{index}]"
        if not subject.get("name"):
            yield required(f"{path}.name")
        yield from one_of(subject, "kind", path, ("ServiceAccount", "User", "Group"))
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield required(f"{path}.namespace")


def rules_causes(value: Json) -> Causes:
    """Role and ClusterRole."""
    for index, rule in enumerate(value.get("rules") or ()):
        if not rule.get("verbs"):
            yield required(f"rules[{index}].verbs", "verbs must contain at least one value")
        if not rule.get("nonResourceURLs") and not rule.get("resources"):
            text = "resource rules must supply at least one resource"
            yield required(f"rules[{index}].resources", text)


def definition_causes(value: Json) -> Causes:
    """CustomResourceDefinition."""
    spec = value["spec"]
    names, group = spec["names"], spec.get("group", "")
    wanted = f"{names.get('plural', '')}.{group}"
    if value["metadata"]["name"] != wanted:
        text = 'must be spec.names.plural+"."+spec.group'
        yield invalid_value("metadata.name", value["metadata"]["name"], text)
    if not group:
        yield required("spec.group")
    yield from one_of(spec, "scope", "spec", ("Cluster", "Namespaced"))
    for key in ("plural", "kind"):
        if not names.get(key):
            yield required(f"spec.names.{key}")
    versions = spec.get("versions") or ()
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield invalid_value("spec.versions", [v.get("name") for v in versions], text)
    for index, version in enumerate(versions):
        if not version.get("schema", {}).get("openAPIV3Schema"):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            yield required(path, "schemas are required")


RULES: Mapping[str, Callable[[Json], Causes]] = {
    "ClusterRole": rules_causes,
    "ClusterRoleBinding": binding_causes,
    "ConfigMap": keys_causes,
    "CronJob": cron_job_causes,
    "CustomResourceDefinition": definition_causes,
    "DaemonSet": template_causes,
    "Deployment": template_causes,
    "HorizontalPodAutoscaler": autoscaler_causes,
    "Ingress": ingress_causes,
    "Job": job_causes,
    "PersistentVolumeClaim": claim_causes,
    "Pod": pod_causes,
    "PodDisruptionBudget": budget_causes,
    "ReplicaSet": template_causes,
    "Role": rules_causes,
    "RoleBinding": binding_causes,
    "Secret": keys_causes,
    "Service": service_causes,
    "StatefulSet": template_causes,
}


def validate(resource: Resource, value: Json, old: Json | None) -> list[Cause]:
    """Everything that is wrong with an object, and with changing `old` into it."""
    causes = list(metadata_causes(resource, value["metadata"]))
    if old is not None:
        # The server checks metadata in two places, and reports it twice.
        causes += list(metadata_update_causes(value["metadata"], old["metadata"])) * 2
    if resource.custom:
        return causes + custom_validation.validate(value, resource.node.raw, "")
    if resource.kind in RULES:
        causes += RULES[resource.kind](value)
    return causes
