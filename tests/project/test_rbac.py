"""The accounts of ``deploy/rbac``: what a whole flow asks of a cluster, held against what they may do.

The example is released, drifts, is healed, rotated, taken over from ``kubectl apply`` and pruned, and a promotion is
reviewed, each account behind a gate that refuses what its roles and policies do not allow.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from deploy_pipeline.deploy_secrets import deploy_secrets
from deploy_pipeline.deployer import Deployer
from deploy_pipeline.drift import check_drift, check_ready
from deploy_pipeline.errors import ManifestRejected, RefusedError, SettingsError
from deploy_pipeline.healing import keep_released
from deploy_pipeline.promotion import diff_promotion, promote
from deploy_pipeline.release import history
from deploy_pipeline.sandbox import SandboxCluster
from deploy_pipeline.settings import Settings, tool_path
from tests.actions.conftest import DEMO_SECRETS, World
from tests.actions.review_world import ReviewWorld, review_world
from tests.actions.small import Small, config_map, manifest
from tests.support.api_gate import ApiRequest, Gate, gate
from tests.support.origin import PROJECT, Origin, example_files
from tests.support.rbac import Account, Right

RBAC = PROJECT / "deploy" / "rbac"
DIFF, RELEASE = (Account.read(RBAC / f"{name}.yaml") for name in ("diff", "release"))
SYSTEM = "deploy-pipeline"

pytestmark = pytest.mark.xdist_group("rbac")  # the flow is gone through once

_PROD = "channels/prod.yaml"
_WEB = "kubernetes/apps/overlays/web-prod/kustomization.yaml"


@dataclass(frozen=True)
class Accounts:
    """An empty cluster with the manifests of both accounts, and the way of each to it."""

    admin: Path
    diff: Gate
    release: Gate

    def given_to(self, deployer: Deployer) -> Deployer:
        """The deployer with an account for each of its two kinds of work."""
        own = {"kubeconfig": self.release.kubeconfig, "diff_kubeconfig": self.diff.kubeconfig}
        return replace(deployer, settings=deployer.settings.model_copy(update=own))


@dataclass(frozen=True)
class Flow:
    """What is left after everything that the deployer does was done by its accounts, on two clusters."""

    example: Accounts
    reviewed: Accounts
    world: World

    def seen(self, name: str) -> list[ApiRequest]:
        """What an account asked for and got."""
        return [request for accounts in (self.example, self.reviewed) for request in getattr(accounts, name).seen]

    def refused(self) -> list[ApiRequest]:
        """What was turned back."""
        gates = (gate for accounts in (self.example, self.reviewed) for gate in (accounts.diff, accounts.release))
        return [request for gate in gates for request in gate.refused]


@contextmanager
def _accounts(folder: Path) -> Iterator[Accounts]:
    folder.mkdir(exist_ok=True)
    admin = folder / "admin"
    with SandboxCluster(folder / "cluster", rollout_seconds=0.05) as cluster:
        cluster.write_kubeconfig(admin)
        with (
            gate(admin, folder / "diff", DIFF.refusal) as diff,
            gate(admin, folder / "release", RELEASE.refusal) as release,
        ):
            made = Accounts(admin, diff, release)
            command = [tool_path("kubectl"), "--kubeconfig", str(admin), "apply", "--filename", str(RBAC)]
            subprocess.run(command, check=True, capture_output=True)
            yield made


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """The whole flow, once for all tests."""
    folder = tmp_path_factory.mktemp("rbac")
    with _accounts(folder / "example") as example, _accounts(folder / "reviewed") as reviewed:
        world = _example(folder, example)
        _deploy_the_example(world)
        with _reviewed(folder / "reviewed", reviewed) as github:
            _review_promotions(github)
        yield Flow(example, reviewed, world)


def _deploy_the_example(world: World) -> None:
    """All that can happen to the channel ``prod`` of the example, from its first diff to the end of most apps."""
    deployer, say = world.deployer, world.progress.append

    def deliver() -> None:
        world.render()
        diff_promotion(deployer, "prod", "main", progress=say)
        world.promote(channel="prod")
        world.release("prod")

    for namespace in ("archiver", "web"):
        world.kubectl("create", "namespace", namespace)
    deliver()
    feed = world.secrets / "archiver_feed-secrets.yaml"
    rendered = [world.origin.show("candidates/main", f"rendered/prod/{app}.yaml") for app in ("archiver", "web")]
    for manifests in (*rendered, feed.read_text()):
        world.kubectl("apply", "--filename", "-", stdin=manifests)
    world.kubectl("scale", "deployment/web", "--namespace=web", "--replicas=9")
    check_ready(deployer, "prod", progress=say)
    assert {app.app for app in keep_released(deployer, "prod", heal=True, progress=say).apps if app.healed} >= {"web"}
    feed.write_text(feed.read_text().replace("not-a-real", "another"))
    assert deploy_secrets(deployer, "prod", progress=say)
    web_alone = yaml.safe_load(world.origin.show("main", _PROD))
    web_alone["calitp"]["releases"] = [app for app in web_alone["calitp"]["releases"] if app["name"] == "web"]
    bare = world.origin.show("main", _WEB).replace("  - ingress.yaml\n", "")
    world.origin.commit("main", {_PROD: yaml.safe_dump(web_alone), _WEB: bare})
    deliver()


def _example(folder: Path, accounts: Accounts) -> World:
    files = {name: text for name, text in example_files().items() if name != "channels/test.yaml"}
    origin = Origin.create(folder / "example.git", files)
    secrets = Path(shutil.copytree(DEMO_SECRETS, folder / "secrets"))
    settings = Settings(repository=origin.url, state_dir=folder / "state", secrets_dir=secrets)
    return World(origin, accounts.given_to(Deployer.from_settings(settings)), accounts.admin, secrets)


@contextmanager
def _reviewed(folder: Path, accounts: Accounts) -> Iterator[ReviewWorld]:
    """A repository on GitHub's stand-in, and a deployer with both accounts."""
    with review_world(folder, accounts.admin, folder) as made:
        world = replace(made.world, deployer=accounts.given_to(made.deployer))
        yield replace(made, world=world, small=Small(world))


