"""The fixtures that the other tests stand on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import tool_path
from tests.conftest import IDENTITY
from tests.support.origin import PROJECT, Origin, example_files


def test_environment_holds_nothing_of_the_caller() -> None:
    """Settings and git cannot be steered by whoever runs the tests."""
    steering = [name for name in os.environ if name.startswith(("DEPLOY_", "GIT_DIR", "GIT_WORK_TREE", "KUBECONFIG"))]
    assert steering == []
    assert (Path.home() / ".gitconfig").read_text() == IDENTITY


def test_origin_holds_the_example(origin: Origin) -> None:
    """The branch main has exactly the example's files."""
    listed = origin.git("ls-tree", "-r", "--name-only", "main").splitlines()
    assert listed == sorted(example_files())
    assert "channels/prod.yaml" in listed


def test_origin_commits_changes_and_removals(origin: Origin) -> None:
    """A new branch begins at main, gets contents as given and loses what is removed."""
    text = "größer\nohne Zeilenende"
    commit = origin.commit("feature/ä", {"channels/neu.yaml": text, "deploy.yaml": None}, "Zwei Änderungen")

    assert origin.heads()["feature/ä"] == commit
    assert origin.show(commit, "channels/neu.yaml") == text
    assert "deploy.yaml" not in origin.git("ls-tree", "-r", "--name-only", commit).splitlines()
    assert origin.git("rev-parse", f"{commit}^").strip() == origin.heads()["main"]

    origin.delete("feature/ä")
    assert list(origin.heads()) == ["main"]


def test_http_origin_can_be_cloned_and_pushed_to(http_origin: Origin, tmp_path: Path) -> None:
    """A push too large for one request body arrives, too: git sends it in chunks."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", http_origin.url, str(clone)], check=True)
    (clone / "large").write_bytes(os.urandom(3 * 1024 * 1024))
    for command in (["add", "large"], ["commit", "--quiet", "-m", "Large"], ["push", "--quiet", "origin", "HEAD:big"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True)

    assert "big" in http_origin.heads()
    assert int(http_origin.git("cat-file", "-s", "big:large")) == 3 * 1024 * 1024


@pytest.mark.parametrize("overlay", ["archiver-prod", "web-prod"])
def test_sandbox_cluster_takes_the_example(sandbox_cluster: SandboxCluster, tmp_path: Path, overlay: str) -> None:
    """The real kubectl applies an app of the example to it and sees the rollout end."""
    kubeconfig = tmp_path / "kubeconfig"
    sandbox_cluster.write_kubeconfig(kubeconfig)
    app = overlay.partition("-")[0]
    kubectl = [tool_path("kubectl"), "--kubeconfig", str(kubeconfig), "--namespace", app]
    apply = ["apply", "--server-side", "-k", str(PROJECT / "kubernetes" / "apps" / "overlays" / overlay)]
    subprocess.run([*kubectl, *apply], check=True)

    rollout = ["rollout", "status", f"deployment/{app}", "--timeout=10s"]
    assert b"successfully rolled out" in subprocess.run([*kubectl, *rollout], capture_output=True, check=True).stdout
