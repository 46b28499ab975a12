"""Dependencies of charts become files of the candidate."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass
class ChartRepository:
    """A repository of charts on loopback; ``asked`` has each connection."""

    url: str
    folder: Path
    asked: list[str] = field(default_factory=list)

    def package(self, files: Mapping[str, str]) -> None:
        """Serve the chart of these files, in place of the one of that name."""
        with tempfile.TemporaryDirectory() as directory:
            for path, text in files.items():
                file = Path(directory, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            (source,) = Path(directory, "kubernetes").iterdir()
            helm("package", str(source), "-d", str(self.folder))
        helm("repo", "index", str(self.folder), "--url", self.url)

    def archive(self, name: str) -> bytes:
        """The archive of a chart."""
        return (self.folder / f"{name}-1.0.0.tgz").read_bytes()

    def pin(self, name: str) -> str:
        """The line of ``charts.sha256`` for it."""
        return f"{hashlib.sha256(self.archive(name)).hexdigest()}  {name}-1.0.0.tgz"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[ChartRepository]:
    """One with the chart ``low``."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def handle(self) -> None:
            """Note that somebody came, whatever for."""
            asked.append(f"port {self.client_address[1]}")
            super().handle()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent's parameter
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = ChartRepository(f"http://127.0.0.1:{server.server_port}", folder, asked)
        made.package(chart("low"))
        yield made
        server.shutdown()


def helm(*arguments: str) -> None:
    """Run helm as somebody who publishes charts."""
    subprocess.run([tool_path("helm"), *arguments], check=True, capture_output=True)


def lock(*dependencies: tuple[str, str], asked: Sequence[tuple[str, str]] = ()) -> str:
    """A Chart.lock with the digest that Helm computes over what Chart.yaml asks for and what the lock says."""
    both = [
        [{"name": name, "version": "1.0.0", "repository": repository} for name, repository in listed]
        for listed in (asked or dependencies, dependencies)
    ]
    digest = hashlib.sha256(json.dumps(both, separators=(",", ":")).encode()).hexdigest()
    content = {"dependencies": both[1], "digest": f"sha256:{digest}", "generated": "2026-01-01T00:00:00Z"}
    return yaml.safe_dump(content)


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


def test_allowed_repository_is_fetched_if_it_is_pinned(small_deployer: Make, repository: ChartRepository) -> None:
    """By version and by digest, since a repository can put other bytes behind a version; it is said what to commit."""
    url = repository.url
    deployer = small_deployer(chart("top", ("low", url)), apps=HELM, allowed_sources=url)
    with pytest.raises(RenderFailed, match=r"(?s)is not pinned.*commit Chart\.lock"):
        deployer.render()
    deployer.origin.commit("main", {"kubernetes/top/Chart.lock": lock(("low", url))})
    with pytest.raises(RenderFailed, match=r"low-1\.0\.0\.tgz is not pinned by its digest") as refused:
        deployer.render()
    line = repository.pin("low")
    assert f"put this line into kubernetes/top/charts.sha256: {line}\n" in str(refused.value)
    deployer.origin.commit("main", {"kubernetes/top/charts.sha256": line + "\n"})
    assert deployer.render().objects == 2
    assert "kubernetes/top/charts/low/templates/x.yaml" in deployer.files()


def test_other_bytes_under_a_pinned_version_are_refused(small_deployer: Make, repository: ChartRepository) -> None:
    """Whether the repository changed them or sent Helm elsewhere, to which it goes."""
    pin = repository.pin("low")
    repository.package(chart("low") | {"kubernetes/low/templates/x.yaml": CONFIG_MAP.format(name="evil")})
    files = {"kubernetes/top/Chart.lock": lock(("low", repository.url)), "kubernetes/top/charts.sha256": pin + "\n"}
    deployer = small_deployer(chart("top", ("low", repository.url)) | files, apps=HELM, allowed_sources=repository.url)
    with pytest.raises(
        RenderFailed, match=r"has the digest [0-9a-f]{64}, not the one in kubernetes/top/charts\.sha256"
    ):
        deployer.render()


def test_committed_archive_is_not_replaced(small_deployer: Make, repository: ChartRepository) -> None:
    """Helm fetches all dependencies as soon as one is missing; what was committed was reviewed, and stays."""
    committed = repository.archive("low")
    repository.package(chart("low") | {"kubernetes/low/templates/x.yaml": CONFIG_MAP.format(name="later")})
    dependencies = (("low", repository.url), ("near", "file://../near"))
    files: dict[str, str | bytes] = {
        **chart("top", *dependencies),
        **chart("near"),
        "kubernetes/top/Chart.lock": lock(*dependencies),
        "kubernetes/top/charts.sha256": repository.pin("low") + "\n",
        "kubernetes/top/charts/low-1.0.0.tgz": committed,
    }
    deployer = small_deployer(apps=HELM, allowed_sources=repository.url)
    deployer.origin.commit("main", files)
    deployer.render()
    assert "name: low" in deployer.show("rendered/test/app.yaml")
    assert "name: later" not in deployer.show("rendered/test/app.yaml")


