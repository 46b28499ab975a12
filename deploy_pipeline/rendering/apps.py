"""Rendering apps: what ``kubectl kustomize`` and ``helm template`` make of the files of one candidate.

The tools see a private copy of the files, no network and nothing of the deployer. All apps are tried before any fault
is reported, so that one push fixes them all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.channels import App, Channel, Driver
from deploy_pipeline.errors import RefusedError, RenderFailed, ToolStopped
from deploy_pipeline.rendering.history import tool_versions
from deploy_pipeline.rendering.inputs import input_digest, input_files, set_apart
from deploy_pipeline.rendering.manifests import (
    MAX_APP_BYTES,
    Manifest,
    parse_manifests,
    rendered_manifests,
    rendered_path,
    shared_objects,
    write_manifests,
)
from deploy_pipeline.rendering.memory import AppMemory
from deploy_pipeline.rendering.schemas import PLACEHOLDER
from deploy_pipeline.settings import Settings, tool_path
from deploy_pipeline.tools import isolated_environment, run_tool

# What charts see as the cluster's version: pinned, as the default is another one with each version of helm. The release
# itself asks the real cluster.
KUBE_VERSION = "1.36.2"
CHANNEL_LABEL = "deploy-pipeline.io/channel"
APP_LABEL = "deploy-pipeline.io/app"
MAX_APP_OBJECTS = 5_000
MAX_CANDIDATE_BYTES = 128 * 1024 * 1024
_TIMES = 10  # as long as one app may take, for all of a branch
# To be raised with each change of what is made of the tools' output: remembered files are of the old form.
_FORM = 1
_DIVIDE = "deploy parts of it from a repository of their own"
_MAX_THREADS = 4  # both tools use several cores themselves
_SCREEN_LINES = 24
_SCREEN_COLUMNS = 300


@dataclass(frozen=True)
class RenderedApp:
    """The rendered manifests of one app, and the file that holds them."""

    channel: str
    app: App
    manifests: tuple[Manifest, ...]
    content: bytes

    @property
    def path(self) -> str:
        """Where the file lies in the candidate."""
        return rendered_path(self.channel, self.app.name)


@dataclass(frozen=True)
class Workplace:
    """What rendering works with.

    ``root`` holds the candidate's files, ``private`` is for what the tools need besides, ``shapes`` are the secret
    values by name, with a placeholder for each value.
    """

    root: Path
    private: Path
    settings: Settings
    shapes: Mapping[str, Mapping[str, Any]]

    @property
    def memory(self) -> AppMemory:
        """What was rendered before, whatever the branch."""
        return AppMemory(self.settings.state_dir / "rendered-apps")


def render_apps(
    channels: Sequence[Channel], workplace: Workplace, progress: Callable[[str], None]
) -> tuple[RenderedApp, ...]:
    """Render every app of the channels, several at once; ``progress`` gets a line for each.

    Raises RenderFailed that names every app that fails, and every object that two apps of a channel share, and where
    all of it together is too much.
    """
    _write_shapes(workplace)
    allowance = _Allowance(_TIMES * workplace.settings.render_timeout)
    pairs = [(channel.name, app) for channel in channels for app in channel.apps]
    faults: list[str] = []

    def attempt(pair: tuple[str, App]) -> RenderedApp | None:
        started = time.monotonic()
        try:
            allowance.check()
            rendered = _render(*pair, workplace)
            allowance.take(len(rendered.content))
        except (RefusedError, ToolStopped) as error:
            faults.append(_fault(*pair, error, workplace))
            progress(f"{pair[0]}/{pair[1].name}: failed")
            return None
        seconds = time.monotonic() - started
        progress(f"{pair[0]}/{pair[1].name}: {len(rendered.manifests)} objects in {seconds:.1f} s")
        return rendered

    with ThreadPoolExecutor(min(_MAX_THREADS, workplace.settings.app_threads)) as threads:
        rendered = tuple(one for one in threads.map(attempt, pairs) if one)
    if faults:
        raise RenderFailed(f"{len(faults)} of {len(pairs)} apps cannot be rendered", details=sorted(faults))
    _check_shared(channels, rendered)
    return rendered


class _ToolFailedError(RenderFailed):
    """A tool did not like what it was given."""


class _Allowance:
    """What rendering one branch may take in all: seconds, and bytes of manifests. Safe to share between threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._bytes = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """RenderFailed where nothing is left of it."""
        if time.monotonic() > self._end:
            raise RenderFailed(f"rendering the branch took longer than {self._seconds:g} s", hint=_DIVIDE)
        self.take(0)

    def take(self, size: int) -> None:
        """Use up some bytes; RenderFailed where there are not as many."""
        with self._lock:
            self._bytes += size
            if self._bytes > MAX_CANDIDATE_BYTES:
                most = MAX_CANDIDATE_BYTES // 1024 // 1024
                raise RenderFailed(f"the branch renders to more than {most} MiB of manifests", hint=_DIVIDE)


