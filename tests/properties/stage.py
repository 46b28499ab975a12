"""Where random histories are played: one cluster and one repository for all, names of its own for each.

Nothing here knows whether the cluster is real. Candidates are committed as rendering would have left them, since what
is tried is everything that comes after.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.changes import ChangeSet
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.promotion import Promotion, diff_promotion
from deploy_pipeline.release import ReleaseResult
from deploy_pipeline.rendering.manifests import write_manifests
from deploy_pipeline.settings import Settings
from tests.actions.conftest import World
from tests.properties.cluster_view import APPLY_PATCH, MERGE_PATCH, ClusterView, Json, Key
from tests.properties.histories import Cast, Deed
from tests.support.origin import Origin

_SOMEBODY = "alice"
_DRIVERS: dict[str, Callable[[str, str], Json]] = {
    "kustomize": lambda app, _: {"driver": "kustomize", "kustomize_dir": f"apps/{app}"},
    "helm": lambda app, here: {
        "driver": "helm",
        "namespace": here,
        "helm_name": app,
        "helm_chart": f"apps/{app}",
    },
}


@dataclass(frozen=True)
class OtherProcess:
    """A deployer in another process, with a state directory and a hash seed of its own; it diffs and nothing else."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, settings: Settings, state_dir: Path) -> OtherProcess:
        """Start it; it waits to be asked."""
        other = settings.model_copy(update={"state_dir": state_dir})
        command = [sys.executable, "-m", "tests.properties.other_process", other.model_dump_json()]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return cls(process)

    def ask(self, channel: str, candidate: str) -> None:
        """Begin to diff."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([channel, candidate]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Json:
        """The change set that was asked for last, as JSON; ``refused`` if there is none."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def end(self) -> None:
        """Stop it."""
        self.process.communicate(timeout=30)