def test_lock_may_name_no_other_address(small_deployer: Make, repository: ChartRepository) -> None:
    """Helm asks the lock's addresses, and its digest fits whatever somebody wrote: a service beside the deployer."""
    inner = f"oci://{repository.url.removeprefix('http://')}/charts"
    forged = lock(("low", inner), asked=[("low", repository.url)])
    files = chart("top", ("low", repository.url)) | {"kubernetes/top/Chart.lock": forged}
    deployer = small_deployer(files, apps=HELM, allowed_sources=repository.url)
    with pytest.raises(RenderFailed, match=r"Chart\.lock: low from `oci://127.* is not what Chart\.yaml depends on"):
        deployer.render()
    assert repository.asked == []


@pytest.mark.parametrize("key", ["Repository", "REPOSITORY", "repo\u017fitory"])
def test_keys_are_read_as_helm_reads_them(key: str, small_deployer: Make, repository: ChartRepository) -> None:
    """Helm takes any letters that fold to a key, the last one counts: none can hide an address from us."""
    text = chart("top", ("low", "https://charts.example/x"))["kubernetes/top/Chart.yaml"]
    text = text.replace("  version:", f"  {key}: {repository.url}\n  version:")
    deployer = small_deployer(
        chart("top") | {"kubernetes/top/Chart.yaml": text}, apps=HELM, allowed_sources="https://charts.example"
    )
    with pytest.raises(RenderFailed, match="must be written in the letters"):
        deployer.render()
    assert repository.asked == []


@pytest.mark.parametrize(
    ("hidden", "words"),
    [
        ("<<: {repository: ADDRESS}", "the key `<<` would override"),
        ("<<: &anchor {repository: ADDRESS}", "has an anchor, an alias or a tag"),
        ("!!binary cmVwb3NpdG9yeQ==: ADDRESS", "has an anchor, an alias or a tag"),
    ],
    ids=["merge key", "anchor", "binary key"],
)
def test_no_address_hides_in_yaml(hidden: str, words: str, small_deployer: Make, repository: ChartRepository) -> None:
    """Helm would ask what a merge key or a decoded key says instead of the address that is allowed."""
    inner = f"oci://{repository.url.removeprefix('http://')}/charts"
    entry = f"dependencies:\n- name: low\n  version: 1.0.0\n  repository: https://charts.example/x\n  {hidden}\n"
    entry = entry.replace("ADDRESS", f"'{inner}'")
    _, _, rest = lock(("low", inner)).partition("digest:")  # fits what Helm reads, in both files
    files = {
        "kubernetes/top/Chart.yaml": f"{entry}apiVersion: v2\nname: top\nversion: 1.0.0\n",
        "kubernetes/top/Chart.lock": f"{entry}digest:{rest}",
    }
    deployer = small_deployer(chart("top") | files, apps=HELM, allowed_sources="https://charts.example")
    with pytest.raises(RenderFailed, match=words):
        deployer.render()
    assert repository.asked == []


def test_no_merge_key_brings_dependencies(small_deployer: Make, repository: ChartRepository) -> None:
    """The whole list can hide in one, too."""
    hidden = f"<<: {{dependencies: [{{name: low, version: 1.0.0, repository: '{repository.url}'}}]}}\n"
    files = chart("top")
    files["kubernetes/top/Chart.yaml"] = f"apiVersion: v2\nname: top\nversion: 1.0.0\n{hidden}"
    deployer = small_deployer(files, apps=HELM)
    with pytest.raises(RenderFailed, match=r"Chart\.yaml: the key `<<` would override"):
        deployer.render()
    assert repository.asked == []


def test_requirements_of_old_charts_are_refused(small_deployer: Make) -> None:
    """They would count instead of what Chart.yaml says, and was checked."""
    files = {"kubernetes/top/requirements.yaml": "dependencies: []\n"}
    deployer = small_deployer(chart("top", ("low", "file://../low")) | chart("low") | files, apps=HELM)
    with pytest.raises(RenderFailed, match=r"requirements\.yaml would count instead"):
        deployer.render()


@pytest.mark.parametrize(
    "text",
    ["[" * 400_000, "dependencies: {a: b}", "- a", 'a: "\\UFFFFFFFF"', "a: b\n---\na: b"],
    ids=["deep", "no list", "no mapping", "no character", "two documents"],
)
def test_chart_that_is_no_chart_is_told(text: str, small_deployer: Make) -> None:
    """Whatever stands in Chart.yaml, the deployer lives on to say so."""
    deployer = small_deployer(chart("top") | {"kubernetes/top/Chart.yaml": text}, apps=HELM)
    with pytest.raises(RenderFailed, match=r"kubernetes/top/Chart\.yaml"):
        deployer.render()


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
