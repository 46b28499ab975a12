"""Wearing the deployer out: archives, templates and documents that become much larger than they are."""

from __future__ import annotations

import io
import tarfile
import time

import pytest
import yaml

from deploy_pipeline.rendering import apps as rendering_of_apps
from tests.attacks.conftest import CHART, Attacker, helm_app, kustomize_apps

LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
DEEP = "[" * 400_000
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def bomb() -> bytes:
    """A chart in an archive of a hundredth of its size."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
            chart = b"apiVersion: v2\nname: low\nversion: 1.0.0\n"
            contents = {"low/Chart.yaml": chart} | {f"low/files/{n}": bytes(4 * 1024**2) for n in range(26)}
            for path, content in contents.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return file.getvalue()


def test_an_archive_that_unpacks_without_end_is_refused(attacker: Attacker) -> None:
    """CVE-2023-40584: Helm's own limit for what a branch holds; ours for what is fetched (test_vendoring.py)."""
    told = attacker.refused(CHART | {"kubernetes/c/charts/low-1.0.0.tgz": bomb()}, helm_app())
    assert "larger than the maximum size" in told


def test_a_render_that_never_ends_is_stopped(attacker: Attacker) -> None:
    """CVE-2022-24878: after the deployer's limit, and the app is named."""
    template = "{{- range until 100000 }}{{- range until 100000 }}{{ $x := sha256sum `x` }}{{ end }}{{ end }}"
    started = time.monotonic()
    told = attacker.refused(CHART | {"kubernetes/c/templates/x.yaml": template}, helm_app(), render_timeout=1)
    assert "test/app (kubernetes/c): helm template took longer than 1 s and was stopped" in told
    assert time.monotonic() - started < 30