def _render(channel: str, app: App, workplace: Workplace) -> RenderedApp:
    """The app as it is remembered, or else rendered from nothing but its inputs, if these can be told."""
    files = input_files(workplace.root, app)
    if files is None:
        return _made(channel, app, workplace)
    inputs = _digest(channel, app, workplace, files)
    if content := workplace.memory.recall(inputs):
        manifests = rendered_manifests(content, rendered_path(channel, app.name))
        return RenderedApp(channel, app, tuple(manifests), content)
    try:
        with set_apart(workplace.root, files, workplace.private) as apart:
            rendered = _made(channel, app, replace(workplace, root=apart))
    except (_ToolFailedError, OSError):  # it may need more than was found, or longer paths than there can be
        return _made(channel, app, workplace)
    if rendered_manifests(rendered.content, rendered.path) == list(rendered.manifests):
        workplace.memory.remember(inputs, rendered.content)
    return rendered


def _digest(channel: str, app: App, workplace: Workplace, files: Sequence[str]) -> str:
    said = [app.driver.value, app.kustomize_dir, app.namespace, app.helm_name, app.helm_chart, app.helm_values]
    shapes = [(name, workplace.shapes[name]) for name in app.secret_helm_values]  # a later one overrides
    made_by = [_FORM, tool_versions(), KUBE_VERSION]
    return input_digest(workplace.root, files, [channel, app.name, *said, shapes, header(channel, app), made_by])


def _made(channel: str, app: App, workplace: Workplace) -> RenderedApp:
    env, timeout = isolated_environment(workplace.private), workplace.settings.render_timeout
    command = _kustomize(app) if app.driver is Driver.KUSTOMIZE else _helm(app, workplace)
    result = run_tool(command, cwd=workplace.root, env=env, timeout=timeout, output_limit=MAX_APP_BYTES, offline=True)
    if result.returncode:
        tool = Path(command[0]).name
        raise _ToolFailedError(
            f"{tool} {command[1]} failed",
            details=result.stderr.splitlines(),
            hint=f"mend it in a checkout, where `{tool} {' '.join(command[1:4])}` says the same",
        )
    manifests = parse_manifests(result.stdout, directory=workplace.root, env=env, timeout=timeout)
    if len(manifests) > MAX_APP_OBJECTS:
        raise RenderFailed(
            f"it renders to {len(manifests)} objects, more than the {MAX_APP_OBJECTS} an app may have",
            hint="make several apps of it",
        )
    _check_names(manifests)
    if app.driver is Driver.KUSTOMIZE:
        manifests = [_labelled(manifest, channel, app.name) for manifest in manifests]
    content = write_manifests(manifests, header(channel, app))
    if len(content) > MAX_APP_BYTES:
        raise RenderFailed(f"it renders to more than {MAX_APP_BYTES} bytes", hint="make several apps of it")
    return RenderedApp(channel, app, tuple(manifests), content)


def _check_names(manifests: Iterable[Manifest]) -> None:
    """Raise RenderFailed for an object that is called like a secret value: names are shown everywhere, unmasked."""
    for manifest in manifests:
        metadata = manifest["metadata"]
        called = f"{metadata['name']} {metadata.get('namespace', '')}"
        if secret := PLACEHOLDER.search(called):
            raise RenderFailed(
                f"the name of an object of kind {manifest['kind']} is made of a secret value, {secret[0]}",
                hint="name it by a value that is no secret: whoever may look at the cluster or a diff reads names",
            )


