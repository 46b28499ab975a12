"""Reaching the network from the deployer: by addresses in kustomizations and charts."""

from __future__ import annotations

import re
import socket
import sys

import pytest
import yaml

from deploy_pipeline.isolation import Network, network_of_isolated_tools
from deploy_pipeline.settings import tool_path
from tests.attacks.conftest import CHART, Attacker, helm_app, kustomize_apps

ADDRESSES = (
    "http://169.254.169.254/latest/meta-data",
    "HTTPS://git.example/x.yaml",
    "https://git.example/x//deploy?ref=main",
    "git@git.example:x/y.git",
    "ssh://git@git.example/x/y",
    "git::https://git.example/x",
    "github.com/example/x",
    "github.com:example/x",
    "git.example/x/y.git//deploy",
    "git.example/x?ref=v1",
    "file:///etc",
    "//169.254.169.254/x",
)
FIELDS = (
    "resources: ['{address}']",
    "Resources: ['{address}']",
    "re\u017fources: ['{address}']",
    "bases: ['{address}']",
    "components: ['{address}']",
    "crds: ['{address}']",
    "openapi: {{path: '{address}'}}",
    "configurations: ['{address}']",
    "patches: [{{path: '{address}'}}]",
    "replacements: [{{path: '{address}'}}]",
    "generators: ['{address}']",
    "transformers: ['{address}']",
    "validators: ['{address}']",
    "configMapGenerator: [{{name: a, files: ['k={address}']}}]",
    "secretGenerator: [{{name: a, envs: ['{address}']}}]",
)


def test_no_kustomization_takes_anything_from_elsewhere(attacker: Attacker) -> None:
    """Each field and each form of an address is named with its file, and with what to do instead."""
    texts = [field.format(address=ADDRESSES[0]) for field in FIELDS]
    texts += [FIELDS[0].format(address=address) for address in ADDRESSES]
    told = attacker.refused(*kustomize_apps(texts))
    for number in range(len(texts)):
        assert re.search(rf"kubernetes/{number}/kustomization\.yaml: \w+ names '.*, which is an address", told)
    assert "by `sources` in deploy.yaml, pinned to a commit" in told


def test_no_chart_comes_from_an_address_that_only_looks_allowed(attacker: Attacker) -> None:
    """The whole host counts, then whole parts of the path; nobody is asked."""
    repositories = (
        "https://charts.example.evil.example/x",
        "https://charts.example@evil.example/x",
        "https://charts.example/x/../../y",
        "https://CHARTS.example/x",
        "http://charts.example/x",
        "oci://charts.example/x",
        "@x",
    )
    files = dict(CHART)
    apps = []
    for number, repository in enumerate(repositories):
        dependency = {"name": "low", "version": "1.0.0", "repository": repository}
        chart = {"apiVersion": "v2", "name": "c", "version": "1.0.0", "dependencies": [dependency]}
        files[f"kubernetes/c{number}/Chart.yaml"] = yaml.safe_dump(chart)
        apps += yaml.safe_load(
            helm_app(name=f"app-{number}", helm_name=f"r{number}", helm_chart=f"kubernetes/c{number}")
        )
    told = attacker.refused(files, yaml.safe_dump(apps), allowed_sources="https://charts.example/x")
    for number, repository in enumerate(repositories):
        assert f"kubernetes/c{number}/Chart.yaml: dependency low: the deployer does not allow" in told
        assert f"`{repository}`" in told


def test_no_source_comes_from_an_address_that_is_not_allowed(attacker: Attacker) -> None:
    """The deployer says which addresses branches may name; it says so before anybody is asked."""
    source = {"url": "https://git.example.evil.example/x", "ref": "0" * 40, "from": "x", "to": "kubernetes/x"}
    told = attacker.refused(
        {"deploy.yaml": yaml.safe_dump({"sources": [source]})}, allowed_sources="https://git.example"
    )
    assert "deploy.yaml: the deployer does not allow the source https://git.example.evil.example/x" in told


def test_no_tool_that_renders_reaches_the_deployers_machine(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fault kubectl or Helm may have: those that call out here before they work get nowhere."""
    if network_of_isolated_tools() is Network.REFUSED:
        pytest.skip("the system gives no network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = (
            f"import socket; socket.create_connection({server.getsockname()}, 5); open({str(attacker.marker)!r}, 'w')"
        )
        for name in ("kubectl", "helm"):
            tool = attacker.directory / name
            tool.write_text(f'#!/bin/sh\n{sys.executable} -c "{call}"\nexec {tool_path(name)} "$@"\n')
            tool.chmod(0o755)
        for name in ("kubectl", "helm"):
            monkeypatch.setenv(name.upper(), str(attacker.directory / name))
        files, apps = kustomize_apps(["resources: [x.yaml]\n"])
        files["kubernetes/0/x.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n"
        assert attacker.push(CHART | files, apps + helm_app()).render().objects == 2
