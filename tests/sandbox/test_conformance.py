"""The sandbox answers as a real kube-apiserver did when the recordings were made."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from deploy_pipeline.sandbox import SandboxCluster
from tests.sandbox.conftest import tool

HERE = Path(__file__).with_name("conformance")
RECORDINGS = sorted((HERE / "recordings").glob("*.json"))


def load_replay() -> ModuleType:
    """The tool that replays recordings, which is a script."""
    spec = importlib.util.spec_from_file_location("replay", HERE / "replay.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_exchanges_are_answered_alike(path: Path, cluster: SandboxCluster) -> None:
    """Replay one topic and compare every answer."""
    replay, said = load_replay(), list[str]()
    passed, failed = replay.replay(path, replay.Server(cluster.url), said.append)
    assert not failed, "\n".join(said)
    assert passed == len([e for e in json.loads(path.read_text())["exchanges"] if not e.get("background")])


def test_recorded_commands_print_the_same(cluster: SandboxCluster, tmp_path: Path) -> None:
    """The real kubectl and helm end with the recorded exit codes and output."""
    kubeconfig = tmp_path / "kubeconfig"
    cluster.write_kubeconfig(kubeconfig)
    tools = ["--kubectl", tool("kubectl"), "--helm", tool("helm")]
    command = [sys.executable, str(HERE / "commands.py"), "--kubeconfig", str(kubeconfig), *tools]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
