"""What GitHub does of itself with pull requests, reviews, merges, statuses and deployments.

The REST routes and git pushes both end here; every refusal is in ``errors.py``.
"""

from __future__ import annotations

from typing import Any

from tests.support.github.bare import ZERO
from tests.support.github.errors import ApiError, invalid, not_mergeable, too_long
from tests.support.github.state import Comment, Deployment, Protection, Pull, Repository, Review, State, Status

LONGEST_BODY = 65_536
LONGEST_DESCRIPTION = 140
_REVIEW_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


def follow_branches(state: State, repository: Repository) -> None:
    """Let open pull requests follow their branches, as GitHub does after each push."""
    heads = repository.bare.heads()
    for pull in repository.pulls.values():
        if pull.state == "open":
            _follow(state, repository, pull, heads)


def _follow(state: State, repository: Repository, pull: Pull, heads: dict[str, str]) -> None:
    source = pull.head_repository
    head = (heads if source is repository else source.bare.heads() if source else {}).get(pull.head_branch)
    base = heads.get(pull.base_branch)
    if head and head != pull.head:
        pull.head, pull.updated = head, state.now()
        repository.bare.keep(f"refs/pull/{pull.number}/head", head, _elsewhere(repository, source))
    if head and base and base != pull.base and repository.bare.is_ancestor(pull.head, base):
        _mark_merged(state, pull, by=repository.owner, commit=_bringing_commit(repository, pull.head, base))
    elif head is None or base is None:
        pull.state, pull.closed, pull.updated = "closed", state.now(), state.now()
    if base and pull.state == "open":
        pull.base = base


def _bringing_commit(repository: Repository, head: str, base: str) -> str:
    """The oldest commit of the base branch's first parents that holds the head."""
    line = [commit.sha for commit in repository.bare.log("--first-parent", base)]
    return [sha for sha in line if repository.bare.is_ancestor(head, sha)][-1]


def _elsewhere(repository: Repository, source: Repository | None) -> Any:
    return source.bare.path if source and source is not repository else None


def open_pull(state: State, repository: Repository, user: str, request: dict[str, Any]) -> Pull:
    """Open a pull request; a fork's head is written ``owner:branch``."""
    owner, _, branch = str(request["head"]).rpartition(":")
    source = repository if owner in ("", repository.owner) else _fork_of(state, repository, owner)
    head = source.bare.heads().get(branch) if source else None
    base = repository.bare.heads().get(request["base"])
    if source is None or head is None:
        raise invalid("PullRequest", "invalid", "head")
    if base is None:
        raise invalid("PullRequest", "invalid", "base")
    label = f"{source.owner}:{branch}"
    for pull in repository.pulls.values():
        if pull.state == "open" and (pull.head_repository, pull.head_branch, pull.base_branch) == (
            source,
            branch,
            request["base"],
        ):
            raise invalid("PullRequest", "custom", message=f"A pull request already exists for {label}.")
    number = len(repository.pulls) + 1
    repository.bare.keep(f"refs/pull/{number}/head", head, _elsewhere(repository, source))
    if repository.bare.is_ancestor(head, base):
        raise invalid("PullRequest", "custom", message=f"No commits between {request['base']} and {request['head']}")
    _check_body("PullRequest", request.get("body") or "")
    now = state.now()
    pull = Pull(
        state.next_id(), number, request.get("title") or branch, request.get("body") or "", user, source, branch,
        request["base"], head, base, now, now, draft=bool(request.get("draft")),
    )  # fmt: skip
    repository.pulls[number] = pull
    return pull


def _fork_of(state: State, repository: Repository, owner: str) -> Repository | None:
    forks = (r for r in state.repositories.values() if r.owner == owner and r.parent is repository)
    return next(forks, None)


def mergeable(repository: Repository, pull: Pull) -> bool | None:
    """Whether a merge would work; None at the first look after a change, as GitHub works it out in the background."""
    if pull.state != "open":
        return None
    if pull.computed != (pull.head, pull.base):
        pull.computed = (pull.head, pull.base)
        return None
    return repository.bare.merged_tree(pull.base, pull.head) is not None


def blocked(repository: Repository, pull: Pull) -> str:
    """Why the protection of the base branch holds a merge back; empty if it does not."""
    protection = repository.protections.get(pull.base_branch, Protection())
    states = {context: status.request["state"] for context, status in latest_statuses(repository, pull.head).items()}
    for context in protection.contexts:
        if states.get(context) != "success":
            return f'Required status check "{context}" is expected.'
    approvals = {r.user: r.state for r in pull.reviews if r.state != "COMMENTED" and r.user in _writers(repository)}
    if list(approvals.values()).count("APPROVED") < protection.approvals:
        return f"At least {protection.approvals} approving review is required by reviewers with write access."
    return ""


def merge(state: State, repository: Repository, pull: Pull, user: str, request: dict[str, Any]) -> str:
    """Merge a pull request; gives the commit on the base branch."""
    if request.get("sha", pull.head) != pull.head:
        raise ApiError(409, "Head branch was modified. Review and try the merge again.")
    reason = blocked(repository, pull)
    if reason:
        raise not_mergeable(reason)
    base, bare = repository.bare.heads()[pull.base_branch], repository.bare
    tree = bare.merged_tree(base, pull.head)
    if pull.state != "open" or pull.draft or tree is None:
        raise not_mergeable()
    method = request.get("merge_method", "merge")
    if method == "rebase":
        raise not_mergeable("Rebase merges are not allowed on this repository.")
    owner = pull.head_repository.owner if pull.head_repository else ""
    title = request.get("commit_title") or f"Merge pull request #{pull.number} from {owner}/{pull.head_branch}"
    message = f"{title}\n\n{request.get('commit_message') or pull.title}"
    parents = [base, pull.head] if method == "merge" else [base]
    commit = bare.commit_tree(tree, parents, message, (user, state.accounts[user].email))
    repository.signed.add(commit)  # by the forge itself, as whatever is made on its pages
    if not bare.update(pull.base_branch, commit, base):
        raise not_mergeable("Base branch was modified. Review and try the merge again.")
    _mark_merged(state, pull, by=user, commit=commit)
    return commit


