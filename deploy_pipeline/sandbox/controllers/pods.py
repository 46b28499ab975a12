"""The simulated kubelet: what becomes of a pod, and what workloads want to know about it.

No container runs. A pod gets ready `rollout_seconds` after it was made, unless one of its images has `broken` in its
name: such a pod stays in ImagePullBackOff, and whatever waits for it learns that in the same way as on a real cluster.
"""

from __future__ import annotations

import datetime
import zlib
from typing import Any

from deploy_pipeline.sandbox.controllers.engine import Cluster, condition
from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.objects.writes import now

NODE = "sandbox"
BROKEN = "broken"
PODS = "pods"


def find(conditions: Any, kind: str) -> Json | None:
    """The condition of a type."""
    return next((c for c in conditions or () if c["type"] == kind), None)


def is_ready(pod: Json) -> bool:
    """Whether the pod's Ready condition is true."""
    return (find(pod["status"].get("conditions"), "Ready") or {}).get("status") == "True"


def is_active(pod: Json) -> bool:
    """Whether the pod has not ended."""
    return pod["status"].get("phase") in ("Pending", "Running")


def seconds_since(moment: str) -> float:
    """Seconds since a time as the API writes it."""
    then = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()


def make_pod(cluster: Cluster, owner: Json, labels: Json, name: str = "") -> None:
    """A pod of the owner's template; without a name it gets one that begins with the owner's."""
    template = owner["spec"]["template"]
    named = {"name": name} if name else {"generateName": owner["metadata"]["name"] + "-"}
    common = {key: value for key, value in template["metadata"].items() if key not in ("name", "generateName")}
    metadata = {**common, "labels": {**template["metadata"].get("labels", {}), **labels}, **named}
    cluster.create(PODS, owner, {"metadata": metadata, "spec": template["spec"]})


def pod(cluster: Cluster, value: Json) -> float | None:
    """The kubelet: a pod starts, or does not, and ends if nothing shall restart it."""
    spec, phase = value["spec"], value["status"].get("phase")
    ends = phase == "Running" and spec.get("restartPolicy") != "Always" and "nodeName" in spec
    if spec.get("nodeName", NODE) != NODE or not (phase == "Pending" or ends):
        return None
    if (wait := cluster.rollout_seconds - cluster.since(value, phase)) > 0:
        return wait
    broken = [container["image"] for container in spec["containers"] if BROKEN in container["image"]]
    status = _succeeded(value) if ends else _waiting(value, broken[0]) if broken else _running(value)
    new = {**value, "spec": {**spec, "nodeName": NODE}, "status": {**value["status"], **status}}
    cluster.update(PODS, value, new)
    return 0.0 if phase == "Pending" and not broken else None  # it may end now that it runs


def _state(value: Json, container_state: Json, reason: str = "") -> Json:
    """Conditions and container statuses; a reason says why the pod is not ready."""
    before, conditions = value["status"].get("conditions"), []
    for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
        why = reason if kind in ("Ready", "ContainersReady") else ""
        entry = condition(find(before, kind), kind, "False" if why else "True", why, "")
        conditions.append({**{key: text for key, text in entry.items() if text}, "lastProbeTime": None})
    ready = not reason
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": f"sandbox://{container['image']}" if ready else "",
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": container_state,
            "lastState": {},
        }
        for container in value["spec"]["containers"]
    ]
    return {"conditions": conditions, "containerStatuses": containers}


def _running(value: Json) -> Json:
    number = zlib.crc32(value["metadata"]["uid"].encode())
    address = f"10.244.{number >> 8 & 255}.{number & 255}"
    host = {"hostIP": "127.0.0.1", "podIP": address, "podIPs": [{"ip": address}], "startTime": now()}
    return {"phase": "Running", **host, **_state(value, {"running": {"startedAt": now()}})}


def _waiting(value: Json, image: str) -> Json:
    why = f'the sandbox never finds an image with "{BROKEN}" in its name'
    message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
    state = _state(value, {"waiting": {"reason": "ImagePullBackOff", "message": message}}, "ContainersNotReady")
    return {"hostIP": "127.0.0.1", "startTime": value["status"].get("startTime", now()), **state}


def _succeeded(value: Json) -> Json:
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}
    return {"phase": "Succeeded", **_state(value, {"terminated": ended}, "PodCompleted")}
