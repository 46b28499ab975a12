"""What a kustomization must not name: anything that is not in the tree, and anything that would run a program.

kustomize fetches whatever looks like an address, with git or by itself. Git is out of its reach here and the tool has
no network, but where only a proxy refuses, addresses on the deployer's own machine go past it. So addresses are found
before kustomize runs; what is needed from elsewhere comes in by ``sources``, pinned. Programs (charts inflated by helm,
functions, plugins) need options that are never given; whoever asks for them is told what to do instead.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.channels.channel import KUSTOMIZATIONS
from deploy_pipeline.channels.faults import shown
from deploy_pipeline.errors import RenderFailed
from deploy_pipeline.rendering.reading import TextLoader, read_documents

_MAX_BYTES = 1024 * 1024
_LONGEST_NAME = 255  # bytes, on every usual file system
# Fields whose values kustomize opens, in kustomizations and in the files of its built-in generators and transformers.
# Folded: kustomize takes a key in any letters that fold to it, `re\u017fources` as well.
_OPENED = frozenset(
    "resources bases components crds configurations generators transformers validators patchesstrategicmerge path "
    "paths files file env envs".split()
)
_PLUGINS = frozenset({"generators", "transformers", "validators"})
_CHARTS = frozenset({"helmcharts", "helmchartinflationgenerator", "helmglobals"})
_FUNCTIONS = frozenset({"config.kubernetes.io/function", "config.k8s.io/function"})
_BUILT_IN = "builtin"  # the apiVersion of what kustomize does itself; it looks for a program for any other
_ADDRESS = re.compile(
    r"([a-z][a-z0-9+.-]*:)?//.*|git::.*|gh:.*|[^/@]*@[^/:]*:.*|github\.com[/:].*|.*\?(ref|version)=.*",
    re.IGNORECASE,
)
_Plugin = tuple[str, dict[Any, Any]]  # where it stands, and its configuration
_KEY_PREFIX = re.compile(r"^[^=/]*=")  # `files: [name=path]`


def check_kustomization(root: Path, directory: str) -> frozenset[str]:
    """Look through a kustomization and those it builds on; the files and folders that they name, links followed.

    RenderFailed has each name that leads out of the tree and each program that would run, with file and field.
    """
    root, faults = root.resolve(), list[str]()
    waiting, seen = [directory], set[str]()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        for path in (posixpath.join(folder, name) for name in KUSTOMIZATIONS if (root / folder).is_dir()):
            documents = _documents(root, path)
            plugins = list(_plugin_documents(root, path, documents))
            faults += _programs(path, documents, plugins)
            for field, name in _opened_by(documents, plugins):
                target = None if _is_address(name) else _inside(root, folder, name)
                if target is None:
                    reason = "an address" if _is_address(name) else "not in the branch"
                    faults.append(f"{path}: {field} names {shown(name)}, which is {reason}")
                else:
                    waiting.append(target)
    if faults:
        raise RenderFailed(
            "the kustomization needs more than the files of the branch",
            details=list(dict.fromkeys(faults)),
            hint="bring files in by `sources` in deploy.yaml, pinned to a commit, and name the folder they lie in; "
            "deploy a chart as an app with `driver: helm`; nothing else may run while rendering",
        )
    return frozenset(seen)


def _programs(path: str, documents: Sequence[Any], plugins: Sequence[_Plugin]) -> Iterator[str]:
    """A fault for each chart, function or plugin that a kustomization would have run."""
    for document in documents:
        for key in document if isinstance(document, dict) else ():
            if str(key).casefold() in _CHARTS:
                yield f"{path}: {key} would have kustomize run helm"
    for where, plugin in plugins:
        metadata = plugin.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        kind = shown(str(plugin.get("kind")))
        if isinstance(annotations, dict) and not _FUNCTIONS.isdisjoint(annotations):
            yield f"{where}: {kind} is a function, a container or program that would run"
        elif plugin.get("apiVersion") != _BUILT_IN:
            yield f"{where}: {kind} is a plugin, a program that would run (built-in ones have `apiVersion: builtin`)"
        elif str(plugin.get("kind")).casefold() in _CHARTS:
            yield f"{where}: {kind} would have kustomize run helm"


def _plugin_documents(root: Path, path: str, documents: Sequence[Any]) -> Iterator[_Plugin]:
    """The configurations of generators, transformers and validators of a kustomization, and where each stands."""
    for field, name in _names(documents, set()):
        if field in _PLUGINS:
            inline = "\n" in name
            where = f"{path}: {field}" if inline else posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            configured = _parse(name.encode(), path) if inline else _documents(root, posixpath.dirname(path), name)
            yield from ((where, document) for document in configured if isinstance(document, dict))


def _opened_by(documents: Sequence[Any], plugins: Sequence[_Plugin]) -> Iterator[tuple[str, str]]:
    """What kustomize would open for a file, by field: the names in it, and those in the plugin files it names."""
    for field, name in _names(documents, set()):
        if "\n" not in name:
            yield field, _path_in(field, name)
    for _, document in plugins:
        yield from ((field, _path_in(field, inner)) for field, inner in _names(document, set()) if "\n" not in inner)


def _path_in(field: str, name: str) -> str:
    return _KEY_PREFIX.sub("", name) if field == "files" else name


def _names(value: Any, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Field and text of each opened field, at any depth; what YAML aliases repeat is looked at once."""
    if not isinstance(value, (dict, list)) or id(value) in seen:
        return
    seen.add(id(value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        if str(key).casefold() in _OPENED:
            texts = inner if isinstance(inner, list) else [inner]
            yield from ((str(key).casefold(), text) for text in texts if isinstance(text, str))
    for inner in value.values() if isinstance(value, dict) else value:
        yield from _names(inner, seen)


def _documents(root: Path, *parts: str) -> list[Any]:
    """The documents of a file of the tree; none if there is no such file."""
    path = _inside(root, *parts)
    if path is None or not (root / path).is_file():
        return []
    if (root / path).stat().st_size > _MAX_BYTES:
        raise RenderFailed(f"{path} is larger than {_MAX_BYTES} bytes")
    return _parse((root / path).read_bytes(), path)


def _parse(text: bytes, path: str) -> list[Any]:
    """YAML as plain texts. What we cannot read is refused: kustomize might read it, and fetch what it names."""
    try:
        return read_documents(text, TextLoader)
    except yaml.YAMLError as error:
        raise RenderFailed(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def _is_address(name: str) -> bool:
    """Whether kustomize might take a name for an address; also of a repository without a scheme, ``host/path.git``."""
    host, _, path = name.casefold().partition("/")
    is_repository = "." in host.strip(".") and any(part.endswith(".git") for part in path.split("/"))
    return is_repository or bool(_ADDRESS.fullmatch(name))


def _inside(root: Path, *parts: str) -> str | None:
    """The path in the tree that is meant, symlinks followed; None if it leads out of it, or cannot be a path.

    ``root`` is its real place.
    """
    names = (name.encode(errors="surrogatepass") for part in parts for name in part.split("/"))
    if any(len(name) > _LONGEST_NAME for name in names):
        return None
    # As kustomize does: `..` takes away what stands before it, and only then are links followed.
    path = posixpath.normpath(posixpath.join(*parts))
    try:
        return (root / path).resolve().relative_to(root).as_posix()
    except (ValueError, OSError, RuntimeError):  # RuntimeError: links in a circle, up to Python 3.12
        return None