@dataclass(frozen=True)
class Stage:
    """A cluster, a repository and two deployers. ``name`` is in the name of everything that is made.

    ``proven`` are the objects that proved to be as wanted, and were tried all the same.
    """

    world: World
    view: ClusterView
    other: OtherProcess
    name: str
    alone: bool
    proven: list[ObjectRef] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def open(cls, kubeconfig: Path, directory: Path, *, alone: bool) -> Iterator[Stage]:
        """A stage on the cluster of a kubeconfig; takes away what it made. ``alone``: nobody else uses the cluster."""
        origin = Origin.create(directory / "origin.git", {"README": "Histories of apps.\n"})
        name = f"deploy-test-{secrets.token_hex(3)}"
        settings = Settings(
            repository=origin.url,
            state_dir=directory / "state",
            kubeconfig=kubeconfig,
            system_namespace=f"{name}-system",
            lock_wait=20,
            lock_seconds=10,
            allowed_kinds="*",
        )
        view = ClusterView(kubeconfig)
        world = World(origin, Deployer.from_settings(settings), kubeconfig, directory)
        other = OtherProcess.start(settings, directory / "other-state")
        try:
            yield cls(world, view, other, name, alone)
        finally:
            other.end()
            view.delete(namespace_of(f"{name}-system"))

    def able(self, cast: Cast) -> Cast:
        """The cast without the kinds that cannot be played on this cluster.

        Cluster roles need rights of their own, whether a claim is ever bound depends on the storage there is, and an
        older server knows some kinds in other versions only.
        """
        kinds = [kind[:2] for kind in cast.kinds if "@" not in kind[0]]
        missing = {kind for version, kind in kinds if not self.view.serves({"apiVersion": version, "kind": kind})}
        if not self.alone:
            missing.add("PersistentVolumeClaim")
        if not self.view.may_create("rbac.authorization.k8s.io", "clusterroles"):
            missing.add("ClusterRole")
        return replace(cast, kinds=tuple(kind for kind in cast.kinds if kind[1] not in missing))

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Names for one history; whatever was made under them is deleted in the end."""
        place = Place(self, f"{self.name}-{next(self._numbers)}")
        try:
            yield place
        finally:
            place.clear()


@dataclass(frozen=True)
class Place:
    """Names of its own for one history: namespaces, cluster-wide objects, channel and branch are called after it."""

    stage: Stage
    name: str

    def real(self, manifest: Json) -> Json:
        """A manifest with the names of this place."""
        return dict(json.loads(json.dumps(manifest).replace("@", self.name)))

    def symbolic(self, live: Json) -> Json:
        """A live object with the names of this place taken out again."""
        return dict(json.loads(json.dumps(live).replace(self.name, "@")))

    def commit(
        self,
        state: Mapping[str, list[Json]],
        *,
        driver: str = "kustomize",
        app: Mapping[str, Any] = {},
        channel: Mapping[str, Any] = {},
    ) -> str:
        """Commit the manifests of each app as a candidate; returns its branch.

        ``app`` and ``channel`` are further keys of each app and of the channel in the channel file.
        """
        listed = [{"name": name, **app, **_DRIVERS[driver](name, self.name)} for name in state]
        file = {"channel": self.name, "prune_limit": "100%", "releases": listed, **channel}
        files: dict[str, str | bytes | None] = {f"channels/{self.name}.yaml": yaml.safe_dump(file)}
        for name, manifests in state.items():
            here = [self.real(manifest) for manifest in manifests]
            files |= self._kustomized(name, here) if driver == "kustomize" else _chart(name, here)
        self.stage.world.origin.commit(self.branch, files)
        return self.branch

    @property
    def branch(self) -> str:
        """The branch of the candidate."""
        return f"candidates/{self.name}"

    def _kustomized(self, app: str, manifests: list[Json]) -> dict[str, str | bytes]:
        owned = [self._owned(manifest, app) for manifest in manifests]
        return {
            f"apps/{app}/kustomization.yaml": "kind: Kustomization\n",
            f"rendered/{self.name}/{app}.yaml": write_manifests(owned, ()),
        }

    def _owned(self, manifest: Json, app: str) -> Json:
        labels = {"deploy-pipeline.io/channel": self.name, "deploy-pipeline.io/app": app}
        metadata = manifest["metadata"]
        return {**manifest, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **labels}}}

    def promote(self) -> Promotion:
        """Promote the candidate."""
        return self.stage.world.promote(self.branch, self.name)

    def release(self) -> ReleaseResult:
        """Release the channel."""
        return self.stage.world.release(self.name)

    def diff(self) -> ChangeSet:
        """What a release of the candidate would do now."""
        return diff_promotion(self.stage.world.deployer, self.name, self.branch, progress=silent)

    def dump(self) -> dict[Key, Json]:
        """Every object but the deployer's own; on a cluster that others use as well, of this place only."""
        system = f"{self.stage.name}-system"
        everything = self.stage.view.dump(() if self.stage.alone else (self.name, f"{self.name}-b"))
        return {
            key: item
            for key, item in everything.items()
            if system not in (key.namespace, key.name) and (self.stage.alone or self._is_here(key))
        }

    def _is_here(self, key: Key) -> bool:
        names = (key.group, key.namespace, key.name)
        return any(re.search(rf"(^|\.){re.escape(self.name)}(-[a-z]+)?($|\.)", name) for name in names)

    def kubectl_apply(self, manifests: list[Json]) -> None:
        """What somebody applies who does not know of us: client-side, as kubectl does unless told otherwise."""
        here = [self.real(manifest) for manifest in manifests]
        for name in sorted({m["metadata"]["namespace"] for m in here if "namespace" in m["metadata"]}):
            self._ensure(namespace_of(name))
        for chosen in (True, False):  # a definition goes first: kubectl looks up all kinds before it applies anything
            part = [m for m in here if (m["kind"] == "CustomResourceDefinition") == chosen]
            if part:
                text = "\n---\n".join(json.dumps(manifest) for manifest in part)
                self.stage.world.kubectl("apply", "--filename", "-", stdin=text)

    def do(self, deed: Deed) -> bool:
        """Do to the cluster what somebody else does; whether it was possible."""
        view, manifest = self.stage.view, self.real(deed.manifest)
        if not view.serves(manifest):
            return False
        live = view.get(manifest)
        if deed.how == "create":
            return live is None and self._create(manifest)
        if live is None:
            return False
        if deed.how == "delete":
            view.delete(manifest)
            return True
        path, query = view.path(manifest), f"?fieldManager={_SOMEBODY}"
        if deed.how == "merge":
            status, _ = view.send("PATCH", path + query, manifest, MERGE_PATCH)
        elif deed.how == "apply":
            status, _ = view.send("PATCH", f"{path}{query}&force=true", manifest, APPLY_PATCH)
        elif deed.how == "scale":
            status, _ = view.send("PATCH", f"{path}/scale{query}", {"spec": manifest["spec"]}, MERGE_PATCH)
        else:
            version = {"resourceVersion": live["metadata"]["resourceVersion"]}
            replaced = {**manifest, "metadata": {**manifest["metadata"], **version}}
            status, _ = view.send("PUT", path + query, replaced)
        return status < 300

    def _create(self, manifest: Json) -> bool:
        self._ensure(namespace_of(manifest["metadata"]["namespace"]))
        self.stage.view.create(manifest, _SOMEBODY)
        return True

    def _ensure(self, namespace: Json) -> None:
        if self.stage.view.get(namespace) is None:
            self.stage.view.create(namespace, _SOMEBODY)

    def clear(self) -> None:
        """Delete all that is called after this place."""
        view = self.stage.view
        found = [item for key, item in view.cluster_wide() if self._is_here(key)]
        view.delete(*sorted(found, key=lambda item: item["kind"] == "Namespace"))


def _chart(app: str, manifests: list[Json]) -> dict[str, str | bytes]:
    return {
        f"apps/{app}/Chart.yaml": f"apiVersion: v2\nname: {app}\nversion: 1.0.0\n",
        f"apps/{app}/templates/all.yaml": write_manifests(manifests, ()),
    }


def namespace_of(name: str) -> Json:
    """The manifest of a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
