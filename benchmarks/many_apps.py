"""Diff and release of many apps, beside a shell loop of kubectl over the same kustomizations.

Each side has a sandbox cluster of its own, run by the same code in a process of its own. The loop is what stands in
most CI scripts: one ``kubectl diff -k`` and one ``kubectl apply -k`` for each app. It does less: it neither waits until
anything is ready, nor prunes, nor records. Pods are ready at once, as how long containers start is neither's doing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import Figure, timed
from deploy_pipeline.demo.waiting import Stopped, Waiting
from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.promotion import diff_promotion, promote, render
from deploy_pipeline.release import ReleaseRequest, release_channel
from deploy_pipeline.settings import Settings, tool_path

_CHANNEL = "many"
_OBJECTS = 6
_LOOPS = {"kubectl loop": (), "kubectl loop, server-side": ("--server-side",)}


@dataclass(frozen=True)
class _Seconds:
    """What one side needed to show a state of the apps, and to bring it about; ``promote`` is ours alone."""

    diff: float
    release: float
    promote: float = 0.0


_Measured = Mapping[str, _Seconds]


def measure(folder: Path, waiting: Waiting, *, count: int, loops: int = len(_LOOPS)) -> Iterator[Figure]:
    """Ours beside the first of the loops, for ``count`` apps of six objects each."""
    tree = folder / "tree"
    _write_apps(tree, count)
    rendering, ours = _deployer(folder, tree, waiting)
    yield Figure(f"{count} apps: render, once for a push", rendering)
    for state, seconds in ours.items():
        yield Figure(f"{count} apps, {state}: promote", seconds.promote)
    for name, options in list(_LOOPS.items())[:loops]:
        theirs = _loop(_cluster(folder, f"loop-{count}{''.join(options)}", waiting), tree, options, waiting)
        for state, seconds in ours.items():
            other = theirs[state]
            yield Figure(f"{count} apps, {state}: diff", seconds.diff, "s", None, name, other.diff)
            yield Figure(f"{count} apps, {state}: release", seconds.release, "s", None, name, other.release)


def _states(tree: Path) -> Iterator[str]:
    """Each state of the apps, in turn; what differs from the one before is written when it is asked for."""
    _set_images(tree, 1, every=True)
    yield "all new"
    yield "unchanged"
    _set_images(tree, 2, every=False)
    yield "one changed"
    _set_images(tree, 3, every=True)
    yield "all changed"


def _deployer(folder: Path, tree: Path, waiting: Waiting) -> tuple[float, _Measured]:
    """Seconds of the first rendering, and of what follows, by the same functions that the ops call."""
    kubeconfig = _cluster(folder, f"ours-{len(list(tree.glob('apps/*')))}", waiting)
    origin = folder / "origin.git"
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    _git(tree, "init", "--quiet", "--initial-branch=main")
    settings = Settings(repository=origin.as_uri(), state_dir=folder / "state", kubeconfig=kubeconfig)
    deployer = Deployer.from_settings(settings)
    rendering: list[float] = []
    measured = {}
    for state in _states(tree):
        _push(tree, origin)
        rendering.append(timed(lambda: render(deployer, "main", progress=silent))[0])
        measured[state] = _Seconds(
            diff=timed(lambda: diff_promotion(deployer, _CHANNEL, "main", progress=silent))[0],
            promote=timed(lambda: promote(deployer, _CHANNEL, "main", approved_by="bench", progress=silent))[0],
            release=timed(_release(deployer))[0],
        )
    return rendering[0], measured


def _release(deployer: Deployer) -> Callable[[], object]:
    request = ReleaseRequest(_CHANNEL, "cli")
    return lambda: release_channel(deployer, request, progress=silent, on_app=lambda _: None)


def _loop(kubeconfig: Path, tree: Path, options: tuple[str, ...], waiting: Waiting) -> _Measured:
    apps = sorted(tree.glob("apps/*"))

    def loop(verb: str) -> None:
        for app in apps:
            command = [tool_path("kubectl"), "--kubeconfig", str(kubeconfig), verb, *options, "-k", str(app)]
            done = subprocess.run(command, capture_output=True, check=False)
            # kubectl diff ends with 1 if there are differences.
            assert done.returncode in ((0, 1) if verb == "diff" else (0,)), done
            if waiting.stop.is_set():
                raise Stopped

    return {
        state: _Seconds(diff=timed(lambda: loop("diff"))[0], release=timed(lambda: loop("apply"))[0])
        for state in _states(tree)
    }


def _cluster(folder: Path, name: str, waiting: Waiting) -> Path:
    """Start a sandbox cluster; returns its kubeconfig."""
    kubeconfig = folder / f"{name}.kubeconfig"
    command = [sys.executable, "-m", "deploy_pipeline.sandbox", "--rollout-seconds", "0"]
    command += ["--state", str(folder / name), "--kubeconfig", str(kubeconfig)]
    waiting.processes.start(name, command, env=os.environ, cwd=Path.cwd())
    waiting.until("a sandbox cluster", kubeconfig.exists)
    # kubectl cannot diff what is to come into a namespace that is not there yet.
    create = [tool_path("kubectl"), "--kubeconfig", str(kubeconfig), "create", "namespace", _CHANNEL]
    subprocess.run(create, check=True, capture_output=True)
    return kubeconfig


def _push(tree: Path, origin: Path) -> None:
    _git(tree, "add", "--all")
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid")
    _git(tree, *identity, "commit", "--quiet", "--allow-empty", "-m", "Apps")
    _git(tree, "push", "--quiet", str(origin), "HEAD:main")


def _git(folder: Path, *arguments: str) -> None:
    command = ["git", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def _write_apps(tree: Path, count: int) -> None:
    """A repository with one channel of ``count`` apps."""
    names = [f"app-{number:03d}" for number in range(count)]
    releases = [{"name": name, "driver": "kustomize", "kustomize_dir": f"apps/{name}"} for name in names]
    _write(tree / "channels" / f"{_CHANNEL}.yaml", {"channel": _CHANNEL, "releases": releases})
    _write(tree / "deploy.yaml", {"include": ["channels/**", "apps/**", "deploy.yaml"]})
    for name in names:
        objects = _objects(name)
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


def _objects(name: str) -> list[dict[str, Any]]:
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
    return [
        _object("v1", "ServiceAccount", name),
        _object("v1", "ConfigMap", name, data={f"KEY_{number}": "value" for number in range(10)}),
        _object("v1", "Service", name, spec={"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}),
        _object("policy/v1", "PodDisruptionBudget", name, spec={"minAvailable": 1, "selector": selector}),
        _object("networking.k8s.io/v1", "Ingress", name, spec={"defaultBackend": backend}),
        _object("apps/v1", "Deployment", name, spec={"replicas": 1, "selector": selector, "template": pod}),
    ]


def _object(version: str, kind: str, name: str, **content: object) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False))
