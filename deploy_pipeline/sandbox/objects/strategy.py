"""What a kind makes of an object on its way into storage: allocation, status, generation.

Upstream these are the `strategy.go` files of the registry and a few admission plugins. They run after field ownership
is settled, so nobody owns what they fill in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.kinds import Resource
from deploy_pipeline.sandbox.objects.store import Store
from deploy_pipeline.sandbox.typed.convert import Conversion

NODE_PORTS = range(30000, 32768)
KEPT_OF_SERVICES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")
TOLERATIONS: list[Json] = [
    {"key": f"node.kubernetes.io/{reason}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for reason in ("not-ready", "unreachable")
]
ESTABLISHED = (
    ("NamesAccepted", "NoConflicts", "no conflicts found"),
    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
)


def prepare(resource: Resource, value: Json, old: Json | None, store: Store, *, dry_run: bool) -> Json:
    """The object as the main endpoint stores it, or would; `old` is what it replaces."""
    value = {**value, "metadata": dict(value["metadata"])}
    if "spec" in value:
        value["spec"] = dict(value["spec"])
    if resource.has_status:
        _keep_status(resource, value, old)
    if not resource.custom and resource.kind in PREPARE:
        PREPARE[resource.kind](value, old or {}, store)
    if resource.key == "services":
        _service(value["spec"], (old or {}).get("spec", {}), store, dry_run=dry_run)
    value["metadata"].pop("generation", None)
    if resource.has_generation:
        before = old["metadata"].get("generation", 1) if old else 0
        value["metadata"]["generation"] = before + (old is None or _desired_changed(resource, value, old))
    return value


def _keep_status(resource: Resource, value: Json, old: Json | None) -> None:
    value.pop("status", None)
    if old is not None and "status" in old:
        value["status"] = old["status"]
    elif old is None and not resource.custom and "status" in resource.node.fields:
        value["status"] = Conversion(resource.kind, resource.version).convert({}, resource.node.fields["status"])


def _desired_changed(resource: Resource, value: Json, old: Json) -> bool:
    """Whether the desired state differs, which is what a generation counts."""
    annotations = [x["metadata"].get("annotations", {}) for x in (value, old)]
    if resource.key == "deployments.apps" and annotations[0] != annotations[1]:
        return True
    ignored = {"metadata", "apiVersion", "status"} if resource.has_status else {"metadata", "apiVersion"}
    return any(value.get(key) != old.get(key) for key in {*value, *old} - ignored)


def _free(used: set[Any], draw: Callable[[], Any]) -> Any:
    while (candidate := draw()) in used:
        continue
    return candidate


def _service(spec: Json, before: Json, store: Store, *, dry_run: bool) -> None:
    if spec["type"] == "ExternalName":
        return
    spec |= {key: before[key] for key in KEPT_OF_SERVICES if key in before and not spec.get(key)}
    if not spec.get("clusterIP"):
        used = {service["spec"].get("clusterIP") for service in store.objects("services")}
        free = _free(used, lambda: f"10.0.{random.randrange(256)}.{random.randrange(1, 255)}")
        spec["clusterIP"] = "10.0.0.0" if dry_run else free  # no guess of what an apply will give
    spec["clusterIPs"] = spec.get("clusterIPs") or [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _node_ports(spec, before, store, dry_run=dry_run)
    elif before and before["type"] != spec["type"]:  # what only the old type had goes
        spec["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in spec.get("ports", ())]
        for key in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort"):
            spec.pop(key, None)


def _node_ports(spec: Json, before: Json, store: Store, *, dry_run: bool) -> None:
    """Ports keep the numbers that ports of their names had (an apply has kept those of their keys before)."""
    by_name = {port.get("name"): port["nodePort"] for port in before.get("ports", ()) if "nodePort" in port}
    taken = {port.get("nodePort") for port in spec.get("ports", ())} & set(by_name.values())
    used = {port.get("nodePort") for s in store.objects("services") for port in s["spec"].get("ports", ())}
    ports, new = [], list[int]()
    for port in spec.get("ports", ()):
        kept = by_name.get(port.get("name"))
        number = port.get("nodePort") or (kept if kept not in taken else None)
        if not number and dry_run:  # no guess either: the next that is new to this service
            number = max(new, default=NODE_PORTS.stop) + 1
        number = number or _free(used, lambda: random.choice(NODE_PORTS))
        used.add(number)
        new += [number] if number not in by_name.values() else []
        ports.append({**port, "nodePort": number})
    spec["ports"] = ports


def _pod(value: Json, old: Json, store: Store) -> None:
    if old:
        return
    spec = value["spec"]
    spec["serviceAccountName"] = spec["serviceAccount"] = spec.get("serviceAccountName", "default")
    present = {toleration.get("key") for toleration in spec.get("tolerations", ())}
    added = [toleration for toleration in TOLERATIONS if toleration["key"] not in present]
    spec["tolerations"] = [*spec.get("tolerations", ()), *added]
    found = store.get("priorityclasses.scheduling.k8s.io", "", spec.get("priorityClassName", "")) or {}
    spec["priority"] = found.get("value", 0)
    spec.setdefault("preemptionPolicy", found.get("preemptionPolicy", "PreemptLowerPriority"))
    value["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: Json) -> str:
    resources = [container["resources"] for container in spec.get("containers") or ()]
    if not any(r.get("limits") or r.get("requests") for r in resources):
        return "BestEffort"
    complete = all({"cpu", "memory"} <= set(r.get("limits", ())) for r in resources)
    equal = all(r.get("limits") == r.get("requests", r.get("limits")) for r in resources)
    return "Guaranteed" if complete and equal else "Burstable"


def _job(value: Json, old: Json, store: Store) -> None:
    metadata, spec = value["metadata"], value["spec"]
    if old or spec.get("manualSelector"):
        return
    identity = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    prefixed = {f"batch.kubernetes.io/{key}": text for key, text in identity.items()}
    template = spec["template"]
    labels = {**template["metadata"].get("labels", {}), **prefixed, **identity}
    spec["template"] = {**template, "metadata": {**template["metadata"], "labels": labels}}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}
    metadata["labels"] = dict(metadata.get("labels") or labels)


def _namespace(value: Json, old: Json, store: Store) -> None:
    if not old:
        value["status"] = {"phase": "Active"}
    finalizers = old["spec"].get("finalizers", []) if old else ["kubernetes"]
    value["spec"] = {**value["spec"], "finalizers": finalizers} if finalizers else {}


def _protected(finalizer: str) -> Callable[[Json, Json, Store], None]:
    def prepare_volume(value: Json, old: Json, store: Store) -> None:
        if not old:
            others = [name for name in value["metadata"].get("finalizers", ()) if name != finalizer]
            value["metadata"]["finalizers"] = [*others, finalizer]
        elif "volumeName" in old["spec"]:
            value["spec"].setdefault("volumeName", old["spec"]["volumeName"])

    return prepare_volume


def _definition(value: Json, old: Json, store: Store) -> None:
    """The sandbox accepts the names at once; upstream a controller does so a moment later."""
    spec, status = value["spec"], old.get("status", {})
    dated = {"status": "True", "lastTransitionTime": value["metadata"]["creationTimestamp"]}
    fresh = [{"type": kind, **dated, "reason": why, "message": text} for kind, why, text in ESTABLISHED]
    stored = [version["name"] for version in spec.get("versions") or () if version.get("storage")]
    value["status"] = {
        "conditions": status.get("conditions", fresh),
        "acceptedNames": spec["names"],
        "storedVersions": list(dict.fromkeys([*status.get("storedVersions", ()), *stored])),
    }


PREPARE: Mapping[str, Callable[[Json, Json, Store], None]] = {
    "CustomResourceDefinition": _definition,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolume": _protected("kubernetes.io/pv-protection"),
    "PersistentVolumeClaim": _protected("kubernetes.io/pvc-protection"),
    "Pod": _pod,
}
