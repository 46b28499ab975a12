"""Running Helm for one app: its chart and values laid out in a private directory, its answers as values.

Nothing here decides anything. Helm's output may hold secret values; it stays in memory, and errors are redacted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers.helm_rendering import Rendering, from_answer, from_template
from deploy_pipeline.drivers.helm_storage import StoredRelease, stored_release
from deploy_pipeline.drivers.helm_version import ON_SERVER, is_helm_3, learn_helm_3
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.errors import ClusterUnreachable, DeployError, FailedError, ManifestRejected, RenderFailed
from deploy_pipeline.private_files import private_directory
from deploy_pipeline.rendering import parse_manifests
from deploy_pipeline.secret_stores import StoredSecret, helm_values, shape
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import ToolResult, isolated_environment, run_tool, tool_environment

_PLAN_TIMEOUT = 120.0
_CLIENT = ("--dry-run=client", "--hide-notes")
# Whose the objects are that are there is for us to check, object by object (helm_ownership.py).
_TAKE_OWNERSHIP = "--take-ownership"
_SERVER = ("--dry-run=server", "--hide-notes", _TAKE_OWNERSHIP)
_TEMPLATES = re.compile(r"^# Source: (?:[^/\n]+/charts/)*[^/\n]+/templates/", re.MULTILINE)
_GRACE = 30.0  # beyond Helm's own --timeout, so that Helm can say what went wrong


@dataclass(frozen=True)
class Helm:
    """Helm with one app's chart and values laid out in a private directory.

    ``shapes`` are the values with placeholders for those that are secret; empty if none are. ``options`` are further
    ones of rendering.
    """

    target: Target
    directory: Path
    chart: Path
    values: tuple[Path, ...]
    shapes: tuple[Path, ...] = ()
    options: tuple[str, ...] = ()
    _read: dict[str, tuple[Manifest, ...]] = field(default_factory=lambda: {"": ()}, repr=False, compare=False)

    def with_placeholders(self) -> Helm:
        """The same with placeholders for the secret values, which its output and errors then do not hold."""
        return Helm(self.target, self.directory, self.chart, self.shapes, options=("--skip-schema-validation",))

    def rendered(self, *, installed: bool, capabilities: Sequence[str]) -> Rendering:
        """What the chart gives without a look at the cluster's objects: ``lookup`` finds nothing.

        ``helm upgrade --dry-run=client`` still asks the cluster for its capabilities and the release's revision; for a
        release that is not installed Helm does not, so that ``capabilities`` are given as options.
        """
        if installed:
            result = self._upgrade(_CLIENT)
            if result.returncode:
                raise self._refusal(result, "helm upgrade --dry-run=client", lambda helm: helm._upgrade(_CLIENT))  # noqa: SLF001
            return from_answer(self._parsed(result, "helm upgrade --dry-run=client"))
        return from_template(self._template("--skip-crds", *capabilities))

    def crds(self) -> str:
        """What lies in the ``crds/`` folders of the chart and its subcharts, packed ones too; empty without any."""
        if not any(self.chart.rglob("crds")) and not any(self.chart.rglob("*.tgz")):
            return ""
        text = self._template("--include-crds", "--no-hooks")
        return _TEMPLATES.split(text, maxsplit=1)[0]  # Helm prints them first

    def dry_run(self, *more: str) -> Rendering | ToolResult:
        """What Helm would send, rendered with the live cluster; the tool's result if Helm refuses.

        Either may hold what a template looked up in the cluster, which nobody may see.
        """
        result = self._upgrade((*_SERVER, *more))
        if result.returncode:
            return result
        return from_answer(self._parsed(result, "helm upgrade --dry-run=server"))

    def refusal(self, result: ToolResult) -> DeployError:
        """What Helm's server-side dry run said, as an error. For a chart that gives the same without the cluster."""
        return self._refusal(result, "helm upgrade --dry-run=server", lambda helm: helm._upgrade(_SERVER))  # noqa: SLF001

    def _refusal(self, result: ToolResult, what: str, again: Callable[[Helm], ToolResult]) -> DeployError:
        """What Helm said as an error; where it knows secret values, what it says ``again`` with placeholders."""
        if self.shapes:
            result = again(self.with_placeholders())
            if not result.returncode:
                return ManifestRejected(
                    f"app {self.target.app.name}: {what} failed, and does not with placeholders for the secret values",
                    hint="look for a secret value that the chart cannot work with; Helm's words may quote it, and stay "
                    "here",
                )
        return _error(self.target, result, what)

    def stored(self) -> StoredRelease | None:
        """The release as Helm has stored it, or None."""
        release = (str(self.target.app.namespace), str(self.target.app.helm_name))
        return stored_release(self.target.cluster.connection, release)

    def objects(self, manifest: str) -> tuple[Manifest, ...]:
        """The objects of a manifest, in a stable order, read as the API server would read them; each text once."""
        if manifest not in self._read:
            self._read[manifest] = self._objects(manifest)
        return self._read[manifest]

    def _objects(self, manifest: str) -> tuple[Manifest, ...]:
        environment = tool_environment(self.directory)
        try:
            found = parse_manifests(manifest.encode(), directory=self.directory, env=environment, timeout=_PLAN_TIMEOUT)
        except RenderFailed as error:
            details = [self.target.cluster.redactor.redact(line) for line in error.details]
            raise RenderFailed(f"app {self.target.app.name}: {error.message}", details=details) from None
        return tuple(found)

    def upgrade(self, proceed: Callable[[], None], *, adopt: bool, hooks: bool = True) -> int:
        """Install or upgrade the release; returns its revision. Helm is killed when ``proceed`` raises meanwhile.

        Unless told to ``adopt`` them, Helm refuses to touch objects that are there and not the release's.
        """
        timeout = self.target.app.timeout_seconds
        options = ["--timeout", f"{timeout:.0f}s", "--hide-notes"]
        options += [_TAKE_OWNERSHIP] * adopt + ["--no-hooks"] * (not hooks)
        result = self._upgrade(options, timeout + _GRACE, proceed)
        return int(self._parsed(result, "helm upgrade --install")["version"])

    @property
    def sends_patches(self) -> bool:
        """Whether this is a Helm that does not apply on the server. Known once a dry run was made."""
        return is_helm_3(tool_path("helm"))

    def _upgrade(
        self, options: Sequence[str], timeout: float = _PLAN_TIMEOUT, proceed: Callable[[], None] | None = None
    ) -> ToolResult:
        arguments = ["upgrade", "--install", *self._release(), "--create-namespace", "--reset-values", "--skip-crds"]
        on_server = () if self.sends_patches else ON_SERVER
        result = self._run([*arguments, *self.options, "--output", "json", *on_server, *options], timeout, proceed)
        if on_server and learn_helm_3(tool_path("helm"), result, self.directory):
            return self._upgrade(options, timeout, proceed)
        return result

    def _template(self, *options: str) -> str:
        result = self._templated(options)
        if result.returncode:
            raise self._refusal(result, "helm template --dry-run=client", lambda helm: helm._templated(options))  # noqa: SLF001
        return result.stdout.decode()

    def _templated(self, options: Sequence[str]) -> ToolResult:
        command = [tool_path("helm"), "template", *self._release(), *self.options, *options]
        environment = isolated_environment(self.directory)
        return run_tool(command, cwd=self.directory, env=environment, timeout=_PLAN_TIMEOUT, offline=True)

    def _release(self) -> list[str]:
        app = self.target.app
        files = [argument for path in self.values for argument in ("--values", str(path))]
        return [str(app.helm_name), str(self.chart), *files, "--namespace", str(app.namespace)]

    def _parsed(self, result: ToolResult, what: str) -> Any:
        _checked(self.target, result, what)
        try:
            return json.loads(result.stdout)
        except ValueError:  # whose words quote the text, secret values and all
            raise FailedError(f"app {self.target.app.name}: the answer of {what} is not JSON") from None

    def _run(self, arguments: Sequence[str], timeout: float, proceed: Callable[[], None] | None = None) -> ToolResult:
        environment = tool_environment(self.directory, kubeconfig=self.target.cluster.kubeconfig)
        command = [tool_path("helm"), *arguments, *_context(self.target)]
        return run_tool(command, cwd=self.directory, env=environment, timeout=timeout, proceed=proceed)


