"""Diff and release of many apps, beside a shell loop of kubectl over the same kustomizations.

The loop is what stands in most CI scripts: one ``kubectl diff -k`` and one ``kubectl apply -k`` for each app. It does
less: it neither waits until anything is ready, nor prunes, nor records. And it builds each kustomization both times,
which our diff and release do not: it was done when the candidate was rendered. So there are two comparisons, of the
steps by themselves, and of all that a push costs until its diff is there, or until it is released. Neither side's
``git push`` and waiting is counted.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.clusters import Clusters, kubectl
from benchmarks.figures import Figure, timed
from deploy_pipeline.demo.waiting import Stopped
from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.promotion import diff_promotion, promote, render
from deploy_pipeline.release import ReleaseRequest, release_channel
from deploy_pipeline.settings import Settings

_CHANNEL = "deploy-bench"
_SYSTEM = f"{_CHANNEL}-system"
_LOOPS = {"kubectl loop": (), "kubectl loop, server-side": ("--server-side",)}


@dataclass(frozen=True)
class _Ours:
    """What we needed for one state of the apps. The promotion makes the change set again, as in the pipeline."""

    render: float
    diff: float
    promote: float
    release: float


@dataclass(frozen=True)
class _Loop:
    """What the loop needed for it."""

    diff: float
    apply: float


def measure(folder: Path, clusters: Clusters, *, count: int, loops: int = len(_LOOPS)) -> Iterator[Figure]:
    """Ours beside the first of the loops, for ``count`` apps of six objects each."""
    tree = folder / "tree"
    _write_apps(tree, count, clusters.replicas)
    with clusters.empty(f"ours-{count}", _CHANNEL, _SYSTEM) as kubeconfig:
        measured = _deployer(folder, tree, kubeconfig, clusters)
    for state, ours in measured.items():
        yield Figure(f"{count} apps, {state}: render", ours.render)
        yield Figure(f"{count} apps, {state}: promote", ours.promote)
    for name, options in list(_LOOPS.items())[:loops]:
        with clusters.empty(f"loop-{count}{''.join(options)}", _CHANNEL) as kubeconfig:
            theirs = _loop(kubeconfig, tree, options, clusters)
        for state, ours in measured.items():
            for what, seconds, instead in _compared(ours, theirs[state]):
                yield Figure(f"{count} apps, {state}: {what}", seconds, "s", None, name, instead)


def _compared(ours: _Ours, loop: _Loop) -> Iterator[tuple[str, float, float]]:
    """What is compared, with our seconds and those of the loop."""
    yield "diff", ours.diff, loop.diff
    yield "release", ours.release, loop.apply
    yield "push to diff", ours.render + ours.diff, loop.diff
    yield "push to released", ours.render + ours.promote + ours.release, loop.diff + loop.apply


def _states(tree: Path) -> Iterator[str]:
    """Each state of the apps, in turn; what differs from the one before is written when it is asked for."""
    _set_images(tree, 1, every=True)
    yield "all new"
    yield "unchanged"
    _set_images(tree, 2, every=False)
    yield "one changed"
    _set_images(tree, 3, every=True)
    yield "all changed"


def _deployer(folder: Path, tree: Path, kubeconfig: Path, clusters: Clusters) -> Mapping[str, _Ours]:
    """Each state of the apps brought about by the same functions that the ops call."""
    origin = folder / "origin.git"
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    _git(tree, "init", "--quiet", "--initial-branch=main")
    settings = Settings(
        repository=origin.as_uri(), state_dir=folder / "state", kubeconfig=kubeconfig, system_namespace=_SYSTEM
    )
    deployer = Deployer.from_settings(settings)
    measured = {}
    for state in _states(tree):
        if clusters.stop.is_set():
            raise Stopped
        _push(tree, origin)
        measured[state] = _Ours(
            render=timed(lambda: render(deployer, "main", progress=silent))[0],
            diff=timed(lambda: diff_promotion(deployer, _CHANNEL, "main", progress=silent))[0],
            promote=timed(lambda: promote(deployer, _CHANNEL, "main", approved_by="bench", progress=silent))[0],
            release=timed(_release(deployer))[0],
        )
    return measured


def _release(deployer: Deployer) -> Callable[[], object]:
    request = ReleaseRequest(_CHANNEL, "cli")
    return lambda: release_channel(deployer, request, progress=silent, on_app=lambda _: None)


def _loop(kubeconfig: Path, tree: Path, options: tuple[str, ...], clusters: Clusters) -> Mapping[str, _Loop]:
    apps = sorted(tree.glob("apps/*"))

    def loop(verb: str) -> None:
        for app in apps:
            # kubectl diff ends with 1 if there are differences.
            kubectl(kubeconfig, verb, *options, "-k", str(app), fine=(0, 1) if verb == "diff" else (0,))
            if clusters.stop.is_set():
                raise Stopped

    return {
        state: _Loop(diff=timed(lambda: loop("diff"))[0], apply=timed(lambda: loop("apply"))[0])
        for state in _states(tree)
    }


def _push(tree: Path, origin: Path) -> None:
    _git(tree, "add", "--all")
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid")
    _git(tree, *identity, "commit", "--quiet", "--allow-empty", "-m", "Apps")
    _git(tree, "push", "--quiet", str(origin), "HEAD:main")


def _git(folder: Path, *arguments: str) -> None:
    command = ["git", "-C", str(folder), *arguments]
    # In a session of its own: Ctrl-C asks this process to stop, and would break git off besides.
    subprocess.run(command, check=True, capture_output=True, start_new_session=True)


def _write_apps(tree: Path, count: int, replicas: int) -> None:
    """A repository with one channel of ``count`` apps."""
    names = [f"app-{number:03d}" for number in range(count)]
    releases = [{"name": name, "driver": "kustomize", "kustomize_dir": f"apps/{name}"} for name in names]
    _write(tree / "channels" / f"{_CHANNEL}.yaml", {"channel": _CHANNEL, "releases": releases})
    _write(tree / "deploy.yaml", {"include": ["channels/**", "apps/**", "deploy.yaml"]})
    for name in names:
        objects = _objects(name, replicas)
        for manifest in objects:
            _write(tree / "apps" / name / f"{manifest['kind'].lower()}.yaml", manifest)
        resources = [f"{manifest['kind'].lower()}.yaml" for manifest in objects]
        _write(tree / "apps" / name / "kustomization.yaml", {"namespace": _CHANNEL, "resources": resources})


def _set_images(tree: Path, version: int, *, every: bool) -> None:
    """Let the Deployment of each app, or of the first one, run this version of its image."""
    apps = sorted(tree.glob("apps/*"))
    for app in apps if every else apps[:1]:
        path = app / "deployment.yaml"
        manifest = yaml.safe_load(path.read_text())
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry.example/app:{version}"
        _write(path, manifest)


def _objects(name: str, replicas: int) -> list[dict[str, Any]]:
    """Six objects, of the kinds that most apps have."""
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "app",
        "image": "registry.example/app:1",
        "ports": [{"containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": name}}],
    }
    pod = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": name, "containers": [container]}}
    selector = {"matchLabels": labels}
    backend = {"service": {"name": name, "port": {"number": 80}}}
    # A class that no controller serves: nothing shall open a port for it, or take traffic from others.
    ingress = {"ingressClassName": _CHANNEL, "defaultBackend": backend}
    return [
        _object("v1", "ServiceAccount", name),
        _object("v1", "ConfigMap", name, data={f"KEY_{number}": "value" for number in range(10)}),
        _object("v1", "Service", name, spec={"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}),
        _object("networking.k8s.io/v1", "NetworkPolicy", name, spec={"podSelector": selector}),
        _object("networking.k8s.io/v1", "Ingress", name, spec=ingress),
        _object("apps/v1", "Deployment", name, spec={"replicas": replicas, "selector": selector, "template": pod}),
    ]


def _object(version: str, kind: str, name: str, **content: object) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False))
