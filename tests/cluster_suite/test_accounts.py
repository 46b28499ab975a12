"""The accounts of ``deploy/rbac`` on a real cluster: they may do what they are for, and nothing that they are not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deploy_pipeline.deployer import Deployer, silent
from deploy_pipeline.drift import check_drift
from deploy_pipeline.errors import RefusedError
from tests.cluster_suite.accounts import kubeconfig_of
from tests.cluster_suite.test_releases import app, deliver
from tests.properties.cluster_view import ClusterView, Json
from tests.properties.promise import broken_promises
from tests.properties.stage import Place, namespace_of
from tests.support.origin import PROJECT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
_NAMES = ("diff", "release")
_IN_FORCE = 30.0  # seconds until the API server goes by a new role or policy, at most
_POLICY: Json = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}


@dataclass(frozen=True)
class Accounts:
    """A kubeconfig for each of the two accounts."""

    diff: Path
    release: Path


@pytest.fixture
def accounts(place: Place, tmp_path: Path) -> Accounts:
    """The accounts as the project ships them, under names of this place and in the stage's system namespace.

    Their rights are in force.
    """
    stage, view = place.stage, place.stage.view
    kinds = [("rbac.authorization.k8s.io", plural) for plural in ("clusterroles", "clusterrolebindings")]
    policies = view.serves(_POLICY)
    if policies:
        kinds.append(("admissionregistration.k8s.io", "validatingadmissionpolicies"))
    if not all(view.may_create(*kind) for kind in kinds):
        pytest.skip("the account may not give rights")
    for name in _NAMES:
        text = (PROJECT / "deploy" / "rbac" / f"{name}.yaml").read_text(encoding="utf-8")
        stage.world.kubectl("apply", "-f", "-", stdin=_named_here(text, place, policies=policies))
    system = stage.world.deployer.settings.system_namespace
    accounts = Accounts(*(kubeconfig_of(stage.world, system, name, tmp_path / f"{name}.kubeconfig") for name in _NAMES))
    _await_rights(place, accounts)
    return accounts


def _named_here(text: str, place: Place, *, policies: bool) -> str:
    """The manifests with the names of a place; without the policies where the cluster has none."""
    text = text.replace("deploy-pipeline-diff-tries-only", f"{place.name}-policy")
    text = re.sub(r"deploy-pipeline-(diff|release)", rf"{place.name}-\1", text)
    text = re.sub(r"deploy-pipeline(?![-.])", place.stage.world.deployer.settings.system_namespace, text)
    documents = text.split("\n---\n")
    return "\n---\n".join(document for document in documents if policies or "admissionregistration" not in document)


def _as_accounts(place: Place, accounts: Accounts, folder: Path) -> Place:
    """The place with a deployer that has nothing but the two accounts."""
    world = place.stage.world
    own = {"kubeconfig": accounts.release, "diff_kubeconfig": accounts.diff, "state_dir": folder / "state"}
    deployer = Deployer.from_settings(world.deployer.settings.model_copy(update=own))
    return replace(place, stage=replace(place.stage, world=replace(world, deployer=deployer)))


@pytest.mark.parametrize("driver", ["kustomize", "helm"])
def test_the_accounts_suffice(place: Place, accounts: Accounts, tmp_path: Path, driver: str) -> None:
    """An app is released, changed and pruned, and looked at for drift; what was shown is what was done."""
    theirs = _as_accounts(place, accounts, tmp_path)
    deliver(theirs, app(), driver)
    theirs.commit({"web": app()[:2]}, driver=driver)
    theirs.diff()
    before = place.dump()
    promotion = theirs.promote()
    theirs.release()
    assert broken_promises(promotion.change_set, before, place.dump()) == []
    drift = check_drift(theirs.stage.world.deployer, place.name, progress=silent).change_set
    assert drift is not None
    assert drift.is_empty


def test_the_diff_account_deletes_nothing(place: Place, accounts: Accounts) -> None:
    """It has no such right, not even for what it may try to change; the release account has it."""
    place.stage.view.create(namespace_of(place.name), "alice")
    place.stage.view.create(_config_map(place.name, "web"), "alice")
    path = f"{_config_maps(place.name)}/web"
    assert ClusterView(accounts.release).send("DELETE", f"{path}?dryRun=All")[0] == 200
    assert ClusterView(accounts.diff).send("DELETE", path)[0] == 403
    assert place.stage.view.get(_config_map(place.name, "web")) is not None


def test_the_diff_account_tries_only(place: Place, accounts: Accounts, tmp_path: Path) -> None:
    """It may try what it must not write, keep what a review showed, and neither approve nor promote."""
    if not place.stage.view.serves(_POLICY):
        pytest.skip("the cluster has no admission policies, and so the account can write; Kubernetes 1.30 brought them")
    place.stage.view.create(namespace_of(place.name), "alice")
    system = place.stage.world.deployer.settings.system_namespace
    view = ClusterView(accounts.diff)
    _await_policy(place, view)
    assert view.send("POST", f"{_config_maps(place.name)}?dryRun=All", _config_map(place.name, "web"))[0] == 201
    assert view.send("POST", _config_maps(system), _config_map(system, f"review.{place.name}.1"))[0] == 201
    assert _is_denied(view.send("POST", _config_maps(system), _config_map(system, f"approval.{place.name}.1")))
    theirs = _as_accounts(place, replace(accounts, release=accounts.diff), tmp_path)
    theirs.commit({"web": app()})
    assert not theirs.diff().is_empty
    with pytest.raises(RefusedError, match="no right to use channel"):
        theirs.promote()


def _await_rights(place: Place, accounts: Accounts) -> None:
    """Until each account may try what its cluster role names, and what its role in the system namespace does."""
    diff, release = ClusterView(accounts.diff), ClusterView(accounts.release)
    system = place.stage.world.deployer.settings.system_namespace
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{system}/leases"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "try", "namespace": system}}
    namespaces = ("POST", "/api/v1/namespaces?dryRun=All", namespace_of(place.name))

    def in_force() -> bool:
        answers = [view.send(*namespaces) for view in (diff, release)]
        answers += [diff.send("GET", leases), release.send("POST", f"{leases}?dryRun=All", lease)]
        return all(status < 300 for status, _ in answers)

    _await(in_force, "the accounts have no rights")


def _await_policy(place: Place, view: ClusterView) -> None:
    """Until the policy that narrows the account's rights is in force."""
    config = _config_map(place.name, "other")

    def in_force() -> bool:
        if _is_denied(view.send("POST", _config_maps(place.name), config)):
            return True
        place.stage.view.delete(config)
        return False

    _await(in_force, "the account can write")


def _await(in_force: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _IN_FORCE
    while not in_force():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.5)


def _is_denied(answer: tuple[int, Json]) -> bool:
    """Whether it is the policy that refused."""
    return answer[0] == 403 and "may only try" in answer[1]["message"]


def _config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def _config_map(namespace: str, name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
