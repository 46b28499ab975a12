"""Which files a candidate is made of: those of the branch that deployments need, and pinned ones from elsewhere.

Everything else never reaches a release branch, and cannot change what is rendered.
"""

from __future__ import annotations

import hashlib
import posixpath
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from deploy_pipeline.channels import DEPLOY_FILE, DeployFile, Source
from deploy_pipeline.errors import RefusedError, RenderFailed, UnknownRevision
from deploy_pipeline.rendering.manifests import RENDERED
from deploy_pipeline.rendering.patterns import matches
from deploy_pipeline.repository import Blob, GitTree, Mirror
from deploy_pipeline.repository.tree import MAX_FILES
from deploy_pipeline.settings import Settings


@dataclass(frozen=True)
class Projection:
    """The files of a candidate before rendering, by path."""

    files: Mapping[str, Blob]
    warnings: tuple[str, ...]


def project(tree: GitTree, deploy_file: DeployFile, settings: Settings) -> Projection:
    """Choose the files of the tree that ``include`` names, and bring in the sources.

    Raises RefusedError for a source that is not allowed or whose files would lie over others, RenderFailed if it takes
    longer than one call of a tool may, and what fetching raises.
    """
    limit = settings.render_timeout
    chosen = [path for path in _in_time(tree.paths(), limit) if _belongs(path, deploy_file)]
    if len(chosen) > MAX_FILES:
        raise RenderFailed(
            f"`include` in {DEPLOY_FILE} covers {len(chosen)} files, more than {MAX_FILES}",
            hint="leave out what deployments do not need",
        )
    warnings = [
        f"`include` in {DEPLOY_FILE} names `{pattern}`, which matches no file"
        for pattern in _in_time(deploy_file.include, limit)
        if not any(matches(path, pattern) for path in (*chosen, DEPLOY_FILE))
    ]
    entries = tree.entries()
    files = {path: Blob(sha=entries[path].sha, mode=entries[path].mode) for path in chosen}
    for source in deploy_file.sources:
        brought = _bring_in(source, settings)
        if both := sorted(brought.keys() & files.keys()):
            raise RefusedError(
                f"{DEPLOY_FILE}: the source {source.url} would lie over files of the branch",
                details=both[:20],
                hint="let `to` be a folder of its own",
            )
        files |= brought
    return Projection(files, tuple(warnings))


def _in_time(names: Iterable[str], seconds: float) -> Iterator[str]:
    """The names, as long as there is time: patterns and files are both the branch's, and may be many."""
    end = time.monotonic() + seconds
    for name in names:
        if time.monotonic() > end:
            raise RenderFailed(
                f"looking for the files that `include` in {DEPLOY_FILE} covers took longer than {seconds:g} s",
                hint="use fewer patterns with fewer stars",
            )
        yield name


def is_allowed(url: str, settings: Settings) -> bool:
    """Whether the deployer lets branches name this address: one of its prefixes, up to a whole part of the path."""
    prefixes = [prefix.strip() for prefix in settings.allowed_sources.split(",") if prefix.strip()]
    if ".." in url or "%" in url or "\\" in url or not url.isprintable():
        return False
    return any(url == prefix or url.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def _bring_in(source: Source, settings: Settings) -> dict[str, Blob]:
    if not is_allowed(source.url, settings):
        raise RefusedError(
            f"{DEPLOY_FILE}: the deployer does not allow the source {source.url}",
            hint="let the deployer's DEPLOY_ALLOWED_SOURCES name its address or a prefix of it",
        )
    tree = _fetched(source, settings)
    files = {}
    for path, entry in tree.entries().items():
        if matches(path, source.from_):
            inner = path if source.from_ == "." else path.removeprefix(source.from_).lstrip("/")
            target = posixpath.join(source.to, inner) if inner else source.to
            files[target] = (path, entry)
    if not files:
        raise RefusedError(f"{DEPLOY_FILE}: the source {source.url} has no `{source.from_}` at {source.ref[:12]}")
    contents = tree.stored(path for path, _ in files.values())
    return {target: Blob(content=contents[path], mode=entry.mode) for target, (path, entry) in files.items()}


def _fetched(source: Source, settings: Settings) -> GitTree:
    """The pinned tree, from a mirror of its own; without network if it was fetched once."""
    name = hashlib.sha256(source.url.encode()).hexdigest()[:20]
    mirror = Mirror(source.url, settings.state_dir / "sources" / f"{name}.git")
    try:
        return mirror.tree(source.ref)
    except UnknownRevision:
        mirror.fetch()
    try:
        return mirror.tree(source.ref)
    except UnknownRevision:
        raise RenderFailed(
            f"{DEPLOY_FILE}: the source {source.url} has no commit {source.ref} on any branch",
            hint="pin a commit that lies on a branch of it",
        ) from None


def _belongs(path: str, deploy_file: DeployFile) -> bool:
    if path.split("/", maxsplit=1)[0] == RENDERED:
        return False  # ours alone: what a branch holds there was not rendered from it
    folder = "" if deploy_file.channels == "." else deploy_file.channels
    is_channel_file = posixpath.dirname(path) == folder and path.endswith((".yaml", ".yml"))
    return is_channel_file or path == DEPLOY_FILE or any(matches(path, pattern) for pattern in deploy_file.include)
