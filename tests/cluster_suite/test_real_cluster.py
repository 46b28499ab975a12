"""What only a real cluster can show: admission and rights. The sandbox has neither."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.errors import DeployError, ManifestRejected
from deploy_pipeline.promotion import diff_promotion
from tests.cluster_suite.accounts import kubeconfig_of
from tests.properties.promise import broken_promises
from tests.properties.stage import Place, namespace_of

Json = dict[str, Any]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
POLICIES = "/apis/admissionregistration.k8s.io/v1"
CONFIG: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "@"}}


@pytest.fixture
def policy(place: Place) -> Iterator[None]:
    """An admission policy that wants an owner's label on every ConfigMap of the place."""
    view, name = place.stage.view, place.name
    if not view.serves({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}):
        pytest.skip("the cluster has no admission policies; Kubernetes 1.30 brought them")
    if not view.may_create("admissionregistration.k8s.io", "validatingadmissionpolicies"):
        pytest.skip("the account may not make admission policies")
    view.create(namespace_of(name), "alice")
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    ]
    wanted = "has(object.metadata.labels) && 'team' in object.metadata.labels"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": wanted, "message": "say which team owns it"}],
    }
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": selector}
    view.done("POST", f"{POLICIES}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    view.done("POST", f"{POLICIES}/validatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": bound})
    time.sleep(5)  # the API server reads its policies anew every second or so
    yield
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        view.done("DELETE", f"{POLICIES}/{kind}/{name}")


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("driver", ["kustomize", "helm"])
def test_what_admission_refuses_is_refused_before_it_is_approved(place: Place, driver: str) -> None:
    """The change set cannot be made, in the policy's words; with the label it is released."""
    place.commit({"web": [CONFIG]}, driver=driver)
    before = place.dump()
    with pytest.raises(DeployError, match="say which team owns it"):
        place.promote()
    assert broken_promises(None, before, place.dump()) == []
    owned = {**CONFIG, "metadata": {**CONFIG["metadata"], "labels": {"team": "a"}}}
    place.commit({"web": [owned]}, driver=driver)
    promotion = place.promote()
    place.release()
    assert broken_promises(promotion.change_set, before, place.dump()) == []


def test_an_account_without_rights_is_refused_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    """What the account may not do is named; nothing of the app is made."""
    view, name = place.stage.view, place.name
    view.create(namespace_of(name), "alice")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak", "namespace": name}}
    view.create(account, "alice")
    weak = kubeconfig_of(place.stage.world, name, "weak", tmp_path / "kubeconfig")
    settings = place.stage.world.deployer.settings.model_copy(update={"kubeconfig": weak, "state_dir": tmp_path / "s"})
    place.commit({"web": [CONFIG]})
    before = place.dump()
    with pytest.raises(DeployError, match=r"right|forbidden|Forbidden"):
        diff_promotion(Deployer.from_settings(settings), name, place.branch, progress=silent)
    assert broken_promises(None, before, place.dump()) == []


def test_a_field_that_a_rule_of_a_definition_forbids_is_refused(place: Place) -> None:
    """Rules in CEL are the API server's; the dry run asks it."""
    if place.stage.view.version < (1, 25):
        pytest.skip("the cluster knows no rules in definitions; Kubernetes 1.25 brought them")
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}}
    rule = {"rule": "self.size < 3", "message": "too large a lamp"}
    schema = {"type": "object", "properties": {"spec": {**spec, "x-kubernetes-validations": [rule]}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.@.example.org"},
        "spec": {"group": "@.example.org", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    lamp = {"apiVersion": "@.example.org/v1", "kind": "Lamp", "metadata": {"name": "hall", "namespace": "@"}}
    place.commit({"web": [definition, {**lamp, "spec": {"size": 1}}]})
    place.promote()
    place.release()
    place.commit({"web": [definition, {**lamp, "spec": {"size": 5}}]})
    with pytest.raises(ManifestRejected, match="too large a lamp"):
        place.promote()
