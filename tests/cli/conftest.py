"""Running the command line as people do: a process of its own, with streams to look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.origin import PROJECT, Origin

EXECUTABLE = (sys.executable, "-m", "deploy_pipeline.cli")


@dataclass(frozen=True)
class CommandLine:
    """``deploy-pipeline`` in a folder of its own, configured by ``variables`` alone."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        return {**os.environ, "PYTHONPATH": str(PROJECT), **self.variables}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without a terminal."""
        command = [*EXECUTABLE, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def start(self, *arguments: str, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a command on these file descriptors."""
        command = [*EXECUTABLE, *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=stdin, stdout=stdout, stderr=stderr
        )


@pytest.fixture
def unconfigured(tmp_path: Path) -> CommandLine:
    """The command line without any setting."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return CommandLine(folder)


@pytest.fixture
def reading(tmp_path: Path, origin: Origin) -> CommandLine:
    """The command line with the example's repository, and no cluster."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return CommandLine(folder, {"DEPLOY_REPOSITORY": origin.url, "DEPLOY_STATE_DIR": str(tmp_path / "state")})
