"""Running the command line: in this process, which is quick, or as people do, in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy_pipeline.cli.app import app
from tests.support.origin import PROJECT, Origin

EXECUTABLE = (sys.executable, "-m", "deploy_pipeline.cli")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class CommandLine:
    """``deploy-pipeline`` in the folder where the test is, configured by ``variables`` alone."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def having(self, **variables: str) -> CommandLine:
        """The same, with further variables."""
        return replace(self, variables={**self.variables, **variables})

    def __call__(self, *arguments: str) -> Ended:
        """Run a command in this process, without a terminal."""
        result = CliRunner().invoke(app, arguments, prog_name="deploy-pipeline", env=dict(self.variables))
        return Ended(result.exit_code, result.stdout, result.stderr)

    def process(self, *arguments: str) -> Ended:
        """Run a command in a process of its own, without a terminal."""
        process = self.start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stdout, stderr = process.communicate(timeout=100)
        return Ended(process.returncode, stdout.decode(), stderr.decode())

    def start(self, *arguments: str, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a command on these file descriptors."""
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), **self.variables}
        command = [*EXECUTABLE, *arguments]
        return subprocess.Popen(command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr)


def read_terminal(terminal: int) -> str:
    """All that is still written to a pseudo-terminal, until no process has its other side open; closes it."""
    seen = b""
    with suppress(OSError):  # how Linux says that the other side is closed
        while part := os.read(terminal, 65536):
            seen += part
    os.close(terminal)
    return seen.decode()


@pytest.fixture
def unconfigured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line without any setting, in an empty folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return CommandLine(folder)


@pytest.fixture
def reading(unconfigured: CommandLine, origin: Origin, tmp_path: Path) -> CommandLine:
    """The command line with the example's repository, and no cluster."""
    return unconfigured.having(DEPLOY_REPOSITORY=origin.url, DEPLOY_STATE_DIR=str(tmp_path / "state"))
