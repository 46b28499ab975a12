"""What the tools make of apps, and what people are told when they cannot."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from deploy_pipeline.errors import ChannelFaults, RenderFailed
from deploy_pipeline.rendering import read_rendered
from tests.rendering.conftest import CONFIG_MAP, Deployer

Make = Callable[..., Deployer]

HELM = """\
- name: app
  driver: helm
  namespace: web
  helm_name: rel
  helm_chart: kubernetes/c
  helm_values: [kubernetes/v.yaml]
"""
CHART = {
    "kubernetes/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    "kubernetes/c/templates/x.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n"
        "data: {kube: {{ .Capabilities.KubeVersion.Version }}, ns: {{ .Release.Namespace }}, v: {{ .Values.v }}}\n"
    ),
    "kubernetes/v.yaml": "v: from-file\n",
}


class _Server(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Note that somebody came, and give a manifest."""
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONFIG_MAP.format(name="fetched").encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent's parameter
        """Quiet."""


@pytest.fixture
def internal_server() -> Iterator[str]:
    """A service on the deployer's own machine that no branch may reach."""
    _Server.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def failure(deployer: Deployer) -> str:
    """What people are told when a branch does not render; nothing was pushed."""
    with pytest.raises(RenderFailed) as failed:
        deployer.render()
    assert "candidates/main" not in deployer.origin.heads()
    return str(failed.value)


def test_helm_sees_a_pinned_cluster_and_its_values(small_deployer: Make) -> None:
    """The result depends neither on the tool's default version nor on a cluster; labels are Helm's own business."""
    deployer = small_deployer(CHART, apps=HELM)
    deployer.render()
    (manifest,) = read_rendered(deployer.mirror.tree("candidates/main"), "test", "app")
    assert manifest["data"] == {"kube": "v1.36.2", "ns": "web", "v": "from-file"}
    assert "labels" not in manifest["metadata"]


def test_helm_keeps_hooks_and_definitions_and_leaves_tests(small_deployer: Make) -> None:
    """What an upgrade would make is shown; tests are run by nobody."""
    hook = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, annotations: {helm.sh/hook: %s}}\n"
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x.example.com}\n"
    files = {
        "kubernetes/c/templates/hook.yaml": hook % ("migrate", "pre-upgrade"),
        "kubernetes/c/templates/test.yaml": hook % ("probe", "test"),
        "kubernetes/c/crds/x.yaml": crd,
    }
    deployer = small_deployer(CHART | files, apps=HELM)
    deployer.render()
    manifests = read_rendered(deployer.mirror.tree("candidates/main"), "test", "app")
    assert {(one["kind"], one["metadata"]["name"]) for one in manifests} == {
        ("ConfigMap", "rel"),
        ("Pod", "migrate"),
        ("CustomResourceDefinition", "x.example.com"),
    }


def test_secret_values_override_values_as_placeholders(small_deployer: Make) -> None:
    """They come last, as in the release; the chart's schema cannot judge a placeholder."""
    schema = '{"properties": {"v": {"type": "string", "maxLength": 5}}}'
    deployer = small_deployer(
        CHART | {"kubernetes/c/values.schema.json": schema, "kubernetes/v.yaml": "v: short\n"},
        apps=HELM + "  secret_helm_values: [s]\n",
    )
    replace(deployer, secret_shape=lambda name: {"v": f"<secret:{name}#/v>"}).render()
    assert "v: <secret:s#/v>" in deployer.show("rendered/test/app.yaml")


def test_chart_schema_is_enforced(small_deployer: Make) -> None:
    """Without secret values, values that the schema forbids do not render."""
    schema = '{"properties": {"v": {"type": "string", "maxLength": 5}}}'
    deployer = small_deployer(CHART | {"kubernetes/c/values.schema.json": schema}, apps=HELM)
    assert "maxLength" in failure(deployer)


