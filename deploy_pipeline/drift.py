"""Drift: the change set between what was last released and what is live, and whether what is live is ready."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from deploy_pipeline.changes import ChangeSet, summary
from deploy_pipeline.channels import load_channel
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers.waiting import not_ready
from deploy_pipeline.planning import each, plan_channel


@dataclass(frozen=True)
class DriftResult:
    """``change_set`` is what would bring the cluster back to ``commit``; None if nothing was ever released."""

    channel: str
    commit: str
    change_set: ChangeSet | None

    @property
    def released(self) -> bool:
        """Whether anything was ever released to the channel."""
        return self.change_set is not None

    @property
    def drifted(self) -> bool:
        """Whether the cluster is not what was released."""
        return self.change_set is not None and any(app.changed for app in self.change_set.apps)


@dataclass(frozen=True)
class AppReadiness:
    """Whether the objects an app owns are ready now, and why not."""

    app: str
    ready: bool
    reasons: tuple[str, ...]


def check_drift(deployer: Deployer, channel: str, *, apps: Collection[str] = (), progress: Progress) -> DriftResult:
    """Compare the cluster with the last release of the channel. Writes nothing."""
    deployer.mirror.fetch()
    last = deployer.cluster(channel).records(channel).last_released()
    if last is None:
        progress(f"nothing was released to {channel} yet")
        return DriftResult(channel, "", None)
    tree = deployer.mirror.tree(last.commit)
    change_set = plan_channel(deployer, load_channel(tree, channel), tree, apps=apps, progress=progress).change_set
    result = DriftResult(channel, last.commit, change_set)
    progress(f"{channel}: {'drifted: ' + summary(change_set) if result.drifted else 'no drift'}")
    return result


def check_ready(
    deployer: Deployer, channel: str, *, apps: Collection[str] = (), progress: Progress
) -> tuple[AppReadiness, ...]:
    """Judge every object the channel's apps own, by their inventories. Writes nothing."""
    cluster = deployer.cluster(channel)
    owned = [inventory for name, inventory in cluster.inventories(channel).all().items() if not apps or name in apps]
    waiting = each(
        deployer,
        owned,
        lambda inventory: not_ready(cluster, [member.stub() for member in inventory.members]),
        lambda inventory: inventory.app,
        f"channel {channel}",
    )
    results = []
    for inventory, states in zip(owned, waiting, strict=True):
        reasons = tuple(f"{ref}: {state.reason}" for ref, state in states.items())
        results.append(AppReadiness(inventory.app, not reasons, reasons))
        progress(f"{inventory.app}: {'not ready' if reasons else 'ready'}")
    return tuple(results)
