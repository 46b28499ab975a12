"""The box that tools work in, as a program inside sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy_pipeline import isolation
from deploy_pipeline.isolation import Network, limit, network_of_isolated_tools
from deploy_pipeline.tools import ToolResult, isolated_environment, run_tool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has what this asks for")


def boxed(program: str, tmp_path: Path, *, offline: bool = True) -> ToolResult:
    """Run a Python program as rendering runs its tools."""
    command = [sys.executable, "-c", program]
    return run_tool(command, cwd=tmp_path, env=isolated_environment(tmp_path), timeout=20, offline=offline)


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a service on the deployer's machine."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        yield server.server_port


@pytest.fixture
def bare_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system without the programs that make a box."""
    monkeypatch.setattr(os, "defpath", str(tmp_path))
    isolation._offline.cache_clear()
    yield
    isolation._offline.cache_clear()


def test_isolated_tool_reaches_nobody(tmp_path: Path, listening: int) -> None:
    """Not even a service on the deployer's own machine, which no proxy would stand before."""
    if network_of_isolated_tools() is Network.REFUSED:
        pytest.skip("the system gives no network namespace")
    program = f"import socket; socket.create_connection(('127.0.0.1', {listening}), 5)"
    assert boxed(program, tmp_path, offline=False).returncode == 0
    inside = boxed(program, tmp_path)
    assert inside.returncode
    assert "unreachable" in inside.stderr or "refused" in inside.stderr


def test_without_a_namespace_a_proxy_refuses_and_it_is_said(tmp_path: Path, bare_system: None) -> None:
    """Tools run all the same, and what heeds a proxy gets nowhere."""
    assert network_of_isolated_tools() is Network.REFUSED
    tried = boxed("import urllib.request; urllib.request.urlopen('http://charts.example/')", tmp_path)
    assert "Connection refused" in tried.stderr


def test_isolated_tool_has_no_privileges(tmp_path: Path) -> None:
    """Whoever could administer the system could leave the namespace again."""
    if network_of_isolated_tools() is Network.REFUSED:
        pytest.skip("the system gives no network namespace")
    status = boxed("print(open('/proc/self/status').read())", tmp_path).stdout.decode()
    fields = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs")))
    assert fields["NoNewPrivs"] == "1"
    assert int(fields["CapEff"], 16) & ~0b10 == 0  # CAP_DAC_OVERRIDE alone


def test_file_without_end_is_refused(tmp_path: Path) -> None:
    """The disk is not at the tool's disposal; a sparse file counts by its length."""
    result = boxed("file = open('x', 'wb'); file.seek(300 * 1024**2); file.write(b'x'); file.flush()", tmp_path)
    assert "File too large" in result.stderr


def test_files_without_number_cannot_be_open(tmp_path: Path) -> None:
    """Nor all descriptors that the machine has."""
    assert "Too many open files" in boxed("files = [open('/dev/null') for _ in range(2000)]", tmp_path).stderr


def test_cpu_without_end_is_killed(tmp_path: Path) -> None:
    """By the kernel, also if nobody waits any more; the programs are in Go, which ignores the softer signal."""
    program = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    limit(process.pid, 1)
    assert process.wait(timeout=30) == -9
    assert time.monotonic() - started < 20