def test_every_failing_app_is_told_in_the_words_of_its_tool(small_deployer: Make) -> None:
    """Channel, app, folder and the tool's own message, for all at once; paths as they are in the branch."""
    apps = "".join(
        f"- {{name: {name}, driver: kustomize, kustomize_dir: kubernetes/{folder}}}\n"
        for name, folder in (("k", "k"), ("good", "app"))
    )
    files = {
        "kubernetes/c/templates/bad.yaml": '{{ required "v.missing must be set" .Values.missing }}\n',
        "kubernetes/k/kustomization.yaml": "resources: [absent.yaml]\n",
    }
    deployer = small_deployer(CHART | files, apps=HELM + apps)
    told = failure(deployer)
    assert "2 of 3 apps cannot be rendered" in told
    assert "test/app (kubernetes/c): helm template failed" in told
    assert "v.missing must be set" in told
    assert "c/templates/bad.yaml" in told
    assert "test/k (kubernetes/k): kubectl kustomize failed" in told
    assert "absent.yaml" in told
    assert "/deploy-pipeline-" not in told
    assert any(line.startswith("test/good: 1 objects in ") for line in deployer.lines)


def test_long_output_is_cut_to_one_screen(small_deployer: Make) -> None:
    """A thousand lines of a failing template do not push the rest away; beginning and end stay."""
    long = '{{ fail (printf "first\\n%s\\nlast" (repeat 1000 "line\\n")) }}'
    told = failure(small_deployer(CHART | {"kubernetes/c/templates/bad.yaml": long}, apps=HELM))
    assert "lines …" in told
    assert "last" in told
    assert len(told.splitlines()) < 40


@pytest.mark.parametrize(
    ("manifest", "fault"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", "generateName"),
        ("apiVersion: v1\nmetadata: {name: x}\n", "Kind"),
        ("just text\n", "YAML parse error|decode"),
        (CONFIG_MAP.format(name="x") + "---\n" + CONFIG_MAP.format(name="x"), "ConfigMap x is there 2 times"),
    ],
)
def test_output_that_cannot_be_applied_is_refused(manifest: str, fault: str, small_deployer: Make) -> None:
    """Each names the app and what is wrong."""
    told = failure(small_deployer(CHART | {"kubernetes/c/templates/x.yaml": manifest}, apps=HELM))
    assert "test/app (kubernetes/c)" in told
    assert any(one in told for one in fault.split("|"))


def test_object_of_two_apps_is_refused(small_deployer: Make) -> None:
    """Both are named. The namespace of a Helm release counts; kinds without namespace are the same everywhere."""
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: shared}\n"
    files = {
        "kubernetes/c/templates/role.yaml": role,
        "kubernetes/c/templates/x.yaml": CONFIG_MAP.format(name="one"),
        "kubernetes/app/one.yaml": CONFIG_MAP.format(name="one").replace("one", "one, namespace: web") + "---\n" + role,
    }
    apps = HELM + "- {name: other, driver: kustomize, kustomize_dir: kubernetes/app}\n"
    told = failure(small_deployer(CHART | files, apps=apps))
    assert "test: ClusterRole shared is in app and in other" in told
    assert "test: ConfigMap web/one is in app and in other" in told


def test_app_without_objects_is_a_warning(small_deployer: Make) -> None:
    """It may be meant; it is said."""
    deployer = small_deployer(
        {
            "kubernetes/app/one.yaml": "# nothing yet\n",
            "kubernetes/app/kustomization.yaml": "resources: []\nconfigMapGenerator: []\n",
        },
        apps=HELM,
    )
    deployer.origin.commit("main", CHART | {"kubernetes/c/templates/x.yaml": "{{- if false }}x{{ end }}\n"})
    result = deployer.render()
    assert result.objects == 0
    assert result.warnings == ("test/app renders to no object at all",)
    assert read_rendered(deployer.mirror.tree("candidates/main"), "test", "app") == []


