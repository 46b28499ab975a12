"""Dependencies of charts become files of the candidate."""

from __future__ import annotations

import io
import subprocess
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from deploy_pipeline.errors import RefusedError, RenderFailed
from deploy_pipeline.rendering.vendoring import _members
from deploy_pipeline.settings import tool_path
from tests.rendering.conftest import CONFIG_MAP, Deployer
from tests.rendering.test_candidate import _add

Make = Callable[..., Deployer]

HELM = "- {name: app, driver: helm, namespace: web, helm_name: rel, helm_chart: kubernetes/top}\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent's parameter
        """Tests look at what is rendered, not at an access log."""


def chart(name: str, *dependencies: tuple[str, str]) -> dict[str, str]:
    """A chart that makes a ConfigMap of its name, and depends on others by name and repository."""
    content = {
        "apiVersion": "v2",
        "name": name,
        "version": "1.0.0",
        "dependencies": [
            {"name": other, "version": "1.0.0", "repository": repository} for other, repository in dependencies
        ],
    }
    return {
        f"kubernetes/{name}/Chart.yaml": yaml.safe_dump(content),
        f"kubernetes/{name}/templates/x.yaml": CONFIG_MAP.format(name=name),
    }


def test_file_dependencies_are_vendored_as_files(small_deployer: Make) -> None:
    """Also those of dependencies; no archive, no times of day, and the release needs nothing else."""
    files = chart("top", ("middle", "file://../middle")) | chart("middle", ("low", "file://../low")) | chart("low")
    deployer = small_deployer(files, apps=HELM)
    result = deployer.render()
    paths = deployer.files()
    assert "kubernetes/top/charts/middle/templates/x.yaml" in paths
    assert "kubernetes/top/charts/middle/charts/low/Chart.yaml" in paths
    assert "kubernetes/middle/charts/low/Chart.yaml" in paths
    assert not [path for path in paths if path.endswith((".tgz", "Chart.lock"))]
    assert result.objects == 3


def test_vendored_bytes_are_the_same_each_time(small_deployer: Make) -> None:
    """Archives carry the time; what comes out of them does not."""
    deployer = small_deployer(chart("top", ("low", "file://../low")) | chart("low"), apps=HELM)
    first = deployer.render()
    deployer.origin.delete("candidates/main")
    second = deployer.render()
    assert deployer.lines.count("main: nothing that is rendered changed") == 0
    assert second.commit == first.commit


def test_committed_dependency_counts(small_deployer: Make) -> None:
    """A dependency that lies in charts/ already is taken as it is, wherever it came from."""
    committed = {
        path.replace("kubernetes/low", "kubernetes/top/charts/low"): text for path, text in chart("low").items()
    }
    deployer = small_deployer(chart("top", ("low", "https://charts.example")) | committed, apps=HELM)
    assert deployer.render().objects == 2


def test_repository_must_be_allowed(small_deployer: Make) -> None:
    """The refusal says which chart, which repository, and the next step."""
    deployer = small_deployer(chart("top", ("low", "https://charts.example/x")), apps=HELM)
    with pytest.raises(RenderFailed) as failed:
        deployer.render()
    assert "kubernetes/top/Chart.yaml: dependency low" in str(failed.value)
    assert "`https://charts.example/x`" in str(failed.value)
    assert "DEPLOY_ALLOWED_SOURCES" in str(failed.value)


def test_allowed_repository_is_fetched_if_it_is_pinned(small_deployer: Make, tmp_path: Path) -> None:
    """Without Chart.lock the version would be whatever the repository says today."""
    helm = partial(subprocess.run, check=True, capture_output=True)
    for path, text in chart("low").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    served = tmp_path / "served"
    served.mkdir()
    helm([tool_path("helm"), "package", str(tmp_path / "kubernetes/low"), "-d", str(served)])
    handler = partial(_Quiet, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        helm([tool_path("helm"), "repo", "index", str(served), "--url", url])
        deployer = small_deployer(chart("top", ("low", url)), apps=HELM, allowed_sources=url)
        with pytest.raises(RenderFailed, match=r"(?s)is not pinned.*commit Chart\.lock"):
            deployer.render()
        top = tmp_path / "kubernetes" / "top"
        top.mkdir()
        (top / "Chart.yaml").write_text(chart("top", ("low", url))["kubernetes/top/Chart.yaml"])
        helm([tool_path("helm"), "dependency", "update", str(top)])
        deployer.origin.commit("main", {"kubernetes/top/Chart.lock": (top / "Chart.lock").read_bytes()})
        assert deployer.render().objects == 2
        server.shutdown()
    assert "kubernetes/top/charts/low/templates/x.yaml" in deployer.files()


@pytest.mark.parametrize("repository", ["file://../../../../etc", "file:///etc", "file://../absent"])
def test_file_dependency_stays_in_the_branch(repository: str, small_deployer: Make) -> None:
    """A chart of the deployer's own disk is no dependency."""
    deployer = small_deployer(chart("top", ("low", repository)), apps=HELM)
    with pytest.raises(RenderFailed, match="there is no chart at"):
        deployer.render()


@pytest.mark.parametrize("name", ["../x", "-x", "a/b", ""])
def test_dependency_must_have_the_name_of_a_chart(name: str, small_deployer: Make) -> None:
    """Names become folders."""
    deployer = small_deployer(chart("top", (name, "file://../low")) | chart("low"), apps=HELM)
    with pytest.raises(RenderFailed, match="no name of a chart"):
        deployer.render()


def test_linked_lock_is_refused(small_deployer: Make) -> None:
    """Helm writes to where it leads."""
    deployer = small_deployer(chart("top", ("low", "file://../low")) | chart("low"), apps=HELM)
    blob = deployer.origin.git("hash-object", "-w", "--stdin", stdin=b"../app/one.yaml").strip()
    _add(deployer.origin, f"120000 {blob}\tkubernetes/top/Chart.lock\n")
    with pytest.raises(RenderFailed, match=r"kubernetes/top/Chart\.lock is a symlink"):
        deployer.render()


def test_lock_that_does_not_fit_is_told_in_helms_words(small_deployer: Make) -> None:
    """Chart.yaml and Chart.lock disagree."""
    files = chart("top", ("low", "file://../low")) | chart("low")
    lock = "dependencies: []\ndigest: sha256:0\ngenerated: '2026-01-01T00:00:00Z'\n"
    deployer = small_deployer(files | {"kubernetes/top/Chart.lock": lock}, apps=HELM)
    with pytest.raises(RefusedError, match=r"out of sync"):
        deployer.render()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("low/../../x", tarfile.REGTYPE), ("/etc/x", tarfile.REGTYPE), ("low/x", tarfile.SYMTYPE), ("x", tarfile.REGTYPE)],
)
def test_archive_with_anything_else_is_refused(name: str, kind: bytes, tmp_path: Path) -> None:
    """Paths that climb, links, files beside the chart."""
    with tarfile.open(tmp_path / "low-1.0.0.tgz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.linkname = "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(RenderFailed, match="does not belong into a chart"):
        list(_members(tmp_path / "low-1.0.0.tgz"))


def test_archive_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    """A hundred megabytes of zeros fit into a tenth of one."""
    with tarfile.open(tmp_path / "low-1.0.0.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("low/x")
        member.size = 100 * 1024 * 1024
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(RenderFailed, match="unpacks to more than"):
        list(_members(tmp_path / "low-1.0.0.tgz"))
