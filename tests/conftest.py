"""What every test may ask for: a clean environment, a repository to deploy, a cluster to deploy to, secrets."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from deploy_pipeline import process_redaction
from tests.support.git_http import serve_git
from tests.support.origin import PROJECT, Origin, example_files
from tests.support.sandbox_process import sandbox_process

if TYPE_CHECKING:
    from deploy_pipeline.sandbox import SandboxCluster

# Whatever of the caller's environment would change what git, kubectl, helm, Dagster or the deployer do.
FOREIGN_PREFIXES = ("GIT_", "DEPLOY_", "DAGSTER_", "HELM_", "KUBE", "XDG_")
FOREIGN_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# The tools chosen by the caller stay (KUBECTL and HELM), as settings.tool_path promises.
TOOLS = ("KUBECTL", "HELM")

MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 6 << 30  # bytes

IDENTITY = "[user]\n\tname = Test\n\temail = test@example.invalid\n"

# How long one example takes says more about the machine's other work than about the code. (Under CI, Hypothesis itself
# chooses the same examples each time.)
settings.register_profile("project", settings(), deadline=None)
settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    """Let the tests' directories lie in memory where there is plenty: a third of the time went to the disk."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_MEMORY:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_addoption(parser: pytest.Parser) -> None:
    """A cluster is used only if it is named by an option: KUBECONFIG may name anything."""
    parser.addoption("--cluster", metavar="KUBECONFIG", help="kubeconfig of a real cluster, instead of the sandbox")


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Shut the caller's configuration out; the session has a HOME and a git identity of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name not in TOOLS and (name.startswith(FOREIGN_PREFIXES) or name.upper() in FOREIGN_NAMES):
                patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        (home / ".gitconfig").write_text(IDENTITY)  # variables would have to be kept from every git of the deployer
        patch.setenv("HOME", str(home))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        patch.setenv("GOGC", "400")  # a third less time for each kubectl and helm that a test starts
        # Whoever starts the tests in the background has SIGINT ignored, and every process that they start inherits it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


@pytest.fixture(autouse=True)
def forgetful_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees texts masked for what another one's secrets were; a process remembers them all."""
    monkeypatch.setattr(process_redaction, "_everything", type(process_redaction._everything)(b"key"))


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """The example as a bare repository with one commit on ``main``, reached by a file URL."""
    return Origin.create(tmp_path / "origin" / "example.git", example_files())


@pytest.fixture
def example_repository(origin: Origin) -> Path:
    """The path of that repository."""
    return origin.path


@pytest.fixture
def http_origin(tmp_path: Path) -> Iterator[Origin]:
    """The example served by ``git http-backend`` on loopback, readable and writable."""
    root = tmp_path / "http-origin"
    with serve_git(root) as url:
        yield Origin.create(root / "example.git", example_files(), url=f"{url}/example.git")


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    """A directory secret store with the demo's made-up payloads."""
    return Path(shutil.copytree(PROJECT / "deploy_pipeline" / "demo" / "secrets", tmp_path / "secrets"))


@pytest.fixture
def sandbox_cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SandboxCluster]:
    """An empty sandbox cluster whose rollouts take 50 ms, or as many seconds as the parameter says."""
    from deploy_pipeline.sandbox import SandboxCluster

    with SandboxCluster(tmp_path / "cluster", rollout_seconds=getattr(request, "param", 0.05)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def target_kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of the cluster that ``--cluster`` names, else of a sandbox in a process of its own."""
    if named := request.config.getoption("--cluster"):
        yield Path(named).absolute()
        return
    directory = tmp_path_factory.mktemp("sandbox")
    with sandbox_process(directory) as kubeconfig:
        yield kubeconfig
