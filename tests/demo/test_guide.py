"""The commands that the guide prints can be copied as they stand."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy_pipeline.demo.clusters import join_kubeconfigs
from deploy_pipeline.demo.guide import guide, lessons, write_environment
from deploy_pipeline.demo.home import Home
from deploy_pipeline.demo.repository import Repository
from deploy_pipeline.sandbox import SandboxCluster
from tests.support.origin import PROJECT

_MANIFEST = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
        },
    },
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a blank in its path, which every command must survive."""
    path = tmp_path / "the demo"
    path.mkdir()
    return Home(path)


def _commands(home: Home) -> list[str]:
    return [command for lesson in lessons(home) for command in lesson.commands]


def _run(command: str) -> str:
    done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_every_command_parses_and_is_printed(home: Home) -> None:
    """A shell finds no fault with any of them, and the page shows them all."""
    page = guide(home, "http://127.0.0.1:3000")
    for command in _commands(home):
        assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0
        assert f"  {command}\n" in page


def test_the_git_commands_push_a_broken_image_and_its_fix(home: Home) -> None:
    """Run one after the other as printed, they change the image tag on the pushed branch and nothing else."""
    repository = Repository.create(home.origin, home.clone)
    tags = []
    for lesson in lessons(home)[1:3]:
        for command in lesson.commands[:-1]:
            _run(command)
        assert repository.git("status", "--porcelain") == ""
        shown = repository.git("show", "origin/trial:kubernetes/apps/overlays/web-test/kustomization.yaml")
        tags += [image["newTag"] for image in yaml.safe_load(shown)["images"]]
    assert tags == ["broken", "1.9.0"]
    assert repository.git("diff", "--stat", "origin/main", "origin/trial").count("|") == 1


def test_the_kubectl_commands_make_drift_in_prod(home: Home, tmp_path: Path) -> None:
    """The printed command scales the Deployment in the cluster of prod, by the demo's kubeconfig."""
    with SandboxCluster(tmp_path / "cluster", rollout_seconds=0.05) as cluster:
        cluster.write_kubeconfig(tmp_path / "own")
        join_kubeconfigs({"test": tmp_path / "own", "prod": tmp_path / "own"}, home.kubeconfig)
        kubectl = lessons(home)[0].commands[0]
        prefix = kubectl[: kubectl.index(" scale ")]
        (tmp_path / "web.yaml").write_text(yaml.safe_dump(_MANIFEST))
        _run(f"{prefix} create namespace web")
        _run(f"{prefix} create --filename {tmp_path}/web.yaml")
        _run(kubectl)
        assert _run(f"{prefix} get deployment web -n web -o 'jsonpath={{.spec.replicas}}'") == "5"


def test_the_rotation_changes_one_value_of_the_store(home: Home) -> None:
    """The printed command writes to the demo's own copy of the secrets."""
    shutil.copytree(PROJECT / "deploy_pipeline" / "demo" / "secrets", home.secrets)
    (rotation,) = (lesson for lesson in lessons(home) if lesson.title.startswith("Rotation"))
    files = {path: yaml.safe_load(path.read_text()) for path in home.secrets.iterdir()}
    _run(rotation.commands[0])
    now = {path: yaml.safe_load(path.read_text()) for path in home.secrets.iterdir()}
    ((path, secret),) = ((path, now[path]) for path in now if now[path] != files.get(path))
    assert path.name == "archiver_feed-secrets.yaml"
    assert secret["stringData"] == {"FEED_API_KEY": "one-more-unreal-key", "FEED_API_USER": "demo"}


def test_the_environment_file_gives_a_shell_the_settings(home: Home) -> None:
    """Sourced, it exports each setting with exactly its value."""
    settings = {"DEPLOY_REPOSITORY": "file:///a b/it's.git", "DEPLOY_CONTEXTS": "test=test,prod=prod"}
    write_environment(home, settings)
    shown = _run(f". {shlex.quote(str(home.environment))}; env")
    for name, value in settings.items():
        assert f"{name}={value}\n" in shown
