"""Approvals: a release may do what was approved, or the rest of it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy_pipeline.approval import verify
from deploy_pipeline.changes import AppChanges, ChangeSet, FieldChange, ObjectChange, Operation, SecretVersion
from deploy_pipeline.cluster.cluster import Cluster
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.cluster.records import Approval, Records, ReleaseRecord, ReleaseState
from deploy_pipeline.errors import ApprovalError
from deploy_pipeline.sandbox import SandboxCluster

COMMIT = "c" * 40
WEB = ObjectRef("apps", "Deployment", "shop", "web")
CONFIG = ObjectRef("", "ConfigMap", "shop", "web")
OLD = ObjectRef("", "Service", "shop", "old")

IMAGE = FieldChange("spec.image", '"1"', '"2"')
REPLICAS = FieldChange("spec.replicas", "1", "2")
UPDATE = ObjectChange(WEB, Operation.UPDATE, (IMAGE, REPLICAS))
CREATE = ObjectChange(CONFIG, Operation.CREATE, (FieldChange("data.a", None, '"1"'),))
PRUNE = ObjectChange(OLD, Operation.PRUNE)


def change_set(*changes: ObjectChange, app: str = "web") -> ChangeSet:
    """What would happen to one app."""
    return ChangeSet("test", "uid", "t" * 40, (AppChanges(app, "kustomize", changes),))


APPROVED = change_set(UPDATE, CREATE, PRUNE)


def history(state: ReleaseState, commit: str = COMMIT) -> tuple[ReleaseRecord, ...]:
    """The cluster remembers one release."""
    return (ReleaseRecord(commit, "t" * 40, APPROVED.digest, state, "2030-01-01T00:00:00Z"),)


@pytest.fixture
def records(sandbox_cluster: SandboxCluster, tmp_path: Path) -> Records:
    """The channel's records, with APPROVED approved for COMMIT."""
    sandbox_cluster.write_kubeconfig(tmp_path / "kubeconfig")
    found = Cluster(tmp_path / "kubeconfig", None, "deploy-pipeline").records("test")
    found.approve(
        Approval(
            "test", COMMIT, "t" * 40, APPROVED.digest, "ann", "2030-01-01T00:00:00Z", "", "run", APPROVED.to_json()
        )
    )
    return found


def test_the_approved_change_set_passes(records: Records) -> None:
    """The first release does exactly what was approved."""
    approval = verify(records, COMMIT, APPROVED, required=True, history=())
    assert approval is not None
    assert approval.approved_by == "ann"


OTHERS = {
    "one change less, though no release has begun": change_set(UPDATE, CREATE),
    "another value": change_set(replace(UPDATE, fields=(IMAGE, replace(REPLICAS, after="3"))), CREATE, PRUNE),
    "another value before": change_set(replace(UPDATE, fields=(IMAGE, replace(REPLICAS, before="5"))), CREATE, PRUNE),
    "one object more": change_set(UPDATE, CREATE, PRUNE, ObjectChange(OLD._replace(name="x"), Operation.PRUNE)),
    "another app": change_set(UPDATE, CREATE, PRUNE, app="other"),
    "another cluster": replace(APPROVED, cluster="uid-2"),
    "another secret": replace(APPROVED, secrets=(SecretVersion("token", "f00"),)),
    "helm runs again": replace(APPROVED, apps=(replace(APPROVED.apps[0], reapply="why"),)),
}


@pytest.mark.parametrize("today", OTHERS.values(), ids=OTHERS.keys())
def test_anything_else_is_refused_with_what_differs(records: Records, today: ChangeSet) -> None:
    """The person who is stopped learns why."""
    with pytest.raises(ApprovalError) as refusal:
        verify(records, COMMIT, today, required=True, history=())
    assert refusal.value.details


def test_another_tree_is_refused(records: Records) -> None:
    """The approval names the tree; the commit alone does not do."""
    with pytest.raises(ApprovalError, match="tree"):
        verify(records, COMMIT, replace(APPROVED, tree="u" * 40), required=True, history=())


def test_a_commit_without_approval_is_refused(records: Records) -> None:
    """A commit pushed straight to a release branch has none."""
    with pytest.raises(ApprovalError, match="has no approval"):
        verify(records, "d" * 40, APPROVED, required=True, history=())


def test_a_channel_may_do_without_approval(records: Records) -> None:
    """Where the policy in force says so, a commit needs none."""
    assert verify(records, "d" * 40, APPROVED, required=False, history=()) is None


def test_what_is_released_and_unchanged_needs_no_approval_any_more(records: Records) -> None:
    """Old approvals are dropped in time; a release that does nothing is still none."""
    released = history(ReleaseState.RELEASED, "d" * 40)
    assert verify(records, "d" * 40, change_set(), required=True, history=released) is None
    with pytest.raises(ApprovalError):
        verify(records, "d" * 40, APPROVED, required=True, history=released)


REST = {
    "nothing left": change_set(),
    "one object left": change_set(PRUNE),
    "one field left": change_set(replace(UPDATE, fields=(IMAGE,)), PRUNE),
}


@pytest.mark.parametrize("state", [ReleaseState.RELEASING, ReleaseState.FAILED, ReleaseState.PARTIAL])
@pytest.mark.parametrize("rest", REST.values(), ids=REST.keys())
def test_an_interrupted_release_may_do_the_rest(records: Records, rest: ChangeSet, state: ReleaseState) -> None:
    """After a kill or a failure the same commit is finished under the same approval."""
    assert verify(records, COMMIT, rest, required=True, history=history(state)) is not None


def test_a_creation_may_show_more_once_its_namespace_is_there(records: Records) -> None:
    """Before the release the server could not try it, and so could not tell the defaults."""
    defaulted = replace(CREATE, fields=(*CREATE.fields, FieldChange("immutable", None, "false")))
    today = change_set(defaulted)
    assert verify(records, COMMIT, today, required=True, history=history(ReleaseState.RELEASING)) is not None


NOT_THE_REST = {
    "a field that ends otherwise": change_set(replace(UPDATE, fields=(replace(IMAGE, after='"3"'),))),
    "a field nobody approved": change_set(replace(UPDATE, fields=(FieldChange("spec.paused", "true", "false"),))),
    "an object nobody approved": change_set(ObjectChange(OLD._replace(name="x"), Operation.CREATE)),
    "created instead of updated": change_set(replace(UPDATE, operation=Operation.CREATE)),
    "pruned instead of updated": change_set(ObjectChange(WEB, Operation.PRUNE)),
    "created instead of pruned": change_set(ObjectChange(OLD, Operation.CREATE)),
}


@pytest.mark.parametrize("today", NOT_THE_REST.values(), ids=NOT_THE_REST.keys())
def test_an_interrupted_release_may_do_nothing_else(records: Records, today: ChangeSet) -> None:
    """Having begun is no licence for what was never approved."""
    with pytest.raises(ApprovalError):
        verify(records, COMMIT, today, required=True, history=history(ReleaseState.RELEASING))


def test_the_rest_of_another_commit_is_no_rest(records: Records) -> None:
    """Only the release that began may be continued, and one that is complete has no rest."""
    for begun in (history(ReleaseState.RELEASING, "e" * 40), history(ReleaseState.RELEASED)):
        with pytest.raises(ApprovalError):
            verify(records, COMMIT, change_set(PRUNE), required=True, history=begun)
