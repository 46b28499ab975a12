"""A repository of a few plain objects: quicker than the example, and each test says what lies in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from deploy_pipeline.changes import ChangeSet, ObjectChange
from deploy_pipeline.promotion import diff_promotion
from deploy_pipeline.release import ReleaseResult
from tests.actions.conftest import World

NAMESPACE = "shop"


def manifest(kind: str, name: str = "web", version: str = "v1", **content: Any) -> dict[str, Any]:
    """A manifest; ``labels`` and ``annotations`` go into its metadata."""
    metadata: dict[str, Any] = {"name": name}
    metadata |= {key: content.pop(key) for key in ("labels", "annotations") if key in content}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def config_map(name: str = "web", /, annotations: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    made = manifest("ConfigMap", name, data=data)
    if annotations:
        made["metadata"]["annotations"] = annotations
    return made


def deployment(name: str = "web", *, replicas: int | None = 1, image: str = "web:1", **labels: str) -> dict[str, Any]:
    """A Deployment of one container; ``labels`` select its pods."""
    labels = labels or {"app": name}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}},
    }
    return manifest("Deployment", name, "apps/v1", spec=spec | ({} if replicas is None else {"replicas": replicas}))


@dataclass
class Small:
    """Channels of kustomize apps, each in a folder of its own."""

    world: World
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def channel(self, name: str = "test", **keys: Any) -> None:
        """What the channel file says besides its apps."""
        self.channels.setdefault(name, {"channel": name, "releases": []}).update(keys)

    def put(self, app: str, *manifests: dict[str, Any], channel: str = "test", **keys: Any) -> None:
        """Let an app of the channel have these objects, and these keys in the channel file."""
        self.channel(channel)
        self.drop(app, channel=channel)
        folder = f"apps/{channel}-{app}"
        entry = {"name": app, "driver": "kustomize", "kustomize_dir": folder, **keys}
        self.channels[channel]["releases"].append(entry)
        kustomization = {"namespace": NAMESPACE, "resources": ["objects.yaml"] if manifests else []}
        self.files[f"{folder}/kustomization.yaml"] = yaml.safe_dump(kustomization)
        self.files[f"{folder}/objects.yaml"] = yaml.safe_dump_all(manifests)

    def put_chart(self, app: str, *manifests: dict[str, Any], **keys: Any) -> None:
        """Let a Helm app with the release ``shop`` have a chart of these objects."""
        self.channel()
        self.drop(app)
        entry = {"name": app, "driver": "helm", "namespace": NAMESPACE, "helm_name": "shop", "helm_chart": "apps/chart"}
        self.channels["test"]["releases"].append({**entry, "timeout": "20s", **keys})
        self.files["apps/chart/Chart.yaml"] = "apiVersion: v2\nname: shop\nversion: 0.1.0\n"
        self.files["apps/chart/templates/all.yaml"] = yaml.safe_dump_all(manifests)

    def drop(self, app: str, *, channel: str = "test") -> None:
        """Let the app leave the channel."""
        releases = self.channels[channel]["releases"]
        releases[:] = [entry for entry in releases if entry["name"] != app]

    def push(self) -> None:
        """Commit all of it on ``main``, and render."""
        files = {f"channels/{name}.yaml": yaml.safe_dump(content) for name, content in self.channels.items()}
        files["deploy.yaml"] = "include: [channels/**, apps/**, deploy.yaml]\n"
        self.world.origin.commit("main", files | self.files)
        self.world.render()

    def diff(self, channel: str = "test") -> ChangeSet:
        """What releasing what lies here would change."""
        self.push()
        return diff_promotion(self.world.deployer, channel, "main", progress=self.world.progress.append)

    def deliver(self, channel: str = "test") -> ReleaseResult:
        """Push, render, promote, release."""
        self.push()
        self.world.promote(channel=channel)
        return self.world.release(channel)

    def release_killed_before(self, kind: str) -> None:
        """Promote what lies here, and begin a release that is killed right before it applies an object of this kind."""
        self.push()
        self.world.promote()
        objects = self.world.deployer.cluster("test").objects
        apply = objects.apply

        def killed(desired: dict[str, Any], **more: Any) -> Any:
            if desired["kind"] == kind:
                raise KeyboardInterrupt
            return apply(desired, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objects, "apply", killed)
            with pytest.raises(KeyboardInterrupt):
                self.world.release()

    def change(self, name: str = "web", kind: str = "", channel: str = "test") -> ObjectChange:
        """What would happen to the one object of that name (and kind)."""
        found = [c for app in self.diff(channel).apps for c in app.objects if c.ref.name == name]
        (change,) = [c for c in found if kind in ("", c.ref.kind)]
        return change

    def live(self, kind: str, name: str = "web") -> Any:
        """The object in the cluster, or None."""
        return self.world.object(kind, name, NAMESPACE)
