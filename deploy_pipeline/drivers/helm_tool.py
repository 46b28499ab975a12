"""Running Helm for one app: its chart and values laid out in a private directory, its answers as values.

Nothing here decides anything. Helm's output may hold secret values; it stays in memory, and errors are redacted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.errors import ClusterUnreachable, FailedError, ManifestRejected, RefusedError, RenderFailed
from deploy_pipeline.private_files import private_directory
from deploy_pipeline.rendering import parse_manifests
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import ToolResult, run_tool, tool_environment

_PLAN_TIMEOUT = 120.0
_GRACE = 30.0  # beyond Helm's own --timeout, so that Helm can say what went wrong


@dataclass(frozen=True)
class StoredRelease:
    """What Helm has stored of a release. ``manifest`` is text, and may hold secret values."""

    status: str
    manifest: str = field(repr=False)


@dataclass(frozen=True)
class Helm:
    """Helm with one app's chart and values laid out in a private directory."""

    target: Target
    directory: Path
    chart: Path
    values: tuple[Path, ...]

    def predicted(self) -> tuple[str, tuple[str, ...]]:
        """The manifest Helm would send, and its hooks, rendered against the live cluster."""
        answer = self._json(
            [*self._upgrade(), "--dry-run=server", "--hide-notes"], "upgrade --dry-run=server", _PLAN_TIMEOUT
        )
        hooks = sorted(_hook(hook) for hook in answer.get("hooks") or ())
        return str(answer.get("manifest") or ""), tuple(hooks)

    def stored(self) -> StoredRelease | None:
        """The release as Helm has stored it, or None."""
        app = self.target.app
        arguments = ["status", str(app.helm_name), "--namespace", str(app.namespace), "--output", "json"]
        result = self._run(arguments, _PLAN_TIMEOUT)
        if result.returncode and "not found" in result.stderr:
            return None
        answer = self._parsed(result, "helm status")
        return StoredRelease(str(answer["info"]["status"]), str(answer.get("manifest") or ""))

    def objects(self, manifest: str) -> tuple[Manifest, ...]:
        """The objects of a manifest, in a stable order, read as the API server would read them."""
        environment = tool_environment(self.directory)
        try:
            found = parse_manifests(manifest.encode(), directory=self.directory, env=environment, timeout=_PLAN_TIMEOUT)
        except RenderFailed as error:
            details = [self.target.cluster.redactor.redact(line) for line in error.details]
            raise RenderFailed(f"app {self.target.app.name}: {error.message}", details=details) from None
        return tuple(found)

    def upgrade(self) -> int:
        """Install or upgrade the release; returns its revision."""
        timeout = self.target.app.timeout_seconds
        arguments = [*self._upgrade(), "--timeout", f"{timeout:.0f}s", "--hide-notes"]
        return int(self._json(arguments, "upgrade --install", timeout + _GRACE)["version"])

    def _upgrade(self) -> list[str]:
        app = self.target.app
        files = [argument for path in self.values for argument in ("--values", str(path))]
        return [
            *("upgrade", "--install", str(app.helm_name), str(self.chart), *files),
            *("--namespace", str(app.namespace), "--create-namespace", "--reset-values"),
            *("--server-side=true", "--force-conflicts", "--output", "json"),
        ]

    def _json(self, arguments: Sequence[str], what: str, timeout: float) -> Mapping[str, Any]:
        return self._parsed(self._run(arguments, timeout), f"helm {what}")

    def _parsed(self, result: ToolResult, what: str) -> Mapping[str, Any]:
        _checked(self.target, result, what)
        answer: Mapping[str, Any] = json.loads(result.stdout)
        return answer

    def _run(self, arguments: Sequence[str], timeout: float) -> ToolResult:
        environment = tool_environment(self.directory, kubeconfig=self.target.cluster.kubeconfig)
        command = [tool_path("helm"), *arguments, *_context(self.target)]
        return run_tool(command, cwd=self.directory, env=environment, timeout=timeout)


@contextmanager
def workspace(target: Target, values: Sequence[bytes]) -> Iterator[Helm]:
    """Helm for the app; ``values`` are secret values files. The directory is gone after the block."""
    app = target.app
    with private_directory() as directory:
        chart, secret = directory / "tree", directory / "secret"
        chart.mkdir()
        secret.mkdir()
        target.tree.export(chart, under=[str(app.helm_chart), *app.helm_values])
        files = [chart / path for path in app.helm_values]
        for number, content in enumerate(values):
            files.append(secret / f"{number}.yaml")
            files[-1].write_bytes(content)
        yield Helm(target, directory, chart / str(app.helm_chart), tuple(files))


def uninstall(target: Target, release: tuple[str, str]) -> None:
    """Remove a release whose app left the channel; one that is gone already is fine."""
    namespace, name = release
    with private_directory() as directory:
        environment = tool_environment(directory, kubeconfig=target.cluster.kubeconfig)
        arguments = ["uninstall", name, "--namespace", namespace, "--ignore-not-found", *_context(target)]
        result = run_tool(
            [tool_path("helm"), *arguments], cwd=directory, env=environment, timeout=_PLAN_TIMEOUT + _GRACE
        )
        _checked(target, result, f"helm uninstall {name}")


def _context(target: Target) -> list[str]:
    return ["--kube-context", target.cluster.context] if target.cluster.context else []


def _checked(target: Target, result: ToolResult, what: str) -> None:
    if result.returncode == 0:
        return
    words = target.cluster.redactor.redact(result.stderr.strip())
    message = f"app {target.app.name}: {what} failed: {words}"
    if "cluster unreachable" in words.lower():
        raise ClusterUnreachable(message, hint="check that the API server is up; the run is retried by itself")
    if "dry-run" in what:
        raise ManifestRejected(
            message, hint="the chart, its values, or an object in the cluster stand in the way; Helm says which"
        )
    if "status" in what:
        raise RefusedError(message)
    raise FailedError(message)


def _hook(hook: Mapping[str, Any]) -> str:
    return f"{hook.get('kind')} {hook.get('name')} ({', '.join(hook.get('events') or ())})"
