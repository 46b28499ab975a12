"""Whether the head of a pull request is a candidate: exactly what rendering its source commit gives.

People read the source and trust the manifests to be made of it. So a candidate that somebody edited on its branch is
refused, whatever its message says; what it names as its source is held against what rendering that gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy_pipeline.approval import claimed_source, known_commit
from deploy_pipeline.deployer import Deployer, Progress
from deploy_pipeline.errors import RefusedError
from deploy_pipeline.promotion import render_again
from deploy_pipeline.repository import Commit, source_of

_MOST_PATHS = 20


@dataclass(frozen=True)
class VerifiedCandidate:
    """A candidate, and the commit of ``branch`` it was rendered from; ``warnings`` are those of the rendering."""

    commit: Commit
    branch: str
    source: str
    warnings: tuple[str, ...] = ()


def verified_candidate(deployer: Deployer, branch: str, commit: str, *, progress: Progress) -> VerifiedCandidate:
    """Render the source of a candidate on this branch again, unless this deployer remembers what came of it.

    Raises RefusedError if the candidate is anything else, and what rendering raises.
    """
    source_branch = source_of(branch)
    if not source_branch:
        raise RefusedError(f"`{branch}` is no candidate branch", hint="promote a branch `candidates/…`")
    candidate = deployer.mirror.commit(commit)
    source = _source(deployer, source_branch, candidate)
    rendered = render_again(deployer, source_branch, source, candidate, progress=progress)
    if rendered.tree != candidate.tree:
        paths = [file.path for file in deployer.mirror.changed_files(rendered.tree or "", candidate.tree)]
        more = [f"and {len(paths) - _MOST_PATHS} more"] if len(paths) > _MOST_PATHS else []
        raise RefusedError(
            f"{commit[:12]} is not what rendering {source_branch} at {source.sha[:12]} gives",
            details=[*paths[:_MOST_PATHS], *more],
            hint=f"nobody but the pipeline may change {branch}: make the change on {source_branch}, or render it again",
        )
    head = deployer.mirror.heads().get(source_branch, "")
    stale = (f"{source_branch} has moved on to {head[:12]}: a newer candidate will follow",) * (head != source.sha)
    return VerifiedCandidate(candidate, source_branch, source.sha, (*rendered.warnings, *stale))


def _source(deployer: Deployer, branch: str, candidate: Commit) -> Commit:
    """The commit that the candidate claims to be rendered from, if it is one of the branch."""
    hint = f"let the pipeline render {branch} again"
    claimed = claimed_source(candidate)
    if candidate.trailers.get("Source-branch") != branch or not claimed:
        raise RefusedError(
            f"{candidate.sha[:12]} does not say which commit of {branch} it was rendered from", hint=hint
        )
    source, head = known_commit(deployer.mirror, claimed), deployer.mirror.heads().get(branch)
    if source is None or head is None or not deployer.mirror.is_ancestor(source.sha, head):
        raise RefusedError(f"{candidate.sha[:12]} names {claimed[:12]}, which is no commit of {branch}", hint=hint)
    return source
