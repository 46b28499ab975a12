"""Making trees and commits out of git objects alone: no working tree, no shared index, no identity of the machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from deploy_pipeline.errors import UnsafeTree
from deploy_pipeline.repository.git import GitResult
from deploy_pipeline.repository.objects import Blob
from deploy_pipeline.repository.tree import check_path, shown_path

# Constant, so that two deployers that do the same make the same commit.
_NAME = "deploy-pipeline"
_EMAIL = "deploy-pipeline@localhost"

Git = Callable[..., GitResult]


def write_tree(git: Git, files: Mapping[str, Blob], base: str | None) -> str:
    """Store the tree through an index of its own; gives the tree's id. UnsafeTree for bad paths."""
    faults = [f"{fault}: {shown_path(path)}" for path in files if (fault := check_path(path))]
    if faults:
        hint = "rename or remove it on the source branch, or leave it out by `include` of deploy.yaml"
        raise UnsafeTree("the tree would hold what must not be written out", details=faults, hint=hint)
    with tempfile.TemporaryDirectory(prefix="deploy-pipeline-index-") as directory:
        shas = _store_contents(git, Path(directory), files)
        lines = "".join(f"{blob.mode} {blob.sha or shas[path]}\t{path}\0" for path, blob in files.items())
        env = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
        git("read-tree", base or "--empty", env=env)
        git("update-index", "--add", "-z", "--index-info", stdin=lines.encode(), env=env)
        return git("write-tree", env=env).text.strip()


def write_commit(git: Git, *, tree: str, parents: Sequence[str], message: str, when: datetime) -> str:
    """Store a commit whose id depends on the arguments alone; gives the id."""
    date = f"{int(when.timestamp())} +0000"
    identity = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", _NAME), ("EMAIL", _EMAIL), ("DATE", date))
    }
    options = [option for parent in dict.fromkeys(parents) for option in ("-p", parent)]
    return git("commit-tree", *options, "-F", "-", tree, stdin=message.encode(), env=identity).text.strip()


def _store_contents(git: Git, directory: Path, files: Mapping[str, Blob]) -> dict[str, str]:
    """Store the contents that are given as bytes, in one call: git takes many only as files."""
    paths = [path for path, blob in files.items() if not blob.sha]
    names = [directory / f"{number}.blob" for number in range(len(paths))]
    for name, path in zip(names, paths, strict=True):
        name.write_bytes(files[path].content)
    listing = "".join(f"{name}\n" for name in names).encode()
    output = git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listing).text
    return dict(zip(paths, output.split(), strict=True))
