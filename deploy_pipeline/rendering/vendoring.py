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

from deploy_pipeline.errors import RenderFailed
from deploy_pipeline.rendering.dependencies import (
    PINS,
    Dependency,
    check_dependencies,
    check_pinned,
    local_chart,
    read_dependencies,
    version_of,
)
from deploy_pipeline.repository import Blob
from deploy_pipeline.repository.tree import check_path
from deploy_pipeline.settings import Settings, tool_path
from deploy_pipeline.tools import isolated_environment, run_tool

_MAX_FILES = 5_000
_MAX_BYTES = 64 * 1024 * 1024


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

        Raises RenderFailed for dependencies that cannot be had, are not allowed or not pinned, or come in an archive
        that is not what it should be.
        """
        if chart in self._seen:
            return
        self._seen.add(chart)
        self._check_no_links(chart)
        dependencies = read_dependencies(self.root, chart)
        if all(self._is_there(chart, dependency.name) for dependency in dependencies):
            return
        # All of them: Helm fetches also what is there.
        check_dependencies(self.root, chart, dependencies, self.settings)
        for dependency in dependencies:
            if dependency.is_local:
                self.vendor(local_chart(self.root, chart, dependency))
        self._build(chart, dependencies)

    def _check_no_links(self, chart: str) -> None:
        """A linked Chart.lock made Helm write to where it leads (CVE-2025-53547)."""
        names = ("", "Chart.yaml", "Chart.lock", "charts", PINS)
        links = [name for name in names if (self.root / chart / name).is_symlink()]
        if links:
            raise RenderFailed(f"{posixpath.join(chart, links[0])} is a symlink", hint="put the file itself there")

    def _is_there(self, chart: str, name: str) -> bool:
        charts = self.root / chart / "charts"
        plain = re.sub("[^A-Za-z0-9._-]", "", name)
        return bool(plain) and ((charts / plain / "Chart.yaml").is_file() or any(charts.glob(f"{plain}-[0-9]*.tgz")))

    def _build(self, chart: str, dependencies: Sequence[Dependency]) -> None:
        folder = self.root / chart
        committed = {path: path.read_bytes() for path in folder.glob("charts/*.tgz")}
        had_lock = (folder / "Chart.lock").exists()
        self._fetch(chart, sorted({one.repository for one in dependencies if not one.is_local}))
        if not had_lock:
            (folder / "Chart.lock").unlink(missing_ok=True)  # it would hold the time of day
        self._check_archives(chart, dependencies)
        after = set(folder.glob("charts/*.tgz"))
        self.removed |= {path.relative_to(self.root).as_posix() for path in committed.keys() - after}
        for path in committed.keys() & after:
            path.write_bytes(committed[path])  # what is committed counts, and is what is reviewed
        for archive in sorted(after - committed.keys()):
            self._unpack(chart, archive)

    def _fetch(self, chart: str, repositories: Sequence[str]) -> None:
        env = isolated_environment(self.private, network=bool(repositories))
        for number, repository in enumerate(repositories):
            if not repository.startswith("oci://"):  # those have no index that Helm would want to know of before
                self._helm(chart, env, "repo", "add", f"repository-{number}", repository)
        self._helm(chart, env, "dependency", "build", f"./{chart}", offline=not repositories)

    def _helm(self, chart: str, env: Mapping[str, str], *arguments: str, offline: bool = False) -> None:
        command = [tool_path("helm"), *arguments]
        timeout = self.settings.render_timeout
        result = run_tool(command, cwd=self.root, env=env, timeout=timeout, offline=offline)
        if result.returncode:
            raise RenderFailed(
                f"{chart}: helm {' '.join(arguments[:2])} failed",
                details=result.stderr.splitlines(),
                hint="run `helm dependency update`, and commit Chart.lock",
            )

    def _check_archives(self, chart: str, dependencies: Sequence[Dependency]) -> None:
        """Archives that Helm made of charts of the branch are as good as these; all others must be pinned.

        A repository names its archives itself. One called like a chart of the branch would pass for it, but then there
        is an archive too few.
        """
        archives = sorted((self.root / chart).glob("charts/*.tgz"))
        ours = {
            f"{one.name}-{version_of(self.root, local_chart(self.root, chart, one))}.tgz"
            for one in dependencies
            if one.is_local
        }
        foreign = [archive for archive in archives if archive.name not in ours]
        if len(foreign) < len({(one.name, one.repository) for one in dependencies if not one.is_local}):
            raise RenderFailed(f"{chart}: a repository sent an archive under the name of another dependency")
        for archive in foreign:
            check_pinned(self.root, chart, archive)

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
    names = list(dict.fromkeys(charts))
    faults = [fault for chart in names if (fault := _attempt(vendoring, chart))]
    if faults:
        raise RenderFailed(
            f"{len(faults)} of {len(names)} charts cannot be used with what they depend on",
            details=faults,
            hint="mend them in a checkout, where `helm dependency list` and `helm lint` read the same files",
        )


def _attempt(vendoring: Vendoring, chart: str) -> str:
    try:
        vendoring.vendor(chart)
    except RenderFailed as error:
        return str(error).replace("\n", "\n    ")
    return ""
