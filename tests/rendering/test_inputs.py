"""Apps that are not rendered again: only while all that went into them is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.errors import RenderFailed
from tests.rendering.conftest import CONFIG_MAP, Deployer

Make = Callable[..., Deployer]
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"""
APPS = """\
- {name: app, driver: kustomize, kustomize_dir: kubernetes/app}
- {name: other, driver: kustomize, kustomize_dir: kubernetes/other}
- name: chart
  driver: helm
  namespace: web
  helm_name: rel
  helm_chart: kubernetes/chart
  helm_values: [kubernetes/values.yaml]
  secret_helm_values: [sensitive]
"""
FILES = {
    "kubernetes/app/kustomization.yaml": """\
resources: [../base, one.yaml]
components: [../component]
patches: [{path: patch.yaml, target: {kind: Deployment}}]
replacements: [{path: replacement.yaml}]
generators: [generator.yaml]
transformers: [transformer.yaml]
configMapGenerator: [{name: made, files: [key=data/file.txt], envs: [data/more.env]}]
""",
    "kubernetes/app/one.yaml": CONFIG_MAP.format(name="one"),
    "kubernetes/app/patch.yaml": "- op: add\n  path: /spec/replicas\n  value: 2\n",
    "kubernetes/app/replacement.yaml": (
        "source: {kind: ConfigMap, name: one, fieldPath: data.key}\n"
        "targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.key], options: {create: true}}]\n"
    ),
    "kubernetes/app/generator.yaml": (
        "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: generated}\n"
        "envs: [data/generated.env]\nfiles: [key=data/generated.txt]\n"
    ),
    "kubernetes/app/transformer.yaml": (
        "apiVersion: builtin\nkind: AnnotationsTransformer\nmetadata: {name: x}\n"
        "annotations: {by: transformer}\nfieldSpecs: [{path: metadata/annotations, create: true}]\n"
    ),
    "kubernetes/app/data/file.txt": "text\n",
    "kubernetes/app/data/more.env": "MORE=1\n",
    "kubernetes/app/data/generated.env": "GENERATED=1\n",
    "kubernetes/app/data/generated.txt": "text\n",
    "kubernetes/base/kustomization.yml": "resources: [deployment.yaml]\n",
    "kubernetes/base/deployment.yaml": _DEPLOYMENT,
    "kubernetes/component/kustomization.yaml": (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels: [{pairs: {component: first}}]\n"
    ),
    "kubernetes/other/kustomization.yaml": "resources: [../base]\nnamePrefix: other-\n",
    "kubernetes/chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
    "kubernetes/chart/values.yaml": "default: 1\n",
    "kubernetes/chart/files/text.txt": "file\n",
    "kubernetes/chart/templates/_helpers.tpl": '{{ define "helped" }}helped{{ end }}\n',
    "kubernetes/chart/templates/x.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
        'data: {version: {{ .Chart.Version }}, default: "{{ .Values.default }}", v: "{{ .Values.v }}", '
        'h: {{ include "helped" . }}, f: {{ .Files.Get "files/text.txt" | quote }}, s: {{ .Values.secret | quote }}}\n'
    ),
    "kubernetes/values.yaml": "v: 1\n",
}
# What stands in a file, and what a later commit has there instead.
CHANGES = {
    "kubernetes/app/kustomization.yaml": ("more.env]}]", "more.env]}]\nnamePrefix: new-"),
    "kubernetes/app/one.yaml": ("value", "other"),
    "kubernetes/app/patch.yaml": ("2", "3"),
    "kubernetes/app/replacement.yaml": ("annotations.key", "annotations.new"),
    "kubernetes/app/generator.yaml": ("generated}", "anew}"),
    "kubernetes/app/transformer.yaml": ("by: transformer", "by: another"),
    "kubernetes/app/data/file.txt": ("text", "other"),
    "kubernetes/app/data/more.env": ("1", "2"),
    "kubernetes/app/data/generated.env": ("1", "2"),
    "kubernetes/app/data/generated.txt": ("text", "other"),
    "kubernetes/base/kustomization.yml": ("deployment.yaml]", "deployment.yaml]\nnameSuffix: -new"),
    "kubernetes/base/deployment.yaml": ("image: web", "image: other"),
    "kubernetes/component/kustomization.yaml": ("first", "second"),
    "kubernetes/chart/Chart.yaml": ("1.0.0", "1.0.1"),
    "kubernetes/chart/values.yaml": ("1", "2"),
    "kubernetes/chart/files/text.txt": ("file", "other"),
    "kubernetes/chart/templates/_helpers.tpl": ("helped{{", "changed{{"),
    "kubernetes/chart/templates/x.yaml": ("name: x", "name: another"),
    "kubernetes/values.yaml": ("1", "2"),
}
# What the channel file says of apps, and what a later commit says instead.
SAID = (
    ("name: chart", "name: graph"),
    ("namespace: web", "namespace: other"),
    ("helm_name: rel", "helm_name: other"),
    ("[sensitive]", "[another]"),
    ("[sensitive]", "[sensitive, another]"),
    ("[sensitive]", "[another, sensitive]"),
    ("kubernetes/other", "kubernetes/solo"),
)


def shape(name: str) -> dict[str, Any]:
    """A secret values file of one value."""
    return {"secret": f"<secret:{name}#/secret>"}


@pytest.fixture
def deployer(small_deployer: Make) -> Deployer:
    """Three apps whose inputs are of every kind, rendered once."""
    deployer = replace(small_deployer(FILES, apps=APPS), secret_shape=shape)
    deployer.render()
    return deployer


def remembered(deployer: Deployer) -> set[Path]:
    """The files that are kept, whatever their content."""
    return set((deployer.settings.state_dir / "rendered-apps").iterdir())


