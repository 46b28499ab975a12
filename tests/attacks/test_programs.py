"""Having the deployer run something: by kustomize, by Helm, by git, by a shell, by a kubeconfig."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploy_pipeline.channels.schema import json_schema
from deploy_pipeline.rendering import read_rendered
from tests.attacks.conftest import CHART, CHART_APP, Attacker, helm_app, kustomize_apps

FUNCTION = """\
apiVersion: builtin
kind: Evil
metadata:
  name: x
  annotations:
    config.kubernetes.io/function: |
      {how}
"""
INFLATION = """\
generators:
- |-
  apiVersion: builtin
  kind: HelmChartInflationGenerator
  metadata: {{name: x}}
  name: c
  releaseName: --post-renderer={program}
"""
PLUGIN = """\
name: evil
version: 1.0.0
usage: x
description: x
command: $HELM_PLUGIN_DIR/run
platformHooks: {install: [{command: $HELM_PLUGIN_DIR/run}]}
downloaders: [{command: run, protocols: [evil]}]
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def test_no_kustomization_runs_a_program(attacker: Attacker) -> None:
    """Charts (kustomize#6241: `releaseName: --post-renderer=…`), functions and plugins: each is named, none runs."""
    program = attacker.directory / "program"
    program.write_text(f"#!/bin/sh\ntouch {attacker.marker}\n")
    program.chmod(0o755)
    release = f"{{name: c, releaseName: --post-renderer={program}}}"
    files, apps = kustomize_apps(
        [
            f"helmCharts: [{release}]\nhelmGlobals: {{chartHome: ../c}}\n",
            f"HelmCharts: [{release}]\n",
            f"helmChartInflationGenerator: [{release}]\n",
            "generators: [f.yaml]\n",
            "transformers: [f.yaml]\n",
            "validators: [f.yaml]\n",
            INFLATION.format(program=program),
            "transformers: [plugin.yaml]\n",
        ]
    )
    for number, how in ((3, f"exec: {{path: {program}}}"), (4, "container: {image: evil}"), (5, "starlark: {path: x}")):
        files[f"kubernetes/{number}/f.yaml"] = FUNCTION.format(how=how)
    files["kubernetes/7/plugin.yaml"] = "apiVersion: evil.example/v1\nkind: Program\nmetadata: {name: x}\n"
    told = attacker.refused(CHART | files, apps)
    for number, reason in {
        0: "helmCharts would have kustomize run helm",
        1: "HelmCharts would have kustomize run helm",
        2: "helmChartInflationGenerator would have kustomize run helm",
        3: "'Evil' is a function",
        4: "'Evil' is a function",
        5: "'Evil' is a function",
        6: "'HelmChartInflationGenerator' would have kustomize run helm",
        7: "'Program' is a plugin",
    }.items():
        assert re.search(rf"kubernetes/{number}/\S+: (\w+: )?{reason}", told)
    assert "kubernetes/0/kustomization.yaml: helmGlobals" in told
    assert "`driver: helm`" in told


@pytest.mark.parametrize("field", ["name", "helm_name", "namespace"])
def test_no_name_becomes_an_option(field: str, attacker: Attacker) -> None:
    """What begins with `-` would be one on Helm's command line."""
    names = {"name": "app", "helm_name": "rel", "namespace": "web", field: "--post-renderer=/bin/sh"}
    app = yaml.safe_dump([{**CHART_APP, **names}])
    assert f"channels/test.yaml: releases[0].{field}: must consist of" in attacker.refused(CHART, app)


def test_no_values_of_a_branch_are_options(attacker: Attacker) -> None:
    """Values stay values, whatever they look like."""
    values = f"v: --post-renderer={attacker.marker}\npostRenderer: x\n--post-renderer: x\n"
    deployer = attacker.push(CHART | {"kubernetes/v.yaml": values}, helm_app())
    deployer.render()
    (manifest,) = read_rendered(deployer.mirror.tree("candidates/main"), "test", "app")
    assert manifest["data"] == {"v": f"--post-renderer={attacker.marker}"}


def test_no_plugin_of_a_branch_is_loaded(attacker: Attacker) -> None:
    """CVE-2023-40026, CVE-2026-35204, -35205: Helm's folders are new ones under names nobody can guess."""
    plugin = {"plugin.yaml": PLUGIN, "run": f"#!/bin/sh\ntouch {attacker.marker}\n"}
    places = ("plugins/evil", ".local/share/helm/plugins/evil", "data/plugins/evil", "kubernetes/c/plugins/evil")
    files = {f"{place}/{name}": text for place in places for name, text in plugin.items()}
    deployer = attacker.push(CHART | files | {"deploy.yaml": "include: [.]\n"}, helm_app())
    assert deployer.render().objects == 1


def test_no_shell_reads_a_name(attacker: Attacker) -> None:
    """CVE-2021-41254: tools are started by lists of arguments, so a folder may be called like a command."""
    folder = f"kubernetes/$(touch {attacker.marker.name}); `touch {attacker.marker.name}` & x"
    files = {f"{folder}/kustomization.yaml": "resources: [x.yaml]\n", f"{folder}/x.yaml": CONFIG_MAP}
    app = yaml.safe_dump([{"name": "app", "driver": "kustomize", "kustomize_dir": folder}])
    deployer = attacker.push(files, app)
    assert deployer.render().objects == 1
    assert not list(attacker.directory.rglob(attacker.marker.name))


def test_no_kubeconfig_of_a_branch_is_used(attacker: Attacker) -> None:
    """CVE-2022-24817: one with an `exec` plugin is a file like any other, wherever a tool might look for it."""
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": [str(attacker.marker)]}
    }
    kubeconfig = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "x", "user": user}],
        }
    )
    places = (".kube/config", "kubeconfig", "config", "kubernetes/app/.kube/config")
    template = '{{ lookup "v1" "Secret" "default" "" | toJson | quote }}'
    files = dict.fromkeys(places, kubeconfig) | {"deploy.yaml": "include: [.]\n"}
    files["kubernetes/v.yaml"] = "v: ''\n"
    files["kubernetes/c/templates/x.yaml"] = f"{CONFIG_MAP}data: {{v: {template}}}\n"
    deployer = attacker.push(CHART | files, helm_app())
    deployer.render()
    assert "v: '{}'" in deployer.show("rendered/test/app.yaml")


def test_no_key_of_a_channel_file_names_a_cluster() -> None:
    """Which cluster a channel is on, and as whom, is the deployer's setting alone."""
    words = str(json_schema()).lower()
    for word in ("kubeconfig", "kube_context", "server_url", "credential", "token", "'context'"):
        assert word not in words


def test_what_helm_would_look_up_stays_empty(attacker: Attacker) -> None:
    """CVE-2023-25165: no name is resolved and no variable of the deployer can be read; rendering knows no cluster."""
    template = f'{CONFIG_MAP}data: {{host: {{{{ getHostByName "localhost" | quote }}}}}}\n'
    deployer = attacker.push(CHART | {"kubernetes/c/templates/x.yaml": template}, helm_app())
    deployer.render()
    assert "host: ''" in deployer.show("rendered/test/app.yaml")
    deployer.origin.commit("main", {"kubernetes/c/templates/y.yaml": '{{ env "HOME" }}'})
    deployer.origin.delete("candidates/main")
    assert 'function "env" not defined' in attacker.told(deployer)


def test_the_tools_leave_nothing_behind(attacker: Attacker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they write goes into their own folders, which are removed with the copy of the branch."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    attacker.push(CHART, helm_app()).render()
    assert list((tmp_path / "temporary").iterdir()) == []
