"""The columns that `kubectl get` prints for each kind: a name, and the path or function of the value.

Upstream they are Go code (`pkg/printers/internalversion`). A priority of 1 means wide output only.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.selectors import at_path

NONE = "<none>"
Cell = Callable[[Json], Any]
Column = tuple[str, str, Cell, int]  # name, type, value, priority


def age(value: Json, path: str = "metadata.creationTimestamp") -> str:
    """How long ago, as kubectl shortens it."""
    text = at_path(value, path)
    if not text:
        return "<unknown>"
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    seconds = max(0, int((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


def path(where: str, otherwise: Any = NONE) -> Cell:
    """A cell that shows the value at a path."""

    def cell(value: Json) -> Any:
        found = at_path(value, where)
        return otherwise if found is None else found

    return cell


def joined(where: str) -> Cell:
    """A cell that shows a list."""
    return lambda value: ",".join(str(item) for item in at_path(value, where) or ()) or NONE


def count(*where: str) -> Cell:
    """A cell that counts entries."""
    return lambda value: sum(len(at_path(value, part) or ()) for part in where)


def ratio(ready: str, wanted: str) -> Cell:
    """A cell like `1/2`."""
    return lambda value: f"{at_path(value, ready) or 0}/{at_path(value, wanted) or 0}"


def selector(where: str = "spec.selector") -> Cell:
    """A cell that shows a selector."""

    def cell(value: Json) -> str:
        found = at_path(value, where) or {}
        labels = found.get("matchLabels", found) if isinstance(found, dict) else {}
        return ",".join(f"{k}={v}" for k, v in sorted(labels.items()) if isinstance(v, str)) or NONE

    return cell


def containers(key: str) -> Cell:
    """A cell with the names or images of a pod template."""
    return lambda value: ",".join(
        container.get(key, "") for container in at_path(value, "spec.template.spec.containers") or ()
    )


def col(name: str, cell: Cell, kind: str = "string", priority: int = 0) -> Column:
    """One column."""
    return name, kind, cell, priority


def wide(name: str, cell: Cell) -> Column:
    """A column of wide output."""
    return col(name, cell, priority=1)


def _external(value: Json) -> str:
    spec = value["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", NONE))
    found = at_path(value, "status.loadBalancer.ingress") or ()
    addresses = [entry.get("ip") or entry.get("hostname", "") for entry in found]
    addresses += spec.get("externalIPs", ())
    waiting = "<pending>" if spec["type"] == "LoadBalancer" else NONE
    return ",".join(addresses) or waiting


def _ports(value: Json) -> str:
    def text(port: Json) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port['protocol']}"

    return ",".join(text(port) for port in value["spec"].get("ports", ())) or NONE


def _pod_status(value: Json) -> str:
    if "deletionTimestamp" in value["metadata"]:
        return "Terminating"
    for state in value["status"].get("containerStatuses", ()):
        if reason := at_path(state, "state.waiting.reason"):
            return str(reason)
    phase = value["status"].get("phase", "Unknown")
    return "Completed" if phase == "Succeeded" else str(phase)


def _pod_ready(value: Json) -> str:
    states = value["status"].get("containerStatuses", ())
    return f"{sum(bool(s.get('ready')) for s in states)}/{len(value['spec'].get('containers', ()))}"


def _duration(value: Json) -> str:
    if not at_path(value, "status.startTime"):
        return ""
    return age(value, "status.startTime")


def _hosts(value: Json) -> str:
    return ",".join(rule.get("host", "*") for rule in value["spec"].get("rules", ())) or "*"


def _job_status(value: Json) -> str:
    true = [c["type"] for c in at_path(value, "status.conditions") or () if c.get("status") == "True"]
    return next((name for name in ("Complete", "Failed", "Suspended") if name in true), "Running")


NAME: Column = col("Name", path("metadata.name"))
AGE: Column = col("Age", age)
WORKLOAD = [
    wide("Containers", containers("name")),
    wide("Images", containers("image")),
    wide("Selector", selector()),
]
COLUMNS: Mapping[str, list[Column]] = {
    "ConfigMap": [col("Data", count("data", "binaryData")), AGE],
    "CronJob": [
        col("Schedule", path("spec.schedule")),
        col("Timezone", path("spec.timeZone")),
        col("Suspend", lambda v: str(at_path(v, "spec.suspend"))),
        col("Active", count("status.active"), "integer"),
        col(
            "Last Schedule",
            lambda v: age(v, "status.lastScheduleTime") if at_path(v, "status.lastScheduleTime") else NONE,
        ),
        AGE,
        *WORKLOAD,
    ],
    "CustomResourceDefinition": [col("Created At", path("metadata.creationTimestamp"), "date")],
    "DaemonSet": [
        col("Desired", path("status.desiredNumberScheduled", 0), "integer"),
        col("Current", path("status.currentNumberScheduled", 0), "integer"),
        col("Ready", path("status.numberReady", 0), "integer"),
        col("Up-to-date", path("status.updatedNumberScheduled", 0), "integer"),
        col("Available", path("status.numberAvailable", 0), "integer"),
        col("Node Selector", selector("spec.template.spec.nodeSelector")),
        AGE,
        *WORKLOAD,
    ],
    "Deployment": [
        col("Ready", ratio("status.readyReplicas", "spec.replicas")),
        col("Up-to-date", path("status.updatedReplicas", 0)),
        col("Available", path("status.availableReplicas", 0)),
        AGE,
        *WORKLOAD,
    ],
    "HorizontalPodAutoscaler": [
        col("Reference", lambda v: "{kind}/{name}".format(**v["spec"]["scaleTargetRef"])),
        col("Targets", lambda v: "<unknown>"),
        col("MinPods", lambda v: str(v["spec"].get("minReplicas", "<unset>"))),
        col("MaxPods", path("spec.maxReplicas"), "integer"),
        col("Replicas", path("status.currentReplicas", 0), "integer"),
        AGE,
    ],
    "Ingress": [
        col("Class", path("spec.ingressClassName")),
        col("Hosts", _hosts),
        col(
            "Address",
            lambda v: ",".join(
                e.get("ip") or e.get("hostname", "") for e in at_path(v, "status.loadBalancer.ingress") or ()
            ),
        ),
        col("Ports", lambda v: "80, 443" if v["spec"].get("tls") else "80"),
        AGE,
    ],
    "Job": [
        col("Status", _job_status),
        col("Completions", ratio("status.succeeded", "spec.completions")),
        col("Duration", _duration),
        AGE,
        *WORKLOAD,
    ],
    "Lease": [col("Holder", path("spec.holderIdentity", "")), AGE],
    "Namespace": [col("Status", path("status.phase")), AGE],
    "NetworkPolicy": [col("Pod-Selector", selector("spec.podSelector")), AGE],
    "Node": [
        col("Status", lambda v: "Ready"),
        col("Roles", lambda v: NONE),
        AGE,
        col("Version", path("status.nodeInfo.kubeletVersion")),
    ],
    "PersistentVolumeClaim": [
        col("Status", path("status.phase")),
        col("Volume", path("spec.volumeName", "")),
        col("Capacity", path("status.capacity.storage", "")),
        col("Access Modes", lambda v: ",".join(re.sub("[a-z]", "", m) for m in at_path(v, "status.accessModes") or ())),
        col("StorageClass", path("spec.storageClassName", "")),
        col("VolumeAttributesClass", path("spec.volumeAttributesClassName", "<unset>")),
        AGE,
        wide("VolumeMode", path("spec.volumeMode")),
    ],
    "Pod": [
        col("Ready", _pod_ready),
        col("Status", _pod_status),
        col("Restarts", lambda v: "0"),
        AGE,
        wide("IP", path("status.podIP")),
        wide("Node", path("spec.nodeName")),
        wide("Nominated Node", path("status.nominatedNodeName")),
        wide("Readiness Gates", lambda v: NONE),
    ],
    "PodDisruptionBudget": [
        col("Min Available", lambda v: str(v["spec"].get("minAvailable", "N/A"))),
        col("Max Unavailable", lambda v: str(v["spec"].get("maxUnavailable", "N/A"))),
        col("Allowed Disruptions", path("status.disruptionsAllowed", 0), "integer"),
        AGE,
    ],
    "PriorityClass": [
        col("Value", path("value"), "integer"),
        col("Global-Default", path("globalDefault", False), "boolean"),
        AGE,
        col("PreemptionPolicy", path("preemptionPolicy")),
    ],
    "ReplicaSet": [
        col("Desired", path("spec.replicas", 0), "integer"),
        col("Current", path("status.replicas", 0), "integer"),
        col("Ready", path("status.readyReplicas", 0), "integer"),
        AGE,
        *WORKLOAD,
    ],
    "Role": [col("Created At", path("metadata.creationTimestamp"), "date")],
    "RoleBinding": [col("Role", lambda v: "{kind}/{name}".format(**v["roleRef"])), AGE],
    "Secret": [col("Type", path("type")), col("Data", count("data")), AGE],
    "Service": [
        col("Type", path("spec.type")),
        col("Cluster-IP", path("spec.clusterIP")),
        col("External-IP", _external),
        col("Port(s)", _ports),
        AGE,
        wide("Selector", selector()),
    ],
    "StatefulSet": [
        col("Ready", ratio("status.readyReplicas", "spec.replicas")),
        AGE,
        wide("Containers", containers("name")),
        wide("Images", containers("image")),
    ],
}
ALIASES = {"ClusterRole": "Role", "ClusterRoleBinding": "RoleBinding"}
