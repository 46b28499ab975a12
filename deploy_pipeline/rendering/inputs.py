"""What the tools read to render one app, found before they run.

What an app renders to holds as long as its inputs are the same, if they are all there is. So the tool is given a folder
with just these files: what it makes there depends on nothing else. Where that is not enough (a field of kustomize that
is not known here) the tool fails, gets all files of the branch, and nothing of it is remembered. The same goes for
whatever is reached by a link.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy_pipeline.channels import App, Driver
from deploy_pipeline.channels.channel import KUSTOMIZATIONS
from deploy_pipeline.rendering.kustomization import check_kustomization


def input_files(root: Path, app: App) -> tuple[str, ...] | None:
    """The paths of all files that rendering the app reads, sorted; None if nobody can tell.

    RenderFailed where its kustomization needs more than the files of the branch.
    """
    if app.driver is Driver.KUSTOMIZE:
        paths = [root / path for path in _kustomize_files(root, check_kustomization(root, str(app.kustomize_dir)))]
    else:
        paths = [*_files_below(root / str(app.helm_chart)), *(root / path for path in app.helm_values)]
    if any(_is_linked(root, path) for path in paths):
        return None
    return tuple(sorted({path.relative_to(root).as_posix() for path in paths}))


def input_digest(root: Path, files: Iterable[str], more: Any) -> str:
    """A digest of the files, names and contents, and of what else has a say, in this order."""
    contents = {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in files}
    return hashlib.sha256(json.dumps([contents, more], sort_keys=True).encode()).hexdigest()


@contextmanager
def set_apart(root: Path, files: Iterable[str], private: Path) -> Iterator[Path]:
    """A folder that has these files and nothing else, and has nothing beside it; OSError where that cannot be had."""
    apart = Path(tempfile.mkdtemp(dir=private))
    try:
        folder = apart / "tree"
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(root / path, folder / path)
        yield folder
    finally:
        shutil.rmtree(apart, ignore_errors=True)


def _kustomize_files(root: Path, named: Iterable[str]) -> Iterator[str]:
    for path in named:
        if (root / path).is_file():
            yield path
        yield from (f"{path}/{name}" for name in KUSTOMIZATIONS if (root / path / name).is_file())


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
        yield from (Path(place, name) for name in folders if Path(place, name).is_symlink())


def _is_linked(root: Path, path: Path) -> bool:
    return path.resolve() != root.resolve() / path.relative_to(root)
