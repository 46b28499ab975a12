"""From a source branch to an approved commit on a release branch: render, diff, promote.

Promotion is where a person (or a policy) accepts a change set. The approval is stored in the cluster before the release
branch moves; the release then verifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from deploy_pipeline.changes import ChangeSet, summary
from deploy_pipeline.channels import load_channel
from deploy_pipeline.cluster.records import Approval, Records, ReleaseState, now
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.drivers.recovery import free_interrupted
from deploy_pipeline.errors import ApprovalError, RaceLost, RefusedError, UnknownRevision
from deploy_pipeline.planning import plan_channel
from deploy_pipeline.rendering import RenderResult, render_candidate, render_commit
from deploy_pipeline.repository import Commit, candidate_branch, release_branch, source_of
from deploy_pipeline.secret_stores import ReadOnce, helm_values, shape

_TRIES = 3


@dataclass(frozen=True)
class Promotion:
    """A candidate that was put on a release branch. ``repeated``: it was there already, approved; nothing was done."""

    channel: str
    candidate: str
    candidate_commit: str
    commit: str
    tree: str
    change_set: ChangeSet
    approved_by: str
    repeated: bool = False


def render(deployer: Deployer, branch: str, *, progress: Progress) -> RenderResult:
    """Make or refresh the candidate of a source branch; remove it when the branch is gone."""
    return render_candidate(
        deployer.mirror, branch, settings=deployer.settings, secret_shape=_secret_shape(deployer), progress=progress
    )


def render_again(
    deployer: Deployer, branch: str, source: Commit, candidate: Commit, *, progress: Progress
) -> RenderResult:
    """What rendering a commit of a source branch gives today, to hold a candidate against. Pushes nothing."""
    return render_commit(
        deployer.mirror,
        branch,
        source,
        candidate,
        settings=deployer.settings,
        secret_shape=_secret_shape(deployer),
        progress=progress,
    )


def _secret_shape(deployer: Deployer) -> Callable[[str], Mapping[str, Any]]:
    store = ReadOnce(deployer.secret_store)

    def secret_shape(name: str) -> Mapping[str, Any]:
        masked: Mapping[str, Any] = shape(name, helm_values(store.read(name)))
        return masked

    return secret_shape


def diff_promotion(
    deployer: Deployer, channel: str, rev: str, *, apps: Collection[str] = (), progress: Progress
) -> ChangeSet:
    """What releasing a candidate to the channel would do to the live cluster now. Writes nothing.

    ``rev`` is a candidate branch, the source branch it was made from, or a commit.
    """
    deployer.mirror.fetch()
    return _change_set(deployer.observing(), channel, find_candidate(deployer, rev), apps, progress)


def _change_set(
    deployer: Deployer, channel: str, candidate: Commit, apps: Collection[str], progress: Progress
) -> ChangeSet:
    tree = deployer.mirror.tree(candidate.sha)
    change_set = plan_channel(deployer, load_channel(tree, channel), tree, apps=apps, progress=progress).change_set
    progress(f"{channel}: {summary(change_set)}; digest {change_set.digest}")
    return change_set


def find_candidate(deployer: Deployer, rev: str) -> Commit:
    """The commit a candidate is at, named by its branch, by its source branch, or by itself."""
    heads = deployer.mirror.heads()
    branch = rev if rev in heads and source_of(rev) else candidate_branch(rev)
    if branch in heads:
        return deployer.mirror.commit(heads[branch])
    if rev in heads and not rev.startswith("releases/"):
        raise UnknownRevision(f"the branch {rev} has no candidate yet", hint="render it first, or wait for the sensor")
    return deployer.mirror.commit(rev)


def promote(
    deployer: Deployer,
    channel: str,
    candidate: str,
    *,
    approved_by: str,
    expected_digest: str = "",
    run_id: str = "",
    progress: Progress,
) -> Promotion:
    """Approve what releasing the candidate would do now, and put it on the channel's release branch.

    With ``expected_digest`` it refuses unless that is what would be done. Promoting again what is there and approved
    does nothing; what is there but would now do something else is approved anew, by a new commit.
    """
    if not approved_by.strip():
        raise ApprovalError("an approval needs a name", hint="fill in approved_by")
    with deployer.cluster(channel).lock(channel).held(f"promotion to {channel}", deployer.settings.lock_wait):
        request = _Request(channel, candidate, approved_by.strip(), expected_digest, run_id)
        return _promote(deployer, request, _TRIES, progress)


@dataclass(frozen=True)
class _Request:
    """What was asked of a promotion."""

    channel: str
    candidate: str
    approved_by: str
    expected: str
    run_id: str


def _promote(deployer: Deployer, request: _Request, tries: int, progress: Progress) -> Promotion:
    """Promote on the head that is there now; when the branch moves meanwhile, once more on the new one."""
    try:
        return _promote_once(deployer, request, progress)
    except RaceLost:
        if tries <= 1:
            raise
    progress(f"{release_branch(request.channel)} moved meanwhile: starting over on its new head")
    return _promote(deployer, request, tries - 1, progress)


def _promote_once(deployer: Deployer, request: _Request, progress: Progress) -> Promotion:
    channel, approved_by = request.channel, request.approved_by
    deployer.mirror.fetch()
    source = find_candidate(deployer, request.candidate)
    free_interrupted(deployer.cluster(channel), channel, progress)
    change_set = _change_set(deployer, channel, source, (), progress)
    _check_expected(change_set, request.expected)
    records = deployer.cluster(channel).records(channel)
    head = deployer.mirror.heads().get(release_branch(channel))
    made = Promotion(channel, request.candidate, source.sha, "", source.tree, change_set, approved_by)
    if head and _is_approved(records, head, change_set):
        progress(f"{release_branch(channel)} has this candidate already, approved for this change set")
        return replace(made, commit=head, repeated=True)
    commit = deployer.mirror.write_commit(
        tree=source.tree,
        parents=[parent for parent in (head, source.sha) if parent],
        message=_message(made),
        when=datetime.now(timezone.utc),
    )
    records.approve(_approval(made, commit, request.run_id))
    try:
        deployer.mirror.push(release_branch(channel), commit, expected=head)
    except (RaceLost, RefusedError):
        records.withdraw(commit)
        raise
    progress(f"{release_branch(channel)} is at {commit[:12]}, approved by {approved_by}")
    return replace(made, commit=commit)


def _check_expected(change_set: ChangeSet, expected: str) -> None:
    if expected and expected != change_set.digest:
        today = [
            f"{app.app}: {change.ref}: {change.operation.value}" for app in change_set.apps for change in app.changed
        ]
        raise ApprovalError(
            f"expected was {expected}, but a release to {change_set.channel} would now do {change_set.digest}",
            details=today or ["nothing at all"],
            hint="look at the change set again, and promote with its digest",
        )


def _is_approved(records: Records, head: str, change_set: ChangeSet) -> bool:
    """The release branch is at this tree, and its release is still to come or has left nothing to do."""
    approval = records.approval(head)
    if approval is None or approval.tree != change_set.tree:
        return False
    history = records.releases()
    begun = next((record for record in history if record.commit == head), None)
    if begun is None:
        return approval.digest == change_set.digest
    return begun.state is ReleaseState.RELEASED and change_set.is_empty


def _approval(made: Promotion, commit: str, run_id: str) -> Approval:
    return Approval(
        channel=made.channel,
        commit=commit,
        tree=made.tree,
        digest=made.change_set.digest,
        approved_by=made.approved_by,
        approved_at=now(),
        candidate=made.candidate_commit,
        run_id=run_id,
        change_set=made.change_set.to_json(),
    )


def _message(made: Promotion) -> str:
    name = made.approved_by.replace("\n", " ")
    return (
        f"Promote {made.candidate} to {made.channel}\n\n{summary(made.change_set)}\n\n"
        f"Channel: {made.channel}\nCandidate-commit: {made.candidate_commit}\n"
        f"Change-set: {made.change_set.digest}\nApproved-by: {name}\n"
    )
