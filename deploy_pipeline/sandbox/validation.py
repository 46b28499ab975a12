"""What makes an object invalid: the rules authors run into most, in the server's words.

Upstream this is `pkg/apis/*/validation`. A rule here is a generator of causes; `RULES` says which
hold for a kind and `FROZEN` what may not change later. What is not listed is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from deploy_pipeline.sandbox import custom_validation
from deploy_pipeline.sandbox.errors import (
    Cause,
    Json,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
)
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.pod_validation import (
    LABEL,
    LABEL_TEXT,
    SUBDOMAIN,
    SUBDOMAIN_TEXT,
    Causes,
    labels_causes,
    not_negative,
    one_of,
    pod_causes,
    pod_spec_causes,
    port_causes,
    qualified_name_problem,
    template_causes,
)

CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
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
