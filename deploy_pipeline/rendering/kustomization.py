"""What a kustomization must not name: anything that is not in the tree.

kustomize fetches whatever looks like an address, with git or by itself. Git is out of its reach here and its proxy
refuses, but addresses on the deployer's own machine go past every proxy. So addresses are found before it runs; what
is needed from elsewhere comes in by ``sources``, pinned.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.channels.channel import KUSTOMIZATIONS
from deploy_pipeline.errors import RenderFailed

_MAX_BYTES = 1024 * 1024
# Fields whose values kustomize opens, in kustomizations and in the files of its built-in generators and transformers.
# In small letters: kustomize's reader takes any.
_OPENED = frozenset(
    "resources bases components crds configurations generators transformers validators patchesstrategicmerge path "
    "files file env envs".split()
)
_PLUGINS = frozenset({"generators", "transformers", "validators"})
_ADDRESS = re.compile(
    r"([a-z][a-z0-9+.-]*:)?//.*|git::.*|gh:.*|[^/]*@[^/]*:.*|github\.com[/:].*|.*\?(ref|version)=.*", re.IGNORECASE
)
_KEY_PREFIX = re.compile(r"^[^=/]*=")  # `files: [name=path]`


def check_kustomization(root: Path, directory: str) -> None:
    """Look through a kustomization and those it builds on; RenderFailed has each name that leads out of the tree."""
    faults: list[str] = []
    waiting, seen = [directory], set()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        for path in (posixpath.join(folder, name) for name in KUSTOMIZATIONS):
            for name in _opened_by(root, path):
                target = None if _ADDRESS.fullmatch(name) else _inside(root, folder, name)
                if target is None:
                    faults.append(f"{path} names `{name}`")
                else:
                    waiting.append(target)
    if faults:
        raise RenderFailed(
            "the kustomization needs something that is not in the branch",
            details=faults,
            hint="bring it in by `sources` in deploy.yaml, pinned to a commit, and name the folder it lies in",
        )


def _opened_by(root: Path, path: str) -> Iterator[str]:
    """What kustomize would open for this file: the names in it, and those in the plugin files it names."""
    for key, name in _names(_documents(root, path), set()):
        inline = "\n" in name
        if key in _PLUGINS:
            documents = _parse(name.encode(), path) if inline else _documents(root, posixpath.dirname(path), name)
            yield from (inner for _, inner in _names(documents, set()) if "\n" not in inner)
        if not inline:
            yield _KEY_PREFIX.sub("", name) if key == "files" else name


def _names(value: Any, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Field and text of each opened field, at any depth; what YAML aliases repeat is looked at once."""
    if not isinstance(value, (dict, list)) or id(value) in seen:
        return
    seen.add(id(value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        if str(key).lower() in _OPENED:
            texts = inner if isinstance(inner, list) else [inner]
            yield from ((str(key).lower(), text) for text in texts if isinstance(text, str))
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
        return list(yaml.load_all(text, Loader=yaml.CBaseLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise RenderFailed(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def _inside(root: Path, *parts: str) -> str | None:
    """The path in the tree that is meant, symlinks followed; None if it leads out of it, or cannot be a path."""
    try:
        return (root.joinpath(*parts)).resolve().relative_to(root.resolve()).as_posix()
    except (ValueError, OSError, RuntimeError):  # RuntimeError: links in a circle, up to Python 3.12
        return None
