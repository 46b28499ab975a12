"""Opening the pull request of a promotion, for channels whose candidates shall wait for nobody to do it."""

from __future__ import annotations

from deploy_pipeline.approval import claimed_source, known_commit, released_source
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import RefusedError
from deploy_pipeline.forge import PullRequest
from deploy_pipeline.forge.texts import PromotedCommit, promotion_body
from deploy_pipeline.repository import CANDIDATES, candidate_branch, release_branch, source_of

_MOST_COMMITS = 250


def open_promotion(deployer: Deployer, channel: str, candidate: str, *, progress: Progress) -> PullRequest | None:
    """Let there be a pull request that promotes a candidate to the channel; None if there is nothing to promote.

    ``candidate`` is its branch or the source branch. An open one is refreshed if it is our own. Whether the channel
    wants it opened (``promotion.opens_by_itself`` of the released channel) is the caller's question. Raises
    RefusedError if one of the branches is missing, ForgeUnreachable, ForgeRefused.
    """
    head = candidate if candidate.startswith(CANDIDATES) else candidate_branch(candidate)
    base, branch = release_branch(channel), source_of(head) or ""
    deployer = deployer.observing()
    heads = deployer.mirror.fetch()
    if head not in heads:
        raise RefusedError(f"there is no branch {head}", hint=f"render {branch} first")
    if base not in heads:
        raise RefusedError(f"there is no branch {base}", hint=f"promote a candidate to {channel} by a launch first")
    # A candidate is given each new head of a release branch as ancestor, which makes another commit of the same tree.
    same = deployer.mirror.commit(heads[head]).tree == deployer.mirror.commit(heads[base]).tree
    if same or deployer.mirror.is_ancestor(heads[head], heads[base]):
        progress(f"{channel}: {base} has {head} already")
        return None
    commits = _commits(deployer, channel, heads[head])
    forge = deployer.forge_for(channel)
    pull = forge.open_promotion(head, base, f"Promote {branch} to {channel}", promotion_body(channel, branch, commits))
    progress(f"{channel}: {f'#{pull.number} promotes {head}' if pull else f'{base} has {head} already'}")
    return pull


def _commits(deployer: Deployer, channel: str, candidate: str) -> tuple[PromotedCommit, ...]:
    """The commits of the source since the channel's last release, newest first; the source's alone if none is known."""
    mirror = deployer.mirror
    source = claimed_source(mirror.commit(candidate))
    if not source:
        return ()
    since = released_source(mirror, deployer.cluster(channel).records(channel))
    known = since and known_commit(mirror, since)
    found = mirror.log(source, _MOST_COMMITS, without=known.sha) if known else mirror.log(source, 1)
    return tuple(PromotedCommit(commit.sha, commit.subject, commit.author) for commit in found)
