"""Stands for the nodes: pods are ready as soon as they are made, those of Jobs end, images called `broken` never come.

There is no kubelet and no scheduler, and nothing runs. What controllers make of pods that are ready is real.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from urllib3.exceptions import HTTPError

from tests.properties.cluster_view import MERGE_PATCH, ClusterView, Json, Refused

_PAUSE = 0.2
_CONDITIONS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


def look_after(kubeconfig: Path) -> None:
    """For ever: bring every pod to where it belongs."""
    view = ClusterView(kubeconfig)
    while True:
        try:
            _look_once(view)
        except (HTTPError, Refused) as error:
            print(error, flush=True)  # and try again: a busy server may leave a request unanswered
        time.sleep(_PAUSE)


def _look_once(view: ClusterView) -> None:
    for pod in view.done("GET", "/api/v1/pods")["items"]:
        if status := _due(pod):
            metadata = pod["metadata"]
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
            view.send("PATCH", path, {"status": status}, MERGE_PATCH)


def _due(pod: Json) -> Json:
    """The status that a pod gets next; empty if it has come to rest."""
    if "deletionTimestamp" in pod["metadata"]:
        return {}
    if any("broken" in container["image"] for container in pod["spec"]["containers"]):
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
        new = "containerStatuses" not in pod["status"]
        return {"containerStatuses": list(_containers(pod, waiting, ready=False))} if new else {}
    of_a_job = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", ()))
    phase = "Succeeded" if of_a_job else "Running"
    if pod["status"].get("phase") == phase:
        return {}
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "phase": phase,
        "startTime": now,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in _CONDITIONS],
        "containerStatuses": list(_containers(pod, {"running": {"startedAt": now}}, ready=True)),
    }


def _containers(pod: Json, state: Json, *, ready: bool) -> Iterator[Json]:
    for container in pod["spec"]["containers"]:
        named = {"name": container["name"], "image": container["image"], "imageID": ""}
        yield {**named, "ready": ready, "restartCount": 0, "state": state}


if __name__ == "__main__":
    look_after(Path(sys.argv[1]))