def without_memory(deployer: Deployer, folder: Path) -> Deployer:
    """Another deployer of the same repository."""
    return replace(deployer, settings=deployer.settings.model_copy(update={"state_dir": folder}))


@pytest.mark.parametrize("path", CHANGES)
def test_whatever_goes_into_an_app_makes_it_anew(path: str, deployer: Deployer, tmp_path: Path) -> None:
    """Each file counts, and the candidate is that of a deployer that remembers nothing."""
    before = deployer.show("rendered/test/app.yaml") + deployer.show("rendered/test/chart.yaml")
    old, new = CHANGES[path]
    assert old in FILES[path]
    deployer.origin.commit("main", {path: FILES[path].replace(old, new)})
    made = deployer.render()
    assert deployer.show("rendered/test/app.yaml") + deployer.show("rendered/test/chart.yaml") != before
    assert without_memory(deployer, tmp_path / "another").render().tree == made.tree


def test_only_what_a_push_changes_is_rendered(deployer: Deployer) -> None:
    """In whatever branch it comes."""
    first = remembered(deployer)
    assert len(first) == 3
    deployer.origin.commit(
        "main",
        {"kubernetes/app/one.yaml": FILES["kubernetes/app/one.yaml"].replace("value", "other"), "README.md": "words"},
    )
    deployer.render()
    assert len(remembered(deployer) - first) == 1
    deployer.origin.git("branch", "feature", "main")
    deployer.render("feature")
    assert len(remembered(deployer)) == 4


def test_whatever_a_channel_file_says_of_an_app_makes_it_anew(deployer: Deployer, tmp_path: Path) -> None:
    """The candidates are those of deployers that remember nothing, whatever came before."""
    for number, (old, new) in enumerate(SAID):
        assert old in APPS
        files = {"channels/test.yaml": "channel: test\nreleases:\n" + APPS.replace(old, new)}
        deployer.origin.commit("main", {**files, "kubernetes/solo/kustomization.yaml": "resources: []\n"})
        assert without_memory(deployer, tmp_path / str(number)).render().tree == deployer.render().tree


def test_without_room_for_memories_apps_are_rendered_all_the_same(small_deployer: Make, tmp_path: Path) -> None:
    """Losing them costs time, no more."""
    deployer = replace(small_deployer(FILES, apps=APPS), secret_shape=shape)
    deployer.settings.state_dir.mkdir()
    (deployer.settings.state_dir / "rendered-apps").write_text("no folder")
    assert deployer.render().tree == without_memory(deployer, tmp_path / "another").render().tree


def test_another_shape_of_a_secret_makes_an_app_anew(deployer: Deployer) -> None:
    """Its placeholders are part of what is rendered."""
    deployer.secret_shape = lambda name: {"secret": f"<secret:{name}#/secret>", "v": f"<secret:{name}#/v>"}
    deployer.render()
    assert "<secret:sensitive#/v>" in deployer.show("rendered/test/chart.yaml")


def test_what_is_damaged_is_made_anew(deployer: Deployer, tmp_path: Path) -> None:
    """A full disk, or a machine that stopped."""
    for path in remembered(deployer):
        path.write_bytes(b"half")
    deployer.origin.commit("main", {"kubernetes/values.yaml": "v: 2\n"})
    assert deployer.render().tree == without_memory(deployer, tmp_path / "another").render().tree


def test_what_was_not_asked_for_in_a_month_is_forgotten(deployer: Deployer) -> None:
    """Branches come and go; what they rendered to shall not fill the disk."""
    month_ago = time.time() - 31 * 24 * 3600
    old = remembered(deployer)
    for path in old:
        os.utime(path, (month_ago, month_ago))
    deployer.origin.commit(
        "main", {"kubernetes/app/one.yaml": FILES["kubernetes/app/one.yaml"].replace("value", "other")}
    )
    deployer.render()
    assert len(old - remembered(deployer)) == 1, "the old state of the app; that of the others was asked for"


@pytest.mark.parametrize(
    "linked",
    ["kubernetes/base", "kubernetes/values.yaml", "kubernetes/chart/files"],
)
def test_what_is_reached_by_a_link_is_not_remembered(linked: str, deployer: Deployer, tmp_path: Path) -> None:
    """What a link leads to is no input that was found; so nothing is kept that could be wrong."""
    first = remembered(deployer)
    moved = {path: None for path in FILES if path == linked or path.startswith(f"{linked}/")}
    content = {path.replace("kubernetes/", "kubernetes/real/", 1): FILES[path] for path in moved}
    deployer.origin.commit("main", {**moved, **content})
    climb = "../" * linked.removeprefix("kubernetes/").count("/")
    link(deployer, linked, climb + linked.replace("kubernetes/", "real/", 1))
    for step in ("first", "second"):
        deployer.origin.commit("main", {path: f"{text}# {step}\n" for path, text in content.items()})
        assert deployer.render().tree == without_memory(deployer, tmp_path / step).render().tree
    assert remembered(deployer) == first


def test_a_link_is_not_left_out(deployer: Deployer) -> None:
    """Nobody can build in a checkout what the deployer would build without it."""
    link(deployer, "kubernetes/app/kustomization.yml", "one.yaml")
    with pytest.raises(RenderFailed, match="multiple kustomization files"):
        deployer.render()


def link(deployer: Deployer, path: str, target: str) -> None:
    """Commit a symlink."""
    head = deployer.origin.heads()["main"]
    stream = (
        f"commit refs/heads/main\ncommitter Test <test@example.invalid> now\ndata 4\nLink\nfrom {head}\n"
        f"M 120000 inline {path}\ndata {len(target)}\n{target}\ndone\n"
    )
    deployer.origin.git("fast-import", "--quiet", "--done", "--date-format=now", stdin=stream.encode())
