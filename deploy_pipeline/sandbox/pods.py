"""The simulated kubelet: what becomes of a pod, and what workloads want to know about it.

No container runs. A pod gets ready `rollout_seconds` after it was made, unless one of its images has `broken` in its
name: such a pod stays in ImagePullBackOff, and whatever waits for it learns that in the same way as on a real cluster.
"""

from __future__ import annotations

import datetime
import zlib
from typing import Any

from deploy_pipeline.sandbox.controllers import Cluster
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.garbage import condition
from deploy_pipeline.sandbox.writes import now

NODE = "sandbox"
BROKEN = "broken"
PODS = "pods"


def is_ready(pod: Json) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def find(conditions: Any, kind: str) -> Json | None:
    """The condition of a type."""
    return next((c for c in conditions or () if c["type"] == kind), None)


def seconds_since(moment: str) -> float:
    """Seconds since a time as the API writes it."""
    then = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()


def share(amount: int | str, total: int, *, up: bool) -> int:
    """An absolute number, or a percentage of the replicas."""
    if isinstance(amount, int):
        return amount
    percent = int(amount.rstrip("%")) * total
    return -(-percent // 100) if up else percent // 100


def without_zeros(status: Json, *kept: str) -> Json:
    """Counts that Go leaves out when they are zero."""
    return {key: value for key, value in status.items() if value or key in kept}


def pod(cluster: Cluster, value: Json) -> float | None:
    """The kubelet: what happens to a pod that nobody else looks after."""
    phase = value["status"].get("phase")
    ours = value["spec"].get("nodeName", NODE) == NODE
    if not ours or phase not in ("Pending", "Running") or (phase == "Running" and not _runs_out(value)):
        return None
    wait = cluster.rollout_seconds - cluster.since(value, str(phase))
    if wait > 0:
        return wait
    broken = _broken_images(value)
    state = _succeeded(value) if phase == "Running" else _waiting(value, broken) if broken else _running(value)
    changed = {**value, "spec": {**value["spec"], "nodeName": NODE}}
    cluster.update(PODS, value, {**changed, "status": {**value["status"], **state}})
    return None


def _runs_out(value: Json) -> bool:
    """A pod that is not restarted ends after a while."""
    spec: Json = value["spec"]
    return spec.get("restartPolicy") != "Always" and spec.get("nodeName") == NODE


def _broken_images(value: Json) -> list[str]:
    return [c["image"] for c in value["spec"]["containers"] if BROKEN in c["image"]]


def _conditions(value: Json, ready: str, reason: str = "") -> list[Json]:
    before = value["status"].get("conditions", ())
    found = []
    for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
        status = ready if kind in ("Ready", "ContainersReady") else "True"
        entry = condition(find(before, kind), kind, status, reason if status == "False" else "", "")
        filled = {key: content for key, content in entry.items() if content != ""}
        found.append({**filled, "lastProbeTime": None})
    return found


def _containers(value: Json, state: Json, *, ready: bool) -> list[Json]:
    return [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": f"sandbox://{container['image']}" if ready else "",
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": state,
            "lastState": {},
        }
        for container in value["spec"]["containers"]
    ]


def _running(value: Json) -> Json:
    number = zlib.crc32(value["metadata"]["uid"].encode())
    address = f"10.244.{number >> 8 & 255}.{number & 255}"
    return {
        "phase": "Running",
        "conditions": _conditions(value, "True"),
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now(),
        "containerStatuses": _containers(value, {"running": {"startedAt": now()}}, ready=True),
    }


def _waiting(value: Json, images: list[str]) -> Json:
    message = (
        f'Back-off pulling image "{images[0]}": ErrImagePull: the sandbox never finds an image with '
        f'"{BROKEN}" in its name'
    )
    state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    return {
        "phase": "Pending",
        "conditions": _conditions(value, "False", "ContainersNotReady"),
        "hostIP": "127.0.0.1",
        "startTime": value["status"].get("startTime", now()),
        "containerStatuses": _containers(value, state, ready=False),
    }


def _succeeded(value: Json) -> Json:
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}
    return {
        "phase": "Succeeded",
        "conditions": _conditions(value, "False", "PodCompleted"),
        "containerStatuses": _containers(value, {"terminated": ended}, ready=False),
    }


def make_pod(cluster: Cluster, owner: Json, labels: Json, **name: str) -> None:
    """A pod of the owner's template."""
    template = owner["spec"]["template"]
    metadata = {**template["metadata"], "labels": {**template["metadata"].get("labels", {}), **labels}}
    cluster.create(PODS, owner, {"metadata": {**metadata, **name}, "spec": template["spec"]})