@pytest.mark.parametrize(
    ("kustomization", "extra"),
    [
        ("resources: [{url}/x.yaml]", {}),
        ("Resources: [{url}/x.yaml]", {}),
        ("patches: [{{path: '{url}/x.yaml'}}]", {}),
        ("configMapGenerator: [{{name: a, files: ['k={url}/x']}}]", {}),
        ("generators: [gen.yaml]", {"gen.yaml": "files: ['{url}/x']\nkind: ConfigMapGenerator\n"}),
        ("generators: ['{{kind: ConfigMapGenerator,\n\n\n files: [\"{url}/x\"]}}']", {}),
        ("resources: [../deep]", {"../deep/kustomization.yaml": "components: ['{url}/x']"}),
    ],
)
def test_kustomize_cannot_reach_the_network(
    kustomization: str, extra: dict[str, str], small_deployer: Make, internal_server: str
) -> None:
    """Wherever an address stands, it is named and nobody is asked: not even a service beside the deployer."""
    files = {f"kubernetes/app/{path}": text for path, text in {"kustomization.yaml": kustomization, **extra}.items()}
    files = {path.replace("app/../", ""): text.format(url=internal_server) for path, text in files.items()}
    told = failure(small_deployer(files))
    assert internal_server in told
    assert "which is an address" in told
    assert "by `sources` in deploy.yaml" in told
    assert _Server.asked == []


@pytest.mark.parametrize(
    "name",
    [
        "github.com/example/repo//deploy?ref=main",
        "git@forge.example:example/repo.git",
        "ssh://git@forge.example/repo",
        "../../../../../../../../etc",
        "/etc",
    ],
)
def test_kustomize_cannot_leave_the_branch(name: str, small_deployer: Make) -> None:
    """Neither by git nor by a path."""
    told = failure(small_deployer({"kubernetes/app/kustomization.yaml": f"resources: ['{name}']\n"}))
    assert f"kubernetes/app/kustomization.yaml: resources names '{name}', which is " in told


@pytest.mark.parametrize("field", ["name", "namespace"])
def test_no_object_is_called_like_a_secret_value(field: str, small_deployer: Make) -> None:
    """Names stand everywhere, and in git there is a placeholder for the value: that is refused."""
    names = {"name": "x", "namespace": "web"} | {field: '{{ .Values.v | printf "a-%s" | quote }}'}
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n".format(**names)
    deployer = small_deployer(
        CHART | {"kubernetes/c/templates/x.yaml": template}, apps=HELM + "  secret_helm_values: [s]\n"
    )
    told = failure(replace(deployer, secret_shape=lambda name: {"v": f"<secret:{name}#/v>"}))
    assert "the name of an object of kind ConfigMap is made of a secret value, <secret:s#/v>" in told


def test_kustomize_runs_no_programs(small_deployer: Make) -> None:
    """Charts inflated by kustomize, with which a branch could run anything, are off; it is said what to do instead."""
    told = failure(small_deployer({"kubernetes/app/kustomization.yaml": "helmCharts: [{name: x, repo: x}]\n"}))
    assert "kubernetes/app/kustomization.yaml: helmCharts would have kustomize run helm" in told
    assert "`driver: helm`" in told


def test_values_cannot_name_a_file_of_the_deployer(small_deployer: Make, tmp_path: Path) -> None:
    """Helm splits at commas: a file whose name goes on with the path of another one would make it read that one."""
    outside = tmp_path / "outside.yaml"
    outside.write_text("v: of-the-deployer\n")
    name = f"kubernetes/v,{outside}"
    apps = HELM.replace("[kubernetes/v.yaml]", f"[kubernetes/v, '{name}']")
    deployer = small_deployer(CHART | {"kubernetes/v": "{}\n", name: "{}\n"}, apps=apps)
    with pytest.raises(ChannelFaults, match="must not contain ','"):
        deployer.render()
    assert "candidates/main" not in deployer.origin.heads()


def test_values_with_a_comma_never_reach_helm(
    small_deployer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made the path: here it is the deployer's own directory for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a,b"))
    (tmp_path / "a,b").mkdir()
    apps = HELM + "  secret_helm_values: [metabase-test]\n"
    assert "contains a comma" in failure(small_deployer(CHART, apps=apps))


def test_tool_that_never_ends_is_a_fault_of_the_app(small_deployer: Make) -> None:
    """The limit of time is the deployer's setting; the app is named."""
    endless = '{{- range until 100000 }}{{- range until 100000 }}{{ sha256sum "x" }}{{ end }}{{ end }}'
    deployer = small_deployer(CHART | {"kubernetes/c/templates/x.yaml": endless}, apps=HELM, render_timeout=1)
    assert "test/app (kubernetes/c): helm template took longer than 1 s" in failure(deployer)