def _review_promotions(github: ReviewWorld) -> None:
    """A reviewed promotion is released; the next one is pushed to twice, and its last diff cannot be computed."""
    github.begin()
    pull = github.reviewed()
    github.approve(pull)
    github.merge(pull)
    github.release()
    assert github.step() == "second"
    pull = github.reviewed("third")
    github.change("fourth")
    github.review(pull)
    github.small.put("web", config_map(step="fifth"), manifest("Nonsense", version="nobody.example/v1"))
    github.small.push()
    with pytest.raises(ManifestRejected):
        github.review(pull)


def test_each_account_may_do_what_is_asked_of_it(flow: Flow) -> None:
    """Nothing is refused but looks for objects of kinds that nobody deploys, which the check of drift tells."""
    assert [str(request) for request in flow.refused() if not _is_search_elsewhere(request)] == []


def _is_search_elsewhere(request: ApiRequest) -> bool:
    deployed = {
        (right.group, right.resource) for right in RELEASE.rights if (right.namespace, right.verb) == ("", "patch")
    }
    searches = request.verb == "list" and request.selector.startswith("deploy-pipeline.io/channel=")
    return searches and (request.group, request.resource) not in deployed


@pytest.mark.parametrize("name", ["diff", "release"])
def test_no_account_may_do_more_than_is_asked_of_it(flow: Flow, name: str) -> None:
    """Each verb on each resource was needed by a request that succeeded."""
    account = {"diff": DIFF, "release": RELEASE}[name]
    idle = {right for right in account.rights if not any(_needs(request, right) for request in flow.seen(name))}
    assert idle == set()


def _needs(request: ApiRequest, right: Right) -> bool:
    """Whether the request used the right; an apply used the one to create if the object was not there."""
    creates = right.verb == "create" and request.applies and request.status == 201
    return right.covers(request) and request.status < 300 and (right.verb == request.verb or creates)


