"""A sandbox cluster in a process of its own, known by its kubeconfig only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def sandbox_process(directory: Path) -> Iterator[Path]:
    """Run an empty sandbox whose rollouts take 50 ms; gives its kubeconfig."""
    kubeconfig = directory / "kubeconfig"
    state = ("--state", str(directory / "state"), "--kubeconfig", str(kubeconfig), "--rollout-seconds", "0.05")
    command = [sys.executable, "-m", "deploy_pipeline.sandbox", *state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            assert "ready" in said, f"the sandbox did not start: {said}"
            yield kubeconfig
        finally:
            process.terminate()
            process.wait(timeout=30)
