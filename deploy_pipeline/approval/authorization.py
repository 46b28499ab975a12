"""What lets a release begin: the approval that lies in the cluster, or one that is made now of what people said.

An approval that is made here is stored before it is acted on. So a release that is interrupted, or run again while the
forge is down, asks nobody any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy_pipeline.approval.by_reviews import approval_by_reviews
from deploy_pipeline.approval.rule import is_settled, verify
from deploy_pipeline.changes import ChangeSet
from deploy_pipeline.cluster.records import Approval, ReleaseRecord, now
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import ApprovalError


@dataclass(frozen=True)
class Acceptance:
    """A launch that lets a release through which is not approved otherwise, by the digest of what it would do."""

    digest: str
    accepted_by: str


def authorize(
    deployer: Deployer,
    commit: str,
    change_set: ChangeSet,
    *,
    history: Sequence[ReleaseRecord],
    acceptance: Acceptance | None = None,
    run_id: str = "",
    progress: Progress,
) -> Approval | None:
    """The approval under which a release may begin; None where the channel needs none. Writes nothing but approvals.

    What is asked for is read from what was released last. Raises ApprovalError with every reason, ForgeUnreachable when
    the reviews cannot be read: an approval that is not known is none.
    """
    policy = deployer.released_channel(change_set.channel)
    records = deployer.cluster(change_set.channel).records(change_set.channel)
    required = policy.approval == "required"
    needed = required and records.approval(commit) is None and not is_settled(commit, change_set, history)
    if needed and acceptance is None and deployer.forge.gives_reviews:
        records.approve(approval_by_reviews(deployer, commit, change_set, run_id=run_id, progress=progress))
    try:
        return verify(records, commit, change_set, required=required, history=history)
    except ApprovalError as refusal:
        if acceptance is None:
            raise
        _check_acceptance(acceptance, change_set, refusal, allowed=policy.promotion.accept_change_set)
        records.approve(_accepted(acceptance, commit, change_set, refusal, run_id))
        progress(f"{change_set.channel}: {acceptance.accepted_by} accepted what was refused: {refusal.message}")
    return verify(records, commit, change_set, required=required, history=history)


def _check_acceptance(acceptance: Acceptance, change_set: ChangeSet, refusal: ApprovalError, *, allowed: bool) -> None:
    """Raise ApprovalError with why this launch changes nothing about the refusal, and with the refusal."""
    channel = change_set.channel
    reasons = []
    if not allowed:
        reasons.append(f"channel {channel}, as it was released last, lets no launch accept a change set")
    if not acceptance.accepted_by.strip():
        reasons.append("an acceptance needs a name: fill in approved_by")
    if acceptance.digest != change_set.digest:
        reasons.append(f"accepted is {acceptance.digest}, but the release would now do {change_set.digest}")
    if reasons:
        raise ApprovalError(
            refusal.message,
            details=[*refusal.details, *reasons],
            hint="look at the change set again and name its digest"
            if allowed
            else f"release `accept_change_set: true` to {channel} first, or promote a candidate",
        )


def _accepted(
    acceptance: Acceptance, commit: str, change_set: ChangeSet, refusal: ApprovalError, run_id: str
) -> Approval:
    return Approval(
        channel=change_set.channel,
        commit=commit,
        tree=change_set.tree,
        digest=change_set.digest,
        approved_by=acceptance.accepted_by.strip(),
        approved_at=now(),
        candidate="",
        run_id=run_id,
        change_set=change_set.to_json(),
        note=f"accepted by digest although it was refused: {refusal.message}",
    )
