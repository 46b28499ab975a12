"""The rule: whether what a release would do now is what was approved.

The rule is one sentence: a release may do what its approval says, all of it or what an interrupted release left of
it, and nothing else. An approval is kept in the cluster and names a commit, its tree and a change set; a commit that
came to the release branch in another way has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploy_pipeline.changes import ChangeSet, ObjectChange, Operation, differences
from deploy_pipeline.cluster.records import Approval, Records, ReleaseRecord, ReleaseState
from deploy_pipeline.errors import ApprovalError

_ASK_AGAIN = "look at the change set and launch `promote` again to approve it"


def verify(
    records: Records, commit: str, change_set: ChangeSet, *, required: bool, history: Sequence[ReleaseRecord]
) -> Approval | None:
    """The approval that covers this change set. Raises ApprovalError that says what is missing or differs."""
    approval = records.approval(commit)
    if approval is None:
        if not required or is_settled(commit, change_set, history):
            return None
        raise ApprovalError(
            f"commit {commit[:12]} on the release branch of {change_set.channel} has no approval",
            details=["it was not put there by a promotion"],
            hint=f"promote a candidate to {change_set.channel}; nothing was changed in the cluster",
        )
    if approval.tree != change_set.tree:
        raise ApprovalError(
            f"commit {commit[:12]} has tree {change_set.tree[:12]}, approved was {approval.tree[:12]}", hint=_ASK_AGAIN
        )
    if change_set.digest == approval.digest:
        return approval
    approved = ChangeSet.from_json(approval.change_set)
    if not _continues(approved, change_set, commit, history):
        raise ApprovalError(
            f"the release of {change_set.channel} would not do what {approval.approved_by} approved"
            f" ({approval.digest[:19]}… then, {change_set.digest[:19]}… now)",
            details=differences(approved, change_set),
            hint=f"{_ASK_AGAIN}; nothing was changed in the cluster",
        )
    return approval


def is_settled(commit: str, change_set: ChangeSet, history: Sequence[ReleaseRecord]) -> bool:
    """Whether the commit is what was released last, and nothing has to be done for it: that needs no approval."""
    last = next((record for record in history if record.state is ReleaseState.RELEASED), None)
    return last is not None and last.commit == commit and change_set.is_empty


def _continues(approved: ChangeSet, today: ChangeSet, commit: str, history: Sequence[ReleaseRecord]) -> bool:
    """Whether today's change set is the rest of an approved one.

    Nothing left to do always is. Otherwise a release of the commit must have begun (its approval was verified then),
    and each change left must be one of the approved changes, with the same outcome.
    """
    same_inputs = (approved.channel, approved.cluster, approved.tree, approved.secrets) == (
        today.channel,
        today.cluster,
        today.tree,
        today.secrets,
    )
    if not same_inputs:
        return False
    if today.is_empty:
        return True
    begun = bool(history) and history[0].commit == commit and history[0].state is not ReleaseState.RELEASED
    return begun and all(_is_rest(approved, today, name) for name in (app.app for app in today.apps))


def _is_rest(approved: ChangeSet, today: ChangeSet, name: str) -> bool:
    before, now = approved.app(name), today.app(name)
    if before is None or now is None:
        return now is None or now.is_empty
    allowed = {change.ref: change for change in before.changed}
    if not now.is_empty and now.rendering != before.rendering:
        return False  # hooks, and what a creation would make, are compared by it
    if now.reapply and before.is_empty:
        return False
    return all(change.ref in allowed and _is_rest_of(allowed[change.ref], change) for change in now.changed)


def _is_rest_of(approved: ObjectChange, today: ObjectChange) -> bool:
    """The same outcome for the object: fewer fields may be left, none may end otherwise than approved.

    A creation is the same creation, since tree and secrets are the same; the server can tell more of it once the
    release has made the namespace or kind it needs. An object that was deleted to be made anew is to be created.
    """
    if Operation.PRUNE in (approved.operation, today.operation):
        return approved.operation is today.operation
    if today.operation is Operation.CREATE:
        return approved.operation in (Operation.CREATE, Operation.RECREATE)
    if Operation.RECREATE in (approved.operation, today.operation) and approved.operation is not today.operation:
        return False
    outcome = {field.path: field.after for field in approved.fields}
    return all(field.path in outcome and outcome[field.path] == field.after for field in today.fields)
