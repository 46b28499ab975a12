"""Directories for secrets: closed to others, and gone also when their process could not clean up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy_pipeline import private_files
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.private_files import own_prefix, private_directory, sweep
from deploy_pipeline.settings import Settings

HOLDING = """
import sys, time
from deploy_pipeline.private_files import private_directory
with private_directory() as directory:
    (directory / "secret").write_text("hunter2")
    print(directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the system's."""
    monkeypatch.setattr(private_files, "_MEMORY", tmp_path)
    return tmp_path


def test_nobody_else_can_look_into_it(memory: Path) -> None:
    """And it is gone after the block, whatever ends that."""

    def stopped() -> None:
        with private_directory() as directory:
            assert directory.stat().st_mode & 0o777 == 0o700
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(memory.iterdir()) == []


def test_what_a_killed_process_left_goes_when_a_deployer_starts() -> None:
    """In the place where it really lies; what a living process has there stays."""
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        left = Path(process.stdout.readline().strip())
        with private_directory() as own:
            Deployer.from_settings(Settings(repository="/nowhere.git"))
            assert (left / "secret").exists()
            process.send_signal(signal.SIGKILL)
            process.wait()
            Deployer.from_settings(Settings(repository="/nowhere.git"))
            assert not left.exists()
            assert own.exists()


def test_a_number_that_is_used_again_keeps_nothing(memory: Path) -> None:
    """A container's processes have the same numbers each time it starts."""
    (memory / f"deploy-pipeline-{os.getpid()}-1-abc").mkdir()
    (memory / f"{own_prefix()}abc").mkdir()
    sweep()
    assert [path.name for path in memory.iterdir()] == [f"{own_prefix()}abc"]
