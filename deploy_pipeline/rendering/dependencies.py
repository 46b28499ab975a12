"""What the charts of a branch depend on, and whether that may be had: allowed by the deployer, pinned by the branch.

Helm asks the addresses in Chart.lock, whose digest anybody can compute, rather than those in Chart.yaml: so the two
must agree. It takes a key in any letters that fold to it, and the last of several (``repository``, ``Repository``, and
one more with a long s): so keys must be written as Helm documents them. It lets a merge key (``<<``) override what
stands beside it, and decodes what is tagged ``!!binary``: so these files are YAML without either, and without aliases.
Chart.lock pins versions, behind which a
repository can put other bytes: so archives from elsewhere are pinned by their digests as well, in ``charts.sha256``,
which ``sha256sum`` writes and checks.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.errors import RenderFailed
from deploy_pipeline.rendering.projection import is_allowed
from deploy_pipeline.rendering.reading import TextLoader, read_documents
from deploy_pipeline.repository.tree import check_path
from deploy_pipeline.settings import Settings

PINS = "charts.sha256"
_LOCAL = "file://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PIN = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9._+-]+\.tgz)")
_KEYS = frozenset({"apiVersion", "dependencies", "name", "version", "repository"})
_FOLDED = {key.casefold() for key in _KEYS}
_NO_LIST = ("", "~", "null", "Null", "NULL")
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Dependency:
    """One entry of ``dependencies``: as Chart.yaml asks for it, or as Chart.lock answers."""

    name: str
    version: str
    repository: str

    @property
    def is_local(self) -> bool:
        """Whether it is another chart of the branch."""
        return self.repository.startswith(_LOCAL)


def read_dependencies(root: Path, chart: str, file: str = "Chart.yaml") -> tuple[Dependency, ...]:
    """The dependencies that a file of the chart lists; RenderFailed if Helm might read it in another way than we do."""
    content = _read(root, f"{chart}/{file}")
    listed = content.get("dependencies", "")
    if listed in _NO_LIST:
        return ()
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise RenderFailed(f"{chart}/{file}: `dependencies` is no list of charts")
    for entry in listed:
        _check_keys(entry, f"{chart}/{file}")
    return tuple(Dependency(*(_text(entry, key) for key in ("name", "version", "repository"))) for entry in listed)


def version_of(root: Path, chart: str) -> str:
    """The version that a chart of the branch says it has."""
    return _text(_read(root, f"{chart}/Chart.yaml"), "version")


def local_chart(root: Path, chart: str, dependency: Dependency) -> str:
    """The folder of a dependency that is another chart of the branch; RenderFailed if there is none."""
    target = posixpath.normpath(posixpath.join(chart, dependency.repository.removeprefix(_LOCAL)))
    if not check_path(target) and (root / target / "Chart.yaml").is_file():
        return target
    raise RenderFailed(
        f"{_where(chart, dependency)}: there is no chart at {dependency.repository}",
        hint="check the path, and `include` in deploy.yaml",
    )


def check_dependencies(root: Path, chart: str, dependencies: Sequence[Dependency], settings: Settings) -> None:
    """RenderFailed unless Helm may be let loose on these dependencies of a chart."""
    for dependency in dependencies:
        if not _NAME.fullmatch(dependency.name):
            raise RenderFailed(f"{_where(chart, dependency)}: that is no name of a chart")
        if dependency.is_local:
            local_chart(root, chart, dependency)
        elif not is_allowed(dependency.repository, settings):
            raise RenderFailed(
                f"{_where(chart, dependency)}: the deployer does not allow the repository `{dependency.repository}`",
                hint="commit all dependencies of the chart to charts/, or let DEPLOY_ALLOWED_SOURCES name its address",
            )
    for old in ("requirements.yaml", "requirements.lock"):
        if (root / chart / old).exists():
            raise RenderFailed(f"{chart}/{old} would count instead of Chart.yaml", hint="move it into Chart.yaml")
    _check_lock(root, chart, dependencies)


def check_pinned(root: Path, chart: str, archive: Path) -> None:
    """RenderFailed unless an archive that came from elsewhere has the digest that the branch says."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    pins = _pins(root, chart)
    if archive.name not in pins:
        raise RenderFailed(
            f"{chart}: the dependency {archive.name} is not pinned by its digest",
            hint=f"if it is the right one, put this line into {chart}/{PINS}: {digest}  {archive.name}",
        )
    if pins[archive.name] != digest:
        raise RenderFailed(
            f"{chart}: the dependency {archive.name} has the digest {digest}, not the one in {chart}/{PINS}",
            hint="other bytes were published under this version; find out why before you pin them",
        )


def _check_lock(root: Path, chart: str, dependencies: Sequence[Dependency]) -> None:
    if not (root / chart / "Chart.lock").is_file():
        for dependency in dependencies:
            if not dependency.is_local:
                raise RenderFailed(
                    f"{_where(chart, dependency)} is not pinned",
                    hint="run `helm dependency update` and commit Chart.lock",
                )
        return
    known = {(dependency.name, dependency.repository) for dependency in dependencies}
    for locked in read_dependencies(root, chart, "Chart.lock"):
        if (locked.name, locked.repository) not in known:
            raise RenderFailed(
                f"{chart}/Chart.lock: {locked.name} from `{locked.repository}` is not what Chart.yaml depends on",
                hint="run `helm dependency update` and commit Chart.lock",
            )


def _pins(root: Path, chart: str) -> Mapping[str, str]:
    """Digest of each archive by its file name."""
    path = root / chart / PINS
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError):
        raise RenderFailed(f"{chart}/{PINS} cannot be read") from None
    found = [_PIN.fullmatch(line) for line in lines if line.strip()]
    if not all(found):
        raise RenderFailed(f"{chart}/{PINS} is not as sha256sum writes it: a digest, two blanks and a file name a line")
    return {match[2]: match[1] for match in found if match}


def _read(root: Path, path: str) -> Mapping[str, Any]:
    file = root / path
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise RenderFailed(f"{path} is larger than {_MAX_BYTES} bytes")
        text = file.read_bytes()
        documents = read_documents(text, TextLoader)
        _check_plain(text, path)
    except (OSError, yaml.YAMLError) as error:
        raise RenderFailed(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise RenderFailed(f"{path} is no mapping of keys to values")
    _check_keys(documents[0], path)
    return documents[0]


def _check_plain(text: bytes, path: str) -> None:
    """RenderFailed where readers of YAML may take something for other than what stands there."""
    for event in yaml.parse(text, Loader=TextLoader):
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise RenderFailed(f"{path} has an anchor, an alias or a tag", hint="write the values out")


def _check_keys(mapping: Mapping[Any, Any], path: str) -> None:
    for key in mapping:
        if key == "<<":
            raise RenderFailed(f"{path}: the key `<<` would override the keys beside it", hint="write the values out")
        if key not in _KEYS and str(key).casefold() in _FOLDED:
            raise RenderFailed(f"{path}: the key {key!r} must be written in the letters that Helm documents")


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key, "")
    return value if isinstance(value, str) else ""


def _where(chart: str, dependency: Dependency) -> str:
    return f"{chart}/Chart.yaml: dependency {dependency.name}"
