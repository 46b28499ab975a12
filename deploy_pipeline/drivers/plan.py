"""What will be done for one app, object by object: the common ground of the drivers.

A plan is made once, by reading and trying only. The change set shown to people and the release that follows come from
the same plan: there is no second computation that could decide otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from deploy_pipeline.changes import AppChanges, ObjectChange, Operation, ServerDefaults
from deploy_pipeline.channels import App, PrunePolicy
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.inventory import Inventory, Member
from deploy_pipeline.cluster.objects import APP_LABEL, CHANNEL_LABEL, Manifest, ObjectRef
from deploy_pipeline.cluster.read_ahead import ReadAhead
from deploy_pipeline.errors import OwnedByAnother
from deploy_pipeline.redaction import Redactor
from deploy_pipeline.rendering import read_rendered
from deploy_pipeline.repository import GitTree
from deploy_pipeline.secret_stores import SecretStore, secret_manifest, secret_values

Progress = Callable[[str], None]

_HOLDING = frozenset(
    (("", "Namespace"), ("", "PersistentVolumeClaim"), ("apiextensions.k8s.io", "CustomResourceDefinition"))
)


@dataclass(frozen=True)
class Target:
    """One app of one channel on one cluster: what a driver is given.

    ``redactor`` masks change sets. It is made for one plan and knows every secret value of it from the start: what is
    masked, and so the digest, must not depend on which app was planned first or on what else the process has seen.
    ``definitions`` are the CustomResourceDefinitions that the apps of the channel bring, for all of them;
    ``read_ahead`` and ``defaults`` are what the apps find out about the cluster for each other.
    """

    channel: str
    app: App
    tree: GitTree
    cluster: Cluster
    read_ahead: ReadAhead
    store: SecretStore
    owned: Inventory | None
    redactor: Redactor
    progress: Progress
    prune: PrunePolicy = field(default_factory=PrunePolicy)
    definitions: tuple[Manifest, ...] = field(default=(), repr=False)
    defaults: ServerDefaults = field(default_factory=ServerDefaults, repr=False)

    @cached_property
    def rendered(self) -> tuple[Manifest, ...]:
        """What git has rendered for the app. Raises RefusedError if that is missing, or no manifests."""
        return tuple(read_rendered(self.tree, self.channel, self.app.name))


@dataclass(frozen=True)
class Step:
    """One object, and what happens to it. The manifests may hold secret values.

    ``desired`` is the object as rendered, ``manifest`` what is sent of it, ``live`` the object that the change was
    computed from, None if there was none. ``owned``: the object becomes the app's; a namespace made only because it is
    missing belongs to nobody. ``takes_over``: fields that ``kubectl apply`` set become ours before we apply.
    ``taken_from`` is the owner that an adopted object had, in words. ``tried``: the server was asked, and took it.
    """

    manifest: Manifest = field(repr=False)
    change: ObjectChange
    desired: Manifest = field(repr=False)
    live: Manifest | None = field(default=None, repr=False)
    owned: bool = True
    takes_over: bool = False
    taken_from: str = ""
    tried: bool = True


@dataclass(frozen=True)
class AppPlan:
    """What will be done for one app.

    ``steps`` are applied by us, ``watched`` are further objects to wait for (those Helm applies), ``prunes`` are live
    objects to delete, ``kept`` members that left the app and stay, ``helm_release`` namespace and name of the app's
    Helm release, ``values`` the secret values files for it. ``recreates`` are live objects to delete before Helm runs,
    ``adopts`` says that it has to take over objects that are there, ``hooks`` are what Helm makes around its work, and
    ``runs_hooks`` whether it does.
    """

    target: Target
    changes: AppChanges
    steps: tuple[Step, ...]
    watched: tuple[Manifest, ...] = field(default=(), repr=False)
    prunes: tuple[Manifest, ...] = field(default=(), repr=False)
    kept: tuple[Member, ...] = ()
    helm_release: tuple[str, str] | None = None
    values: tuple[bytes, ...] = field(default=(), repr=False)
    recreates: tuple[Manifest, ...] = field(default=(), repr=False)
    adopts: bool = False
    hooks: tuple[Manifest, ...] = field(default=(), repr=False)
    runs_hooks: bool = True

    @property
    def foundation(self) -> tuple[Step, ...]:
        """The steps other apps may stand on."""
        return tuple(step for step in self.steps if step.change.ref.is_foundation)

    @property
    def rest(self) -> tuple[Step, ...]:
        """The steps only the app itself stands on."""
        return tuple(step for step in self.steps if not step.change.ref.is_foundation)

    @property
    def inventory(self) -> Inventory:
        """What the app owns once it is released and pruned, in a stable order."""
        found = [Member.of(step.manifest) for step in self.steps if step.owned]
        found += [*(Member.of(manifest) for manifest in self.watched), *self.kept]
        by_ref = {member.ref: member for member in found}
        members = tuple(by_ref[ref] for ref in sorted(by_ref))
        return Inventory(self.changes.app, self.changes.driver, members, self.helm_release)

    @property
    def unchanged(self) -> dict[ObjectRef, Manifest]:
        """The live objects that nothing is done to, as they were when the plan was made."""
        none = (step for step in self.steps if step.change.operation is Operation.NONE)
        return {step.change.ref: step.live for step in none if step.live is not None}

    @cached_property
    def wanted(self) -> tuple[Manifest, ...]:
        """Every object that must be there and ready in the end."""
        return tuple(step.manifest for step in self.steps) + self.watched


def held_kind(live: Manifest) -> str:
    """The kind of ``prune_kinds`` whose objects are lost with this one, be it itself; empty if none is.

    A StatefulSet can be told to take its claims along (KEP-1847).
    """
    ref, spec = ObjectRef.of(live), live.get("spec") or {}
    if (ref.group, ref.kind) in _HOLDING:
        return ref.kind
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    takes_claims = ref.kind == "StatefulSet" and retention.get("whenDeleted") == "Delete"
    return "PersistentVolumeClaim" if takes_claims and spec.get("volumeClaimTemplates") else ""


def check_release(target: Target, release: tuple[str, str] | None) -> None:
    """Raise OwnedByAnother when the app is another Helm release in the cluster: that one would run on, forgotten."""
    old = target.owned.helm_release if target.owned else None
    if old is not None and old != release:
        now = f"{release[0]}/{release[1]}" if release else "none"
        raise OwnedByAnother(
            f"app {target.app.name} is the Helm release {old[0]}/{old[1]} in the cluster, "
            f"the channel file now says {now}",
            hint="remove the app from the channel file and release that, then add it again",
        )


def labelled(manifest: Manifest, channel: str, app: str) -> Manifest:
    """The manifest with its owner's labels."""
    metadata = dict(manifest["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), CHANNEL_LABEL: channel, APP_LABEL: app}
    return {**manifest, "metadata": metadata}


def secret_manifests(target: Target, only: str = "") -> dict[str, Manifest]:
    """The Secrets the app names (or ``only`` one), from the store, labelled; the redactor knows their values then."""
    found = {}
    for name in target.app.secrets if not only else (only,):
        manifest = secret_manifest(target.store.read(name), target.app.namespace)
        target.cluster.redactor.learn(secret_values(manifest))
        found[name] = labelled(manifest, target.channel, target.app.name)
    return found
