"""Rendering as a deployer does it, on an origin that a test fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from deploy_pipeline.rendering import RenderResult, render_candidate
from deploy_pipeline.repository import Mirror
from deploy_pipeline.settings import Settings
from tests.support.origin import Origin

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: value}}\n"


def shape(name: str) -> dict[str, Any]:
    """The values of the example's secret values file, masked as the secret stores mask them."""
    return {
        "database": {"password": f"<secret:{name}#/database/password>"},
        "embeddingKey": f"<secret:{name}#/embeddingKey>",
    }


@dataclass
class Deployer:
    """One deployer with a state directory of its own."""

    origin: Origin
    settings: Settings
    secret_shape: Callable[[str], Mapping[str, Any]] = shape
    lines: list[str] = field(default_factory=list)

    @property
    def mirror(self) -> Mirror:
        """Its mirror of the origin."""
        return Mirror(self.origin.url, self.settings.state_dir / "mirror.git")

    def render(self, branch: str = "main") -> RenderResult:
        """Render a branch; the lines of progress are kept."""
        return render_candidate(
            self.mirror,
            branch,
            settings=self.settings,
            secret_shape=self.secret_shape,
            progress=self.lines.append,
        )

    def show(self, path: str, branch: str = "main") -> str:
        """A file of the candidate, as it lies in the origin."""
        return self.origin.show(f"candidates/{branch}", path)

    def files(self, branch: str = "main") -> list[str]:
        """The paths of the candidate."""
        return self.origin.git("ls-tree", "-r", "--name-only", f"candidates/{branch}").splitlines()


@pytest.fixture
def deployer(origin: Origin, tmp_path: Path) -> Deployer:
    """A deployer of the example."""
    return Deployer(origin, Settings(state_dir=tmp_path / "state"))


def small(files: Mapping[str, str] | None = None, *, apps: str = "") -> dict[str, str]:
    """A repository with one channel ``test`` and one kustomize app ``app`` that is a ConfigMap ``one``."""
    default = "  - {name: app, driver: kustomize, kustomize_dir: kubernetes/app}\n"
    return {
        "channels/test.yaml": "channel: test\nreleases:\n" + (dedent(apps) or default),
        "kubernetes/app/kustomization.yaml": "resources: [one.yaml]\n",
        "kubernetes/app/one.yaml": CONFIG_MAP.format(name="one"),
        **(files or {}),
    }


@pytest.fixture
def small_deployer(tmp_path: Path) -> Callable[..., Deployer]:
    """Make a deployer of a small repository: ``small_deployer(files, apps=…, **settings)``."""

    def make(files: Mapping[str, str] | None = None, *, apps: str = "", **settings: Any) -> Deployer:
        origin = Origin.create(tmp_path / "small.git", small(files, apps=apps))
        return Deployer(origin, Settings(state_dir=tmp_path / "state", **settings))

    return make
