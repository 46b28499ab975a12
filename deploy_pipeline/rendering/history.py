"""How a candidate stands in history: its parents, its message and what it was made with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from deploy_pipeline import __version__
from deploy_pipeline.errors import SettingsError
from deploy_pipeline.repository import Commit, Mirror, channel_of
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import isolated_environment, run_tool

_TIMEOUT = 30.0


def candidate_parents(mirror: Mirror, previous: Commit | None, heads: Mapping[str, str]) -> list[str]:
    """The previous candidate, and each release head that the candidate does not descend from yet.

    With every release among its ancestors, merging the candidate into any release branch gives exactly its tree: there
    is nothing on the other side that it has not taken into account, so not even a forge's merge button can mix the two.
    """
    parents = [previous.sha] if previous else []
    for branch in sorted(branch for branch in heads if channel_of(branch)):
        if not any(mirror.is_ancestor(heads[branch], parent) for parent in parents):
            parents.append(heads[branch])
    return parents


def candidate_message(branch: str, source: Commit) -> str:
    """The message: for people the first line, for programs the trailers."""
    trailers = {
        "Source-branch": branch,
        "Source-commit": source.sha,
        "Rendered-with": ", ".join(f"{tool} {version}" for tool, version in tool_versions().items()),
    }
    lines = "".join(f"{key}: {value}\n" for key, value in trailers.items())
    return f"Render {branch} at {source.sha[:12]}\n\n{lines}"


def tool_versions() -> dict[str, str]:
    """The versions of everything that has a say in what is rendered."""
    kubectl, helm = tool_path("kubectl"), tool_path("helm")
    return {
        "kubectl": _kubectl_version(kubectl, _installed(kubectl)),
        "helm": _helm_version(helm, _installed(helm)),
        "deploy-pipeline": __version__,
    }


def _installed(tool: str) -> float:
    """When a program was put there: in a long-lived process another version may take its place."""
    return Path(tool).stat().st_mtime


@lru_cache(maxsize=8)
def _kubectl_version(tool: str, installed: float) -> str:
    output = _output([tool, "version", "--client", "-o", "json"])
    return str(json.loads(output)["clientVersion"]["gitVersion"])


@lru_cache(maxsize=8)
def _helm_version(tool: str, installed: float) -> str:
    return _output([tool, "version", "--template", "{{.Version}}"]).strip()


def _output(command: list[str]) -> str:
    with tempfile.TemporaryDirectory() as directory:
        env = isolated_environment(Path(directory))
        result = run_tool(command, cwd=Path(directory), env=env, timeout=_TIMEOUT, offline=True)
    if result.returncode:
        raise SettingsError(f"{command[0]} does not say its version", details=result.stderr.splitlines()[:5])
    return result.stdout.decode()
