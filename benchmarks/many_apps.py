"""Diff and release of many apps, beside a shell loop of kubectl over the same kustomizations.

Each side has a sandbox cluster of its own, run by the same code in a process of its own. The loop is what stands in
most CI scripts: one ``kubectl diff -k`` and one ``kubectl apply -k`` for each app. It does less: it neither waits until
anything is ready, nor prunes, nor records. Rollouts take 50 ms, so that what we wait for weighs little.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import Figure, timed
from deploy_pipeline.demo.waiting import Stopped, Waiting
from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.promotion import diff_promotion, promote, render
from deploy_pipeline.release import release_channel
from deploy_pipeline.settings import Settings, tool_path

_CHANNEL = "many"
_OBJECTS = 6
_LOOPS = {"kubectl loop": (), "kubectl loop, server-side": ("--server-side",)}


@dataclass(frozen=True)
class _Seconds:
    """What one side needed."""

    diff_new: float
    release_new: float
    diff_same: float
    release_same: float


def measure(folder: Path, waiting: Waiting, *, count: int) -> Iterator[Figure]:
    """Ours beside each loop, for ``count`` apps of six objects each."""
    tree = folder / "tree"
    _write_apps(tree, count)
    rendering, ours = _deployer(folder, tree, waiting)
    yield Figure(f"{count} apps: render, once for a push", rendering)
    for name, options in _LOOPS.items():
        theirs = _loop(_cluster(folder, f"loop-{count}{''.join(options)}", waiting), tree, options, waiting)
        yield Figure(f"{count} apps, all new: diff", ours.diff_new, "s", None, name, theirs.diff_new)
        yield Figure(f"{count} apps, all new: promote, release", ours.release_new, "s", None, name, theirs.release_new)
        yield Figure(f"{count} apps, unchanged: diff", ours.diff_same, "s", None, name, theirs.diff_same)
        yield Figure(f"{count} apps, unchanged: release", ours.release_same, "s", None, name, theirs.release_same)


def _deployer(folder: Path, tree: Path, waiting: Waiting) -> tuple[float, _Seconds]:
    """Seconds of rendering, and of what follows, by the same functions that the ops call."""
    kubeconfig = _cluster(folder, f"ours-{len(list(tree.glob('apps/*')))}", waiting)
    origin = folder / "origin.git"
    _git(tree, "init", "--quiet", "--initial-branch=main")
    _git(tree, "add", "--all")
    _git(tree, "-c", "user.name=Bench", "-c", "user.email=bench@example.invalid", "commit", "--quiet", "-m", "Apps")
    _git(tree, "clone", "--quiet", "--bare", str(tree), str(origin))
    settings = Settings(repository=origin.as_uri(), state_dir=folder / "state", kubeconfig=kubeconfig)
    deployer = Deployer.from_settings(settings)

    def release() -> None:
        release_channel(deployer, _CHANNEL, trigger="cli", progress=silent, on_app=lambda _: None)

    def promote_and_release() -> None:
        promote(deployer, _CHANNEL, "main", approved_by="bench", progress=silent)
        release()

    rendering, result = timed(lambda: render(deployer, "main", progress=silent))
    assert result.objects == _OBJECTS * len(result.apps)
    diff_new, new = timed(lambda: diff_promotion(deployer, _CHANNEL, "main", progress=silent))
    assert new.counts["create"] == result.objects
    release_new, _ = timed(promote_and_release)
    diff_same, same = timed(lambda: diff_promotion(deployer, _CHANNEL, "main", progress=silent))
    assert same.is_empty
    release_same, _ = timed(release)
    return rendering, _Seconds(diff_new, release_new, diff_same, release_same)


def _loop(kubeconfig: Path, tree: Path, options: tuple[str, ...], waiting: Waiting) -> _Seconds:
    apps = sorted(tree.glob("apps/*"))

    def loop(verb: str, *, expected: int) -> float:
        def each() -> None:
            for app in apps:
                command = [tool_path("kubectl"), "--kubeconfig", str(kubeconfig), verb, *options, "-k", str(app)]
                done = subprocess.run(command, capture_output=True, check=False)
                assert done.returncode == expected, done
                if waiting.stop.is_set():
                    raise Stopped

        return timed(each)[0]

    # kubectl diff ends with 1 if there are differences.
    return _Seconds(
        diff_new=loop("diff", expected=1),
        release_new=loop("apply", expected=0),
        diff_same=loop("diff", expected=0),
        release_same=loop("apply", expected=0),
    )


def _cluster(folder: Path, name: str, waiting: Waiting) -> Path:
    """Start a sandbox cluster; returns its kubeconfig."""
    kubeconfig = folder / f"{name}.kubeconfig"
    command = [sys.executable, "-m", "deploy_pipeline.sandbox", "--rollout-seconds", "0.05"]
    command += ["--state", str(folder / name), "--kubeconfig", str(kubeconfig)]
    waiting.processes.start(name, command, env=os.environ, cwd=Path.cwd())
    waiting.until("a sandbox cluster", kubeconfig.exists)
    # kubectl cannot diff what is to come into a namespace that is not there yet.
    create = [tool_path("kubectl"), "--kubeconfig", str(kubeconfig), "create", "namespace", _CHANNEL]
    subprocess.run(create, check=True, capture_output=True)
    return kubeconfig


def _git(tree: Path, *arguments: str) -> None:
    command = ["git", "-C", str(tree), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def _write_apps(tree: Path, count: int) -> None:
    """A repository with one channel of ``count`` apps."""
    names = [f"app-{number:02d}" for number in range(count)]
    releases = [{"name": name, "driver": "kustomize", "kustomize_dir": f"apps/{name}"} for name in names]
    _write(tree / "channels" / f"{_CHANNEL}.yaml", {"channel": _CHANNEL, "releases": releases})
    _write(tree / "deploy.yaml", {"include": ["channels/**", "apps/**", "deploy.yaml"]})
    for name in names:
        objects = _objects(name)
        for manifest in objects:
            _write(tree / "apps" / name / f"{manifest['kind'].lower()}.yaml", manifest)
        resources = [f"{manifest['kind'].lower()}.yaml" for manifest in objects]
        _write(tree / "apps" / name / "kustomization.yaml", {"namespace": _CHANNEL, "resources": resources})


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