@contextmanager
def workspace(target: Target, values: Sequence[bytes]) -> Iterator[Helm]:
    """Helm for the app; ``values`` are secret values files. The directory is gone after the block."""
    app = target.app
    with private_directory() as directory:
        chart, secret = directory / "tree", directory / "secret"
        chart.mkdir()
        secret.mkdir()
        target.tree.export(chart, under=[str(app.helm_chart), *app.helm_values])
        plain = [chart / path for path in app.helm_values]
        files, shapes = list(plain), list(plain)
        for name, content in zip(app.secret_helm_values, values, strict=True):
            files.append(secret / f"{len(files)}.yaml")
            files[-1].write_bytes(content)
            shapes.append(secret / f"{len(files)}-shape.yaml")
            placeholders = shape(name, helm_values(StoredSecret(name, content)), switches=True)
            shapes[-1].write_text(yaml.safe_dump(placeholders, allow_unicode=True), encoding="utf-8")
        folder = chart / str(app.helm_chart)
        yield Helm(target, directory, folder, tuple(files), shapes=tuple(shapes) if values else ())


@contextmanager
def installed(target: Target, release: tuple[str, str]) -> Iterator[Helm]:
    """Helm for what is stored of a release whose app, and so its chart, is no longer described."""
    app = target.app.model_copy(update={"namespace": release[0], "helm_name": release[1]})
    with private_directory() as directory:
        yield Helm(replace(target, app=app), directory, directory, ())


def uninstall(target: Target, release: tuple[str, str], proceed: Callable[[], None]) -> None:
    """Remove a release whose app left the channel; one that is gone already is fine."""
    namespace, name = release
    with private_directory() as directory:
        environment = tool_environment(directory, kubeconfig=target.cluster.kubeconfig)
        arguments = ["uninstall", name, "--namespace", namespace, "--ignore-not-found", *_context(target)]
        result = run_tool(
            [tool_path("helm"), *arguments],
            cwd=directory,
            env=environment,
            timeout=_PLAN_TIMEOUT + _GRACE,
            proceed=proceed,
        )
        _checked(target, result, f"helm uninstall {name}")


def _context(target: Target) -> list[str]:
    return ["--kube-context", target.cluster.context] if target.cluster.context else []


def _checked(target: Target, result: ToolResult, what: str) -> None:
    if result.returncode:
        raise _error(target, result, what)


def _error(target: Target, result: ToolResult, what: str) -> DeployError:
    words = target.cluster.redactor.redact(result.stderr.strip())
    message = f"app {target.app.name}: {what} failed: {words}"
    if "cluster unreachable" in words.lower():
        return ClusterUnreachable(message, hint="check that the API server is up; the run is retried by itself")
    if "dry-run" in what:
        return ManifestRejected(
            message, hint="the chart, its values, or an object in the cluster stand in the way; Helm says which"
        )
    return FailedError(message)
