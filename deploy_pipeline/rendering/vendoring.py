"""Bringing the dependencies of charts into the candidate, so that what is approved holds all that is deployed.

``helm dependency build`` fetches what ``Chart.lock`` pins. Its archives carry times of day; unpacked, they are files
like all others: the same input gives the same tree, and a reviewer sees what changed inside.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy_pipeline.errors import RenderFailed
from deploy_pipeline.rendering.projection import is_allowed
from deploy_pipeline.repository import Blob
from deploy_pipeline.repository.tree import check_path
from deploy_pipeline.settings import Settings, tool_path
from deploy_pipeline.tools import isolated_environment, run_tool

_MAX_FILES = 5_000
_MAX_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass
class Vendoring:
    """Vendors the charts of one export, each once. ``added`` is what the candidate gets, ``removed`` what it loses."""

    root: Path
    private: Path
    settings: Settings
    added: dict[str, Blob] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def vendor(self, chart: str) -> None:
        """Complete ``charts/`` of a chart, and of the charts of this tree that it depends on.

        Raises RenderFailed for dependencies that cannot be had, are not allowed, or come in an archive that is not
        what it should be.
        """
        if chart in self._seen:
            return
        self._seen.add(chart)
        self._check_no_links(chart)
        missing = [one for one in self._dependencies(chart) if not self._is_there(chart, str(one.get("name")))]
        repositories = [self._check_dependency(chart, dependency) for dependency in missing]
        if missing:
            self._build(chart, sorted(set(filter(None, repositories))))

    def _check_no_links(self, chart: str) -> None:
        """A linked Chart.lock made Helm write to where it leads (CVE-2025-53547)."""
        links = [name for name in ("", "Chart.yaml", "Chart.lock", "charts") if (self.root / chart / name).is_symlink()]
        if links:
            raise RenderFailed(f"{posixpath.join(chart, links[0])} is a symlink", hint="put the file itself there")

    def _dependencies(self, chart: str) -> list[Mapping[str, Any]]:
        try:
            content = yaml.load((self.root / chart / "Chart.yaml").read_bytes(), Loader=yaml.CSafeLoader)
        except (OSError, yaml.YAMLError) as error:
            raise RenderFailed(f"{chart}/Chart.yaml cannot be read: {' '.join(str(error).split())}") from None
        dependencies = content.get("dependencies") if isinstance(content, dict) else None
        if not isinstance(dependencies or [], list) or not all(isinstance(one, dict) for one in dependencies or []):
            raise RenderFailed(f"{chart}/Chart.yaml: `dependencies` is no list of charts")
        return dependencies or []

    def _is_there(self, chart: str, name: str) -> bool:
        charts = self.root / chart / "charts"
        return (charts / name / "Chart.yaml").is_file() or any(
            charts.glob(f"{re.sub('[^A-Za-z0-9._-]', '', name)}-[0-9]*.tgz")
        )

    def _check_dependency(self, chart: str, dependency: Mapping[str, Any]) -> str:
        """The repository that has to be asked, if any; RenderFailed if the dependency must not be had from there."""
        name, repository = str(dependency.get("name")), str(dependency.get("repository") or "")
        where = f"{chart}/Chart.yaml: dependency {name}"
        if not _NAME.fullmatch(name):
            raise RenderFailed(f"{where}: that is no name of a chart")
        if repository.startswith("file://"):
            target = posixpath.normpath(posixpath.join(chart, repository.removeprefix("file://")))
            if not check_path(target) and (self.root / target / "Chart.yaml").is_file():
                self.vendor(target)
                return ""
            raise RenderFailed(f"{where}: there is no chart at {repository}", hint="check the path, and `include`")
        if not is_allowed(repository, self.settings):
            raise RenderFailed(
                f"{where}: the deployer does not allow the repository `{repository}`",
                hint="commit the dependency to charts/, or let DEPLOY_ALLOWED_SOURCES name its address",
            )
        if not (self.root / chart / "Chart.lock").is_file():
            raise RenderFailed(f"{where} is not pinned", hint="run `helm dependency update` and commit Chart.lock")
        return repository

    def _build(self, chart: str, repositories: Sequence[str]) -> None:
        folder = self.root / chart
        before, had_lock = set(folder.glob("charts/*.tgz")), (folder / "Chart.lock").exists()
        env = isolated_environment(self.private, network=bool(repositories))
        for number, repository in enumerate(repositories):
            if not repository.startswith("oci://"):  # those have no index that Helm would want to know of before
                self._helm(chart, env, "repo", "add", f"repository-{number}", repository)
        self._helm(chart, env, "dependency", "build", f"./{chart}")
        if not had_lock:
            (folder / "Chart.lock").unlink(missing_ok=True)  # it would hold the time of day
        after = set(folder.glob("charts/*.tgz"))
        self.removed |= {path.relative_to(self.root).as_posix() for path in before - after}
        for archive in sorted(after - before):
            self._unpack(chart, archive)

    def _helm(self, chart: str, env: Mapping[str, str], *arguments: str) -> None:
        command = [tool_path("helm"), *arguments]
        result = run_tool(command, cwd=self.root, env=env, timeout=self.settings.render_timeout)
        if result.returncode:
            raise RenderFailed(
                f"{chart}: helm {' '.join(arguments[:2])} failed",
                details=result.stderr.splitlines(),
                hint="run `helm dependency update`, and commit Chart.lock",
            )

    def _unpack(self, chart: str, archive: Path) -> None:
        """Turn an archive into files, unless the branch has that chart as files already: then those count."""
        files = dict(_members(archive))
        archive.unlink()
        if any((archive.parent / path.split("/")[0]).exists() for path in files):
            return
        for path, content in files.items():
            target = archive.parent / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            self.added[f"{chart}/charts/{path}"] = Blob(content=content)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Files of a chart archive; RenderFailed if there is anything else in it, or too much."""
    count = size = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                count, size = count + 1, size + member.size
                if count > _MAX_FILES or size > _MAX_BYTES:
                    raise RenderFailed(f"{archive.name} unpacks to more than {_MAX_FILES} files or {_MAX_BYTES} bytes")
                if member.isdir():
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or check_path(member.name) or "/" not in member.name:
                    raise RenderFailed(f"{archive.name} holds what does not belong into a chart: {member.name!r}")
                yield member.name, stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RenderFailed(f"{archive.name} is no archive of a chart: {error}") from None


def vendor_all(vendoring: Vendoring, charts: Iterable[str]) -> None:
    """Vendor each chart; RenderFailed with the faults of all of them."""
    faults = [fault for chart in dict.fromkeys(charts) if (fault := _attempt(vendoring, chart))]
    if faults:
        raise RenderFailed(f"{len(faults)} charts lack dependencies", details=faults)


def _attempt(vendoring: Vendoring, chart: str) -> str:
    try:
        vendoring.vendor(chart)
    except RenderFailed as error:
        return str(error).replace("\n", "\n    ")
    return ""
