"""Promotion: the approval is bound to exactly what was looked at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy_pipeline.deployer import Deployer
from deploy_pipeline.errors import ApprovalError, ChannelFaults, RefusedError, UnknownRevision
from deploy_pipeline.promotion import diff_promotion
from tests.actions.conftest import World
from tests.actions.small import Small, config_map


def test_a_promotion_puts_exactly_the_candidate_on_the_release_branch(world: World) -> None:
    """Same tree; the commit says who approved what."""
    world.render()
    made = world.promote()
    assert world.origin.heads()["releases/test"] == made.commit
    tree = world.origin.git("rev-parse", "releases/test^{tree}", "candidates/main^{tree}").split()
    assert tree == [made.tree, made.tree]
    message = world.origin.git("log", "-1", "--format=%B", "releases/test")
    assert "Approved-by: ann" in message
    assert f"Change-set: {made.change_set.digest}" in message


def test_an_expected_digest_must_be_todays(world: World) -> None:
    """Whoever looked at a change set approves that one or none."""
    world.render()
    seen = diff_promotion(world.deployer, "test", "main", progress=world.progress.append)
    world.kubectl("create", "namespace", "web")
    with pytest.raises(ApprovalError, match="expected was"):
        world.promote(expected_digest=seen.digest)
    assert "releases/test" not in world.origin.heads()
    now = diff_promotion(world.deployer, "test", "main", progress=world.progress.append)
    assert world.promote(expected_digest=now.digest).change_set.digest == now.digest


def test_promoting_twice_does_nothing_the_second_time(world: World) -> None:
    """Neither before nor after the release."""
    world.render()
    first = world.promote()
    second = world.promote()
    world.release()
    third = world.promote()
    assert (second.repeated, second.commit) == (True, first.commit)
    assert (third.repeated, third.commit) == (True, first.commit)


def test_an_earlier_release_is_gone_back_to_by_its_commit(small_world: World) -> None:
    """As `history` names it: what that takes now is computed and approved like any other; so is the way on."""
    small = Small(small_world)
    small.put("web", config_map(step="first"))
    first = small.deliver()
    small.put("web", config_map(step="second"), config_map("added"))
    small.deliver()
    shown = diff_promotion(small_world.deployer, "test", first.commit[:12], progress=small_world.progress.append)
    assert shown.counts | {"none": 0} == {"create": 0, "update": 1, "recreate": 0, "prune": 1, "none": 0}
    promoted = small_world.promote(candidate=first.commit[:12], expected_digest=shown.digest)
    small_world.release()
    assert promoted.tree == first.tree
    assert small.live("ConfigMap")["data"] == {"step": "first"}
    assert small.live("ConfigMap", "added") is None
    small_world.promote()
    small_world.release()
    assert small.live("ConfigMap")["data"] == {"step": "second"}


def test_an_approval_needs_a_name(world: World) -> None:
    """Nobody cannot approve."""
    world.render()
    with pytest.raises(ApprovalError, match="needs a name"):
        _promote_as(world, "  ")
    assert "releases/test" not in world.origin.heads()


def _promote_as(world: World, name: str) -> None:
    from deploy_pipeline.promotion import promote

    promote(world.deployer, "test", "main", approved_by=name, progress=world.progress.append)


def test_a_branch_that_moves_meanwhile_is_promoted_on_its_new_head(
    world: World, make_deployer: Callable[..., Deployer]
) -> None:
    """Somebody else moves the release branch between reading and pushing: neither commit is lost."""
    world.render()
    world.promote()
    first = world.origin.heads()["releases/test"]
    moved: list[str] = []

    def move_once(line: str) -> None:
        if "digest" in line and not moved:
            tree = world.origin.git("rev-parse", f"{first}^{{tree}}").strip()
            moved.append(world.origin.git("commit-tree", "-p", first, "-m", "moved", tree).strip())
            world.origin.git("update-ref", "refs/heads/releases/test", moved[0])

    from deploy_pipeline.promotion import promote

    world.origin.commit("main", {"kubernetes/apps/base/web/index.html": "<p>new</p>\n"})
    world.render()
    made = promote(make_deployer(), "test", "main", approved_by="ann", progress=move_once)
    assert moved
    parents = world.origin.git("log", "-1", "--format=%P", made.commit).split()
    assert parents[0] == moved[0]
    assert world.origin.heads()["releases/test"] == made.commit
    approvals = world.kubectl("get", "configmaps", "--namespace", "deploy-pipeline", "--output", "name")
    assert approvals.count("configmap/approval.test.") == 2


def test_a_branch_without_candidate_and_an_unknown_channel_are_named(world: World) -> None:
    """The error says what is missing and what there is."""
    with pytest.raises(UnknownRevision, match="no candidate yet"):
        world.promote("main")
    world.render()
    with pytest.raises((ChannelFaults, RefusedError), match="test"):
        world.promote("main", "tset")
