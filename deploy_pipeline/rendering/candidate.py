"""From a source branch to its candidate: the commit that is reviewed, approved and released.

The candidate depends on nothing but the source commit, the shape of its secret values and the versions of the tools:
two deployers make the same commit. It is pushed only if nobody else moved the branch meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy_pipeline.channels import Channel, load_channels, load_deploy_file
from deploy_pipeline.errors import RaceLost, RefusedError, RenderFailed
from deploy_pipeline.isolation import network_of_isolated_tools
from deploy_pipeline.private_files import private_directory
from deploy_pipeline.rendering.apps import KUBE_VERSION, RenderedApp, Workplace, render_apps
from deploy_pipeline.rendering.history import candidate_message, candidate_parents, tool_versions
from deploy_pipeline.rendering.manifests import RENDERED, Manifest, read_rendered, rendered_path
from deploy_pipeline.rendering.memory import RenderMemory
from deploy_pipeline.rendering.pinning import pinned
from deploy_pipeline.rendering.projection import Projection, project
from deploy_pipeline.rendering.schemas import schema_faults
from deploy_pipeline.rendering.vendoring import Vendoring, vendor_all
from deploy_pipeline.repository import Blob, Commit, Mirror, candidate_branch, is_source_branch
from deploy_pipeline.settings import Settings

_TRIES = 3

SecretShape = Callable[[str], Mapping[str, Any]]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class RenderResult:
    """What rendering a source branch came to.

    ``branch`` is the source, ``candidate`` the branch of the candidate; ``commit`` and ``tree`` are None when there is
    none. ``changed``: a new commit was pushed. ``removed``: the source is gone, and so is the candidate now. ``apps``
    are pairs of channel and app. ``isolation``: what keeps this deployer's tools from the network.
    """

    branch: str
    candidate: str
    commit: str | None = None
    tree: str | None = None
    source_commit: str | None = None
    changed: bool = False
    removed: bool = False
    channels: tuple[str, ...] = ()
    apps: tuple[tuple[str, str], ...] = ()
    objects: int = 0
    warnings: tuple[str, ...] = ()
    isolation: str = ""
    seconds: float = 0.0


def render_candidate(
    mirror: Mirror, branch: str, *, settings: Settings, secret_shape: SecretShape, progress: Progress
) -> RenderResult:
    """Render a source branch and push its candidate; nothing is pushed when that is what it is already.

    ``secret_shape`` gives secret Helm values by name, with a placeholder for each value: no secret takes part. When the
    source branch is gone, the candidate goes too. When a release branch moved, the candidate becomes its descendant.
    ``progress`` gets one line for each app, from several threads.

    Raises ChannelFaults, UnsafeTree or RenderFailed for what the branch holds (nothing is pushed then), RaceLost if the
    candidate keeps moving, and what ``secret_shape`` raises.
    """
    if not is_source_branch(branch):
        raise RefusedError(f"`{branch}` is no source branch", hint="render the branch that people commit to")
    started = time.monotonic()
    for remaining in reversed(range(_TRIES)):
        try:
            result = _Render(mirror, branch, settings, secret_shape, progress).run()
        except RaceLost as error:  # noqa: PERF203 (three times at most)
            if not remaining:
                raise
            progress(f"{error.message}; starting over")
        else:
            break
    return replace(result, seconds=time.monotonic() - started)


def render_commit(
    mirror: Mirror,
    branch: str,
    source: Commit,
    candidate: Commit,
    *,
    settings: Settings,
    secret_shape: SecretShape,
    progress: Progress,
) -> RenderResult:
    """What rendering a commit of a source branch gives, to hold a candidate against. Pushes nothing.

    It is rendered unless this deployer remembers that it made the candidate's very tree of it. Raises like
    :func:`render_candidate`.
    """
    return _Render(mirror, branch, settings, secret_shape, progress).rendered(source, candidate)


@dataclass(frozen=True)
class _Render:
    """One try on one state of the repository."""

    mirror: Mirror
    branch: str
    settings: Settings
    secret_shape: SecretShape
    progress: Progress

    def run(self) -> RenderResult:
        heads = self.mirror.fetch()
        candidate = candidate_branch(self.branch)
        head = heads.get(candidate)
        if self.branch not in heads:
            return self._remove(candidate, head)
        source = self.mirror.commit(heads[self.branch])
        previous = self.mirror.commit(head) if head else None
        rendered = self.rendered(source, previous)
        commit = self._publish(rendered.tree or "", source, previous, heads)
        return replace(rendered, commit=commit, source_commit=source.sha, changed=commit != head)

    def _remove(self, candidate: str, head: str | None) -> RenderResult:
        if head:
            self.mirror.delete_branch(candidate, expected=head)
            self.progress(f"{self.branch} is gone: removed {candidate}")
        return RenderResult(self.branch, candidate, removed=bool(head))

    def rendered(self, source: Commit, previous: Commit | None) -> RenderResult:
        """The candidate's tree; that of the previous candidate if it was made here from the same input."""
        tree = self.mirror.tree(source.sha)
        deploy_file = load_deploy_file(tree)
        projection = project(tree, deploy_file, self.settings)
        projected = self.mirror.tree(self.mirror.write_tree(projection.files))
        channels = list(load_channels(projected, deploy_file).values())
        if not channels:
            raise RenderFailed(
                f"{self.branch} has no channel files in {deploy_file.channels}/",
                hint="add one, or leave the branch out with DEPLOY_SOURCE_BRANCHES",
            )
        names = sorted({name for channel in channels for app in channel.apps for name in app.secret_helm_values})
        shapes = {name: self.secret_shape(name) for name in names}

        memory = RenderMemory(self.settings.state_dir / "renders", f"{self.mirror.url} {self.branch}")
        inputs = _digest([projected.sha, shapes, tool_versions(), self.settings.allowed_sources])
        if previous and memory.recall(inputs) == previous.tree:
            self.progress(f"{self.branch}: nothing that is rendered changed")
            made = previous.tree
        else:
            made = self._make(projection, channels, projected.sha, shapes)
            memory.remember(inputs, made)
        return self._describe(made, channels, projection.warnings)

    def _make(
        self,
        projection: Projection,
        channels: Sequence[Channel],
        projected: str,
        shapes: Mapping[str, Mapping[str, Any]],
    ) -> str:
        """Write the files out, let the tools work on them, and store the candidate's tree."""
        with private_directory(Path(tempfile.gettempdir())) as directory:
            root, private = directory / "tree", directory / "private"
            root.mkdir()
            private.mkdir()
            self.mirror.tree(projected).export(root)
            vendoring = Vendoring(root, private, self.settings)
            vendor_all(vendoring, (app.helm_chart for channel in channels for app in channel.apps if app.helm_chart))
            workplace = Workplace(root, private, self.settings, shapes)
            rendered = render_apps(channels, workplace, self.progress)
            workplace.memory.tidy_up()
            rendered = pinned(rendered, channels, self.settings)
        return self.mirror.write_tree(_files(projection, vendoring, rendered))

    def _describe(self, tree: str, channels: Sequence[Channel], warnings: Sequence[str]) -> RenderResult:
        candidate = self.mirror.tree(tree)
        candidate.prefetch(RENDERED)
        apps = tuple((channel.name, app.name) for channel in channels for app in channel.apps)
        objects = {pair: read_rendered(candidate, *pair) for pair in apps}
        empty = [f"{'/'.join(pair)} renders to no object at all" for pair, found in objects.items() if not found]
        broken = [warning for pair, found in objects.items() for warning in _schema_warnings(*pair, found)]
        return RenderResult(
            self.branch,
            candidate_branch(self.branch),
            tree=tree,
            channels=tuple(channel.name for channel in channels),
            apps=apps,
            objects=sum(map(len, objects.values())),
            warnings=(*warnings, *empty, *broken),
            isolation=network_of_isolated_tools().value,
        )

    def _publish(self, tree: str, source: Commit, previous: Commit | None, heads: Mapping[str, str]) -> str:
        """Push the candidate, unless what is there has this tree and holds every release; gives its commit."""
        parents = candidate_parents(self.mirror, previous, heads)
        if previous and previous.tree == tree and parents == [previous.sha]:
            return previous.sha
        message = candidate_message(self.branch, source)
        commit = self.mirror.write_commit(tree=tree, parents=parents, message=message, when=source.committed_at)
        self.mirror.push(candidate_branch(self.branch), commit, expected=previous.sha if previous else None)
        return commit


def _files(projection: Projection, vendoring: Vendoring, rendered: Sequence[RenderedApp]) -> dict[str, Blob]:
    kept = {path: blob for path, blob in projection.files.items() if path not in vendoring.removed}
    return kept | vendoring.added | {app.path: Blob(content=app.content) for app in rendered}


def _schema_warnings(channel: str, app: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    """What the schemas say, before any cluster is asked. No more than warnings: the cluster's version decides."""
    for manifest in manifests:
        for fault in schema_faults(manifest, KUBE_VERSION):
            named = f"{manifest['kind']} {manifest['metadata']['name']}"
            yield f"{rendered_path(channel, app)}: {named}: {fault} (schema of Kubernetes {KUBE_VERSION})"


def _digest(inputs: Any) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