def test_the_account_for_diffs_wrote_nothing_but_what_reviews_were_shown(flow: Flow) -> None:
    """What its gate let through besides dry runs are those records, and the key of the fingerprints."""
    written = {request.name for request in flow.seen("diff") if request.writes and not request.dry_run}
    assert written == {"deploy-pipeline-mask-key", "review.test.1", "review.test.2"}
    assert any(request.dry_run for request in flow.seen("diff"))


def test_whatever_only_reads_needs_no_account_for_releases(flow: Flow, tmp_path: Path) -> None:
    """Diff, drift, readiness and history are there without its kubeconfig; a promotion says that it is missing."""
    deployer, say = flow.world.deployer, flow.world.progress.append
    lost = {"kubeconfig": tmp_path / "nothing"}
    alone = replace(deployer, settings=deployer.settings.model_copy(update=lost), _clusters={})
    assert diff_promotion(alone, "prod", "main", progress=say).is_empty
    assert check_drift(alone, "prod", progress=say).released
    assert keep_released(alone, "prod", progress=say).released
    assert {app.app for app in check_ready(alone, "prod", progress=say) if app.ready} >= {"web"}
    assert len(history(alone, "prod")) > 1
    with pytest.raises(SettingsError, match=f"no cluster to talk to by {tmp_path}/nothing"):
        promote(alone, "prod", "main", approved_by="ann", progress=say)


def test_the_release_account_is_no_administrator() -> None:
    """It has no wildcard, gives nobody rights, and can neither switch off the policy nor act for others."""
    groups = {right.group for right in RELEASE.rights}
    assert groups == {"", "apps", "batch", "networking.k8s.io", "policy", "coordination.k8s.io"}
    assert {right.verb for right in RELEASE.rights} == {"get", "list", "create", "update", "patch", "delete"}
    assert not any("*" in right.resource or "/" in right.resource for right in RELEASE.rights)


def _write(verb: str, resource: str, name: str, namespace: str = SYSTEM, *, dry_run: bool = False) -> ApiRequest:
    return ApiRequest(verb, "", "", resource, namespace, name, dry_run)


@pytest.mark.parametrize(
    "request_",
    [
        _write("create", "configmaps", "approval.test.0123456789abcdef"),
        _write("update", "configmaps", "releases.test"),
        _write("delete", "configmaps", "inventory.test.web"),
        _write("create", "configmaps", "review.test.1", "web"),
        _write("create", "configmaps", ""),
        _write("create", "secrets", "another"),
        _write("create", "namespaces", "web", "web"),
        _write("patch", "secrets", "token", "web"),
    ],
    ids=lambda request: f"{request.verb} {request.resource} {request.namespace} {request.name}",
)
def test_the_policy_refuses_what_the_roles_of_diffs_would_allow(request_: ApiRequest) -> None:
    """Roles know no dry runs: it is the policy that keeps an approval from being forged, and an app as it is."""
    without = replace(DIFF, policies=())
    assert without.refusal(request_) == ""
    assert DIFF.refusal(request_) == "this account may only try (dryRun=All)"
    assert DIFF.refusal(replace(request_, dry_run=True)) == ""
    assert RELEASE.policies == ()


def test_a_release_with_the_account_for_diffs_stops_before_it_writes(tmp_path: Path) -> None:
    """The error says what right is missing and what to do; a diff by the same account is computed."""
    with _accounts(tmp_path / "wrong") as accounts:
        wrong = replace(accounts, release=accounts.diff)
        world = _example(tmp_path, wrong)
        world.render()
        assert diff_promotion(world.deployer, "prod", "main", progress=world.progress.append).apps
        for act in (lambda: world.promote(channel="prod"), lambda: world.release("prod")):
            with pytest.raises(
                RefusedError, match=r"no right to use channel\.prod in namespace deploy-pipeline"
            ) as error:
                act()
            assert "deploy/rbac" in error.value.hint
        assert "releases/prod" not in world.origin.heads()
        assert [request for request in wrong.diff.seen if request.writes and not request.dry_run][1:] == []
