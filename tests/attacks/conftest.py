"""Attacks as anybody can make them who may push a branch: what it holds, and what came of rendering it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_pipeline.errors import DeployError
from deploy_pipeline.settings import Settings
from tests.rendering.conftest import Deployer, small
from tests.support.origin import Origin

SECRET = "the-deployers-own-secret"
CHART_APP = {
    "driver": "helm",
    "namespace": "web",
    "helm_name": "rel",
    "helm_chart": "kubernetes/c",
    "helm_values": ["kubernetes/v.yaml"],
}
CHART = {
    "kubernetes/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    "kubernetes/c/templates/x.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {v: {{ .Values.v }}}\n"
    ),
    "kubernetes/v.yaml": "v: of-the-branch\n",
}


def helm_app(**keys: Any) -> str:
    """The app of a channel file, with the chart."""
    return yaml.safe_dump([{"name": "app", **CHART_APP, **keys}])


def kustomize_apps(kustomizations: Iterable[str]) -> tuple[dict[str, str], str]:
    """An app for each kustomization, in the folder ``kubernetes/<number>``: the files, and the apps."""
    files = {f"kubernetes/{number}/kustomization.yaml": text for number, text in enumerate(kustomizations)}
    apps = [
        {"name": f"app-{number}", "driver": "kustomize", "kustomize_dir": f"kubernetes/{number}"}
        for number in range(len(files))
    ]
    return files, yaml.safe_dump(apps)


@dataclass
class Attacker:
    """Somebody who may push, and the deployer that renders what they push.

    ``outside`` is a folder of the deployer with a secret in it, which no branch may read; ``marker`` is a file that no
    branch may make.
    """

    directory: Path
    links: dict[str, str] = field(default_factory=dict)

    @property
    def outside(self) -> Path:
        """The deployer's folder."""
        return self.directory / "outside"

    @property
    def marker(self) -> Path:
        """What a program that runs would leave behind."""
        return self.directory / "marker"

    def push(self, files: Mapping[str, str | bytes], apps: str = "", **settings: Any) -> Deployer:
        """Push a branch with these files, and the symlinks of ``links``; gives the deployer that will render it."""
        origin = Origin.create(self.directory / "origin.git", {**small(apps=apps), **files})
        for path, target in self.links.items():
            blob = origin.git("hash-object", "-w", "--stdin", stdin=target.encode()).strip()
            self.push_entry(origin, f"120000 {blob}\t{path}\n")
        return Deployer(origin, Settings(state_dir=self.directory / "state", **settings))

    @staticmethod
    def push_entry(origin: Origin, line: str) -> None:
        """Push an entry of a tree that no checkout of git would make."""
        environment = os.environ | {"GIT_INDEX_FILE": str(origin.path / "attack-index")}
        git = ["git", "-C", str(origin.path)]
        subprocess.run([*git, "read-tree", "main"], env=environment, check=True)
        subprocess.run(
            [*git, "update-index", "--add", "--index-info"], input=line.encode(), env=environment, check=True
        )
        tree = subprocess.run([*git, "write-tree"], env=environment, check=True, capture_output=True, text=True).stdout
        commit = origin.git("commit-tree", "-p", "main", "-m", "Attack", tree.strip()).strip()
        origin.git("update-ref", "refs/heads/main", commit)

    def told(self, deployer: Deployer) -> str:
        """What people are told when the branch is refused. Nothing was pushed, run or shown."""
        with pytest.raises(DeployError) as refused:
            deployer.render()
        told = str(refused.value)
        assert "candidates/main" not in deployer.origin.heads()
        assert SECRET not in told
        assert "Next step" in told
        return told

    def refused(self, files: Mapping[str, str | bytes], apps: str = "", **settings: Any) -> str:
        """Push the branch, and see it refused."""
        return self.told(self.push(files, apps, **settings))


@pytest.fixture
def attacker(tmp_path: Path) -> Iterator[Attacker]:
    """One that is stopped: whatever the test does, nothing of the branch ran."""
    attacker = Attacker(tmp_path)
    attacker.outside.mkdir()
    (attacker.outside / "values.yaml").write_text(f"v: {SECRET}\n")
    (attacker.outside / "kustomization.yaml").write_text("resources: []\n")
    yield attacker
    assert not attacker.marker.exists()
