"""Waiting until what was applied is ready, and saying all the while what is not and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.objects import Manifest, ObjectRef
from deploy_pipeline.cluster.readiness import Readiness, Verdict, container_problems, readiness
from deploy_pipeline.cluster.recent import RecentReads

Progress = Callable[[str], None]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds
_PAUSE = 0.1  # of the time waited so far: nobody waits much longer than the object took
_SAY_AGAIN = 10.0
_EXPLAINED_AFTER = 1.0  # what is ready sooner needs no look at its pods
_EXPLAIN_AGAIN = 5.0


def not_ready(
    cluster: Cluster,
    manifests: Iterable[Manifest],
    known: Mapping[ObjectRef, Manifest] = MappingProxyType({}),
    *,
    explained: bool = True,
    read: Callable[[Manifest], Manifest | None] | None = None,
) -> dict[ObjectRef, Readiness]:
    """The objects that are not ready now, with the reason.

    Of those that failed, and of all if they shall be ``explained``, the reason has what their pods say.
    ``known`` are objects that were read just now, and need not be read again unless they had failed; the others are
    ``read``, each for itself if nothing else is said.
    """
    found = {}
    read = read or cluster.objects.live
    for manifest in manifests:
        seen = known.get(ObjectRef.of(manifest))
        live = seen if seen and readiness(seen).verdict is not Verdict.FAILED else read(manifest)
        if live is None and may_be_gone(manifest):
            continue
        verdict = readiness(live)
        if verdict.verdict is not Verdict.READY and not (live and _waits_for_consumer(cluster, live)):
            failed = verdict.verdict is Verdict.FAILED
            reason = _explained(cluster, live, verdict.reason) if explained or failed else verdict.reason
            found[ObjectRef.of(manifest)] = Readiness(verdict.verdict, cluster.redactor.redact(reason))
    return found


def wait_ready(
    cluster: Cluster,
    manifests: Sequence[Manifest],
    timeout: float,
    progress: Progress,
    proceed: Callable[[], None],
    *,
    known: Mapping[ObjectRef, Manifest] = MappingProxyType({}),
    recent: RecentReads | None = None,
) -> tuple[str, ...]:
    """Wait at most ``timeout`` seconds; returns why it is not ready in the end, one line per object, empty when ready.

    Ends early when everything unfinished has failed for good. ``proceed`` is called in between and may raise. ``known``
    are objects that were read just now, ``recent`` is shared by those who wait for objects of the same kinds.
    """
    begun = time.monotonic()
    explain, deadline = begun + _EXPLAINED_AFTER, begun + timeout
    pending: Sequence[Manifest] = manifests
    said: tuple[float, tuple[str, ...]] = (0.0, ())
    while True:
        over = time.monotonic() >= deadline
        pause = min(max(_SHORTEST_PAUSE, _PAUSE * (time.monotonic() - begun)), _LONGEST_PAUSE)
        read = partial(recent.live, since=begun, max_age=pause) if recent else None
        explained = over or time.monotonic() >= explain
        waiting = not_ready(cluster, pending, known, explained=explained, read=read)
        if not waiting:
            return ()
        lines = tuple(f"{ref}: {state.reason}" for ref, state in waiting.items())
        if over or all(state.verdict is Verdict.FAILED for state in waiting.values()):
            return tuple(f"{line} (waited {timeout:.0f} s)" for line in lines) if over else lines
        if explained:
            explain = time.monotonic() + _EXPLAIN_AGAIN
        if explained and (lines != said[1] or time.monotonic() - said[0] > _SAY_AGAIN):
            said = (time.monotonic(), lines)
            for line in lines:
                progress(f"waiting: {line}")
        pending = [manifest for manifest in manifests if ObjectRef.of(manifest) in waiting]
        known = {}
        time.sleep(pause)
        proceed()


def may_be_gone(manifest: Manifest) -> bool:
    """Whether the object removes itself after its work: a Job with a time to live."""
    is_job = manifest["kind"] == "Job" and manifest["apiVersion"].startswith("batch/")
    return is_job and (manifest.get("spec") or {}).get("ttlSecondsAfterFinished") is not None


def _waits_for_consumer(cluster: Cluster, live: Mapping[str, Any]) -> bool:
    """Whether the object is a claim whose volume is made only once a pod uses it: the pod's workload is waited for."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if (live["apiVersion"], live["kind"]) != ("v1", "PersistentVolumeClaim") or status.get("phase") != "Pending":
        return False
    name = spec.get("storageClassName")
    if not name or spec.get("volumeName"):
        return False
    answer = cluster.connection.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
    return answer.ok and answer.body.get("volumeBindingMode") == "WaitForFirstConsumer"


def _explained(cluster: Cluster, live: Mapping[str, Any] | None, reason: str) -> str:
    """The reason, and what the containers of the workload's pods say."""
    selector = ((live or {}).get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") if isinstance(selector, Mapping) else None
    namespace = live["metadata"].get("namespace") if live else None
    if not namespace or not labels:  # nothing that is cluster-wide has pods by a selector
        return reason
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))}
    answer = cluster.connection.get(f"/api/v1/namespaces/{namespace}/pods", query)
    problems = [line for pod in answer.body.get("items") or () for line in container_problems(pod)]
    words = "; ".join(dict.fromkeys(problems))
    return f"{reason}; {words}" if words else reason