def _mark_merged(state: State, pull: Pull, *, by: str, commit: str) -> None:
    pull.state, pull.merged_by, pull.merge_commit = "closed", by, commit
    pull.merged = pull.closed = pull.updated = state.now()


def _writers(repository: Repository) -> set[str]:
    return {login for login, role in repository.roles.items() if role in ("write", "maintain", "admin")}


def review(state: State, pull: Pull, user: str, request: dict[str, Any]) -> Review:
    """Take a review of the head, or of an older commit that it names."""
    event = request.get("event", "COMMENT")
    if pull.user == user and event != "COMMENT":
        verb = "approve" if event == "APPROVE" else "request changes on"
        raise ApiError(422, "Unprocessable Entity", errors=[f"Can not {verb} your own pull request"])
    _check_body("PullRequestReview", request.get("body") or "")
    commit = request.get("commit_id") or pull.head
    made = Review(state.next_id(), user, _REVIEW_STATES[event], commit, state.now(), request.get("body") or "")
    pull.reviews.append(made)
    pull.updated = made.submitted
    return made


def comment(state: State, repository: Repository, pull: Pull, user: str, body: str) -> Comment:
    """Add a comment to the conversation."""
    _check_body("IssueComment", body)
    made = Comment(state.next_id(), pull.number, user, body, state.now(), state.now())
    repository.comments[made.id] = made
    pull.updated = made.updated
    return made


def edit_comment(state: State, repository: Repository, made: Comment, body: str) -> None:
    """Change a comment's text."""
    _check_body("IssueComment", body)
    made.body, made.updated = body, state.now()
    repository.pulls[made.pull].updated = made.updated


def _check_body(resource: str, body: str) -> None:
    if len(body) > LONGEST_BODY:
        raise invalid(resource, "unprocessable", "body", f"Body is too long (maximum is {LONGEST_BODY} characters)")


def add_status(state: State, repository: Repository, user: str, sha: str, request: dict[str, Any]) -> Status:
    """Set a commit status; every one is kept, the latest of a context counts."""
    if repository.bare.resolve(sha) != sha:
        raise ApiError(422, f"No commit found for SHA: {sha}")
    if len(request.get("description") or "") > LONGEST_DESCRIPTION:
        raise too_long("Status", "description", LONGEST_DESCRIPTION)
    made = Status(state.next_id(), sha, user, state.now(), {"context": "default", **request})
    repository.statuses.append(made)
    return made


def latest_statuses(repository: Repository, sha: str) -> dict[str, Status]:
    """The status that counts for each context of a commit."""
    return {status.request["context"]: status for status in repository.statuses if status.sha == sha}


def deploy(state: State, repository: Repository, user: str, request: dict[str, Any]) -> Deployment:
    """Create a deployment; unless told otherwise GitHub merges the default branch into it, and waits for statuses."""
    sha = repository.bare.resolve(request["ref"])
    if sha is None:
        raise ApiError(422, f"No ref found for: {request['ref']}")
    main = repository.bare.heads().get("main")
    if request.get("auto_merge", True) and main and not repository.bare.is_ancestor(main, sha):
        raise ApiError(409, "Conflict merging main into the ref")
    states = {context: s.request["state"] for context, s in latest_statuses(repository, sha).items()}
    wanted = request.get("required_contexts", list(states))
    if any(states.get(context) != "success" for context in wanted):
        raise ApiError(409, "Conflict: Commit status checks failed for the ref")
    made = Deployment(state.next_id(), sha, user, state.now(), request)
    repository.deployments[made.id] = made
    return made


def add_deployment_status(
    state: State, repository: Repository, made: Deployment, user: str, request: dict[str, Any]
) -> Status:
    """Add a status; a success makes earlier successful deployments of a non-production environment inactive."""
    if len(request.get("description") or "") > LONGEST_DESCRIPTION:
        raise too_long("DeploymentStatus", "description", LONGEST_DESCRIPTION)
    status = Status(state.next_id(), made.sha, user, state.now(), request)
    made.statuses.append(status)
    environment = made.request.get("environment", "production")
    if request["state"] == "success" and request.get("auto_inactive", True):
        for other in repository.deployments.values():
            same = other is not made and other.request.get("environment", "production") == environment
            lasting = other.request.get("transient_environment") or other.request.get("production_environment")
            if same and not lasting and other.statuses and other.statuses[-1].request["state"] == "success":
                inactive = Status(state.next_id(), other.sha, user, state.now(), {"state": "inactive"})
                other.statuses.append(inactive)
    return status


def set_reference(repository: Repository, branch: str, sha: str, *, create: bool, force: bool = False) -> None:
    """Create or move a branch; only ``force`` moves it to what does not hold its commit."""
    old = repository.bare.heads().get(branch)
    if repository.bare.resolve(sha) is None:
        raise ApiError(422, "Object does not exist")
    if create and old:
        raise ApiError(422, "Reference already exists")
    if not create and old is None:
        raise ApiError(422, "Reference does not exist")
    if old and not force and not repository.bare.is_ancestor(old, sha):
        raise ApiError(422, "Update is not a fast forward")
    repository.bare.update(branch, sha, old or ZERO)