def test_a_chart_that_prints_without_end_is_stopped(attacker: Attacker) -> None:
    """More than an app may render to is not even read."""
    template = MANIFEST + 'data: {a: {{ repeat 20000000 "x" }}}\n'
    told = attacker.refused(CHART | {"kubernetes/c/templates/x.yaml": template}, helm_app())
    assert "helm template printed more than 16777216 bytes and was stopped" in told


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("MAX_APP_OBJECTS", 2, r"test/app (kubernetes/c): it renders to 3 objects, more than the 2 an app may have"),
        ("MAX_CANDIDATE_BYTES", 100, "the branch renders to more than"),
    ],
)
def test_objects_without_number_are_refused(
    limit: str, value: int, reason: str, attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither per app nor for the whole candidate."""
    monkeypatch.setattr(rendering_of_apps, limit, value)
    template = "{{ range until 3 }}---\n" + MANIFEST.replace("name: x", "name: x{{ . }}") + "{{ end }}"
    assert reason in attacker.refused(CHART | {"kubernetes/c/templates/x.yaml": template}, helm_app())


def test_no_document_unfolds_without_end(attacker: Attacker) -> None:
    """Wherever a branch has YAML that the tools read: kustomizations, resources, generators, charts, values."""
    files, apps = kustomize_apps([LAUGHS, DEEP, "resources: [x.yaml]\n", "generators: [x.yaml]\n"])
    files |= {"kubernetes/2/x.yaml": DEEP, "kubernetes/3/x.yaml": DEEP, "kubernetes/4.yaml": LAUGHS}
    files |= {"kubernetes/5.yaml": DEEP}
    apps += helm_app(name="app-4", helm_name="r4", helm_values=["kubernetes/4.yaml"])
    apps += helm_app(name="app-5", helm_name="r5", helm_values=["kubernetes/5.yaml"])
    started = time.monotonic()
    told = attacker.refused(CHART | files, apps)
    assert time.monotonic() - started < 30
    assert all(f"test/app-{number} (kubernetes/" in told for number in range(6))
    chart = {**CHART, "kubernetes/c/Chart.yaml": CHART["kubernetes/c/Chart.yaml"] + LAUGHS}
    assert "kubernetes/c/Chart.yaml" in attacker.refused(chart, helm_app(name="app", helm_name="r"))


@pytest.mark.parametrize("text", [LAUGHS, DEEP], ids=["aliases", "brackets"])
@pytest.mark.parametrize("path", ["channels/test.yaml", "deploy.yaml"])
def test_no_file_that_says_what_is_deployed_unfolds_without_end(path: str, text: str, attacker: Attacker) -> None:
    """These the deployer reads itself, and it lives on to say which file it was."""
    assert f"{path}: " in attacker.refused(CHART | {path: text}, helm_app())


def test_a_chart_of_nothing_but_brackets_is_refused(attacker: Attacker) -> None:
    """The deployer reads it as well, by a parser that would go down until the stack is full."""
    told = attacker.refused(CHART | {"kubernetes/c/Chart.yaml": DEEP}, helm_app())
    assert "kubernetes/c/Chart.yaml cannot be read: it is nested more than 200 deep" in told


def test_no_pattern_keeps_the_deployer_busy(attacker: Attacker) -> None:
    """Stars that could be shared out in more ways than there are seconds, and names made to be looked at twice."""
    stars = ["**/" * 30 + "z", "*a" * 40 + "b", "/".join(["*a*a*a", "**"] * 20)]
    names = [text * 250_000 for text in ("@", "a.", ".git/", "1", "?ref", "a@", "=")] + ["ä" * 200]
    files = {"deploy.yaml": yaml.safe_dump({"include": ["channels/**", "kubernetes/**", *stars]})}
    files |= {"a/" * 60 + "b": "", "a" * 250: ""}
    files |= {f"kubernetes/{n}/kustomization.yaml": f"resources: [{name!r}]\n" for n, name in enumerate(names)}
    apps = kustomize_apps([""] * len(names))[1]
    started = time.monotonic()
    told = attacker.refused(files, apps)
    assert len(told) < 10_000
    assert time.monotonic() - started < 20


def test_apps_without_number_are_not_begun_for_ever(attacker: Attacker, monkeypatch: pytest.MonkeyPatch) -> None:
    """All apps of a branch together have a limit of time, too; here a tenth of a second."""
    monkeypatch.setattr(rendering_of_apps, "_TIMES", 0.001)
    files, apps = kustomize_apps(["resources: [x.yaml]\n"] * 60)
    files |= {f"kubernetes/{number}/x.yaml": MANIFEST for number in range(60)}
    assert "rendering the branch took longer than 0.1 s" in attacker.refused(files, apps, render_timeout=100)


@pytest.mark.parametrize("limit", ["reading.MOST_NODES", "manifests.MOST_VALUES"])
def test_an_object_of_nothing_but_digits_is_refused(
    limit: str, attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader makes a kilobyte of each of them; if the first one stops, the tool's own reading is looked at."""
    monkeypatch.setattr(f"deploy_pipeline.rendering.{limit}", 1_000)
    digits = f"apiVersion: example.com/v1\nkind: Digits\nmetadata: {{name: x}}\nspec: [{'1,' * 2_000}]\n"
    told = attacker.refused({"kubernetes/app/one.yaml": digits})
    assert "Digits x has more than 1000 values" in told or "a document has more than 1000 nodes" in told


@pytest.mark.parametrize("depth", [200, 3000])
def test_an_object_that_is_nested_without_end_is_refused(depth: int, attacker: Attacker) -> None:
    """Kubernetes would take it as long as it is not too large; whoever reads it by recursion would not."""
    deep = f"apiVersion: example.com/v1\nkind: Deep\nmetadata: {{name: x}}\nspec: {'[' * depth}{']' * depth}\n"
    told = attacker.refused({"kubernetes/app/one.yaml": deep})
    assert "test/app (kubernetes/app): the output cannot be applied" in told
    assert "nested" in told


@pytest.mark.long
def test_what_takes_all_memory_fails_alone(attacker: Attacker) -> None:
    """The kernel refuses it more than its share, as the app's fault: aliases that kustomize unfolds, and a template."""
    files, apps = kustomize_apps(["resources: [x.yaml]\n"])
    files["kubernetes/0/x.yaml"] = LAUGHS
    files["kubernetes/c/templates/x.yaml"] = (
        '{{ $x := repeat 100000000 "x" }}{{ range until 100 }}{{ $x = printf "%s%s" $x $x }}{{ end }}'
    )
    told = attacker.refused(CHART | files, apps + helm_app())
    assert "test/app-0 (kubernetes/0): kubectl kustomize needs more than 2048 MiB of memory" in told
    assert "test/app (kubernetes/c): helm template needs more than 2048 MiB of memory" in told