def _kustomize(app: App) -> list[str]:
    """No option is given: those there are let a kustomization run programs or read outside its folder."""
    return [tool_path("kubectl"), "kustomize", f"./{app.kustomize_dir}"]


def _helm(app: App, workplace: Workplace) -> list[str]:
    values = [f"./{path}" for path in app.helm_values]
    values += [str(_shape_file(name, workplace)) for name in app.secret_helm_values]
    if any("," in path for path in values):
        # Channel files cannot name such a path; if one gets here all the same, helm would read other files instead.
        raise RenderFailed("a path of a values file contains a comma, at which helm would split it", details=values)
    return [
        tool_path("helm"),
        *("template", str(app.helm_name), f"./{app.helm_chart}", "--namespace", str(app.namespace)),
        *(argument for path in values for argument in ("--values", path)),
        *("--kube-version", KUBE_VERSION, "--include-crds", "--skip-tests"),
        # A placeholder is a text, whatever the schema wants in its place; the release validates the real values.
        *(("--skip-schema-validation",) if app.secret_helm_values else ()),
    ]


def _write_shapes(workplace: Workplace) -> None:
    for name, shape in workplace.shapes.items():
        _shape_file(name, workplace).write_text(yaml.safe_dump(dict(shape), allow_unicode=True), encoding="utf-8")


def _shape_file(name: str, workplace: Workplace) -> Path:
    return workplace.private / f"shape-{name}.yaml"


def _labelled(manifest: Manifest, channel: str, app: str) -> Manifest:
    """Say whose the object is. In its metadata alone: in selectors and templates it would restart what runs."""
    metadata = manifest["metadata"]
    labels = (metadata.get("labels") or {}) | {CHANNEL_LABEL: channel, APP_LABEL: app}
    return manifest | {"metadata": metadata | {"labels": labels}}


def header(channel: str, app: App) -> list[str]:
    """The comment that a rendered file begins with, line by line."""
    lines = [
        f"App {app.name} of channel {channel}, rendered by deploy-pipeline. Do not edit: the next render overwrites it."
    ]
    if app.driver is Driver.KUSTOMIZE:
        return [*lines, f"Made by kustomize from {app.kustomize_dir}; applied as it stands here."]
    lines.append(
        f"Made by helm from {app.helm_chart}, as it would be on Kubernetes {KUBE_VERSION}; applied by helm itself."
    )
    if app.secret_helm_values:
        lines.append(f"Placeholders stand for the values of {', '.join(app.secret_helm_values)}.")
    return lines


def _check_shared(channels: Sequence[Channel], rendered: Sequence[RenderedApp]) -> None:
    faults = [
        f"{channel.name}: {line}"
        for channel in channels
        for line in shared_objects((one.app, one.manifests) for one in rendered if one.channel == channel.name)
    ]
    if faults:
        raise RenderFailed(
            "two apps of a channel have the same object",
            details=faults,
            hint="let one app have it, or rename it in one",
        )


def _fault(channel: str, app: App, error: RefusedError | ToolStopped, workplace: Workplace) -> str:
    """One app's fault in the words of the tool, on one screen, with paths as they are in the branch."""
    origin = app.kustomize_dir or app.helm_chart
    lines = [f"{channel}/{app.name} ({origin}): {error.message}", *error.details]
    text = "\n".join(lines).replace(f"{workplace.root.resolve()}/", "").replace(f"{workplace.root}/", "")
    shown = [line[:_SCREEN_COLUMNS] for line in text.splitlines() if line.strip()]
    if len(shown) > _SCREEN_LINES:
        shown = [*shown[:4], f"… {len(shown) - _SCREEN_LINES} lines …", *shown[4 - _SCREEN_LINES :]]
    return "\n      ".join([*shown, *([f"Next step: {error.hint}"] if error.hint else [])])
