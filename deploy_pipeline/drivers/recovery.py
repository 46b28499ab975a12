"""Cleaning up after a killed release, before the next one of the channel."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.records import ReleaseState
from deploy_pipeline.errors import RefusedError

_CLOCK_SKEW = timedelta(seconds=60)
_PENDING = ("pending-install", "pending-upgrade", "pending-rollback")


def free_interrupted(cluster: Cluster, channel: str, progress: Callable[[str], None]) -> None:
    """Forget the Helm revisions that a killed release of ours left pending. Needs the channel's lock.

    Helm refuses to touch a release with a pending revision. What the killed one had made carries the release's
    annotations, so that the next upgrade takes it over. Only what is surely ours is freed: the lock says that nobody
    else is at it, the channel's record that our release began and did not end well, the inventories (written after the
    approval was verified) which Helm releases it was about. What was pending before it began is somebody else's.
    """
    newest = next(iter(cluster.records(channel).releases()), None)
    if newest is None or newest.state not in (ReleaseState.RELEASING, ReleaseState.FAILED):
        return
    since = datetime.fromisoformat(newest.started.replace("Z", "+00:00")) - _CLOCK_SKEW
    for inventory in cluster.inventories(channel).all().values():
        if inventory.helm_release:
            _free(cluster, inventory.helm_release, since, progress)


def _free(cluster: Cluster, release: tuple[str, str], since: datetime, progress: Callable[[str], None]) -> None:
    namespace, name = release
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    query = {"labelSelector": f"owner=helm,name={name},status in ({','.join(_PENDING)})"}
    for item in cluster.connection.get(secrets, query).body.get("items") or ():
        made = datetime.fromisoformat(item["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
        if made >= since:
            answer = cluster.connection.send("DELETE", f"{secrets}/{item['metadata']['name']}")
            if not answer.ok and answer.status != 404:
                raise RefusedError(
                    f"the interrupted Helm revision {namespace}/{item['metadata']['name']} cannot be removed: "
                    f"{answer.reason}",
                    hint=f"let the deployer delete Secrets in namespace {namespace}, as Helm itself has to",
                )
            progress(f"removed the interrupted Helm revision {namespace}/{item['metadata']['name']}")
