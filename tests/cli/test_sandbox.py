"""``sandbox``: a cluster from the shell."""

from __future__ import annotations

import signal
import socket
import subprocess

from deploy_pipeline.settings import tool_path
from tests.cli.conftest import CommandLine


def test_sandbox_serves_kubectl_until_it_is_interrupted(unconfigured: CommandLine) -> None:
    """The kubeconfig it writes leads kubectl to the cluster; Ctrl-C is its ordinary end."""
    arguments = ("sandbox", "--kubeconfig", "kubeconfig", "--state-dir", "state")
    process = unconfigured.start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert b"ready at http://127.0.0.1:" in process.stdout.readline()
    kubectl = [tool_path("kubectl"), "--kubeconfig", "kubeconfig", "get", "namespaces", "--output", "name"]
    listed = subprocess.run(kubectl, check=True, capture_output=True, text=True).stdout
    process.send_signal(signal.SIGINT)

    assert "namespace/default" in listed.split()
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 0


def test_sandbox_on_a_port_in_use_says_so(unconfigured: CommandLine) -> None:
    """A port that somebody else has is an error with a next step."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        before = signal.getsignal(signal.SIGINT)
        result = unconfigured("sandbox", "--port", port, "--state-dir", "state")
        assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C is lost to whoever goes on"

    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "port" in result.stderr
    assert "fault of deploy-pipeline" not in result.stderr
