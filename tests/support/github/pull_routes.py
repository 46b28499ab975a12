"""REST: pull requests, their reviews and their conversation."""

from __future__ import annotations

from typing import Any

from tests.support.github import rules
from tests.support.github.documents import document
from tests.support.github.errors import ApiError, not_found
from tests.support.github.repository_routes import commit_document, file_document, repository_document, user_document
from tests.support.github.routing import REPOSITORY, Answer, Call, pages, route
from tests.support.github.state import Comment, Pull, Repository, Review

_PULLS = ("pull_requests",)
_CONVERSATION = ("pull_requests", "issues")
_ONE = REPOSITORY + "/pulls/{pull_number}"


def pull_document(call: Call, pull: Pull, name: str = "pull-request") -> dict[str, Any]:
    """A pull request, whole or as it stands in lists."""
    repository = call.repository
    known: dict[str, Any] = {
        "id": pull.id,
        "number": pull.number,
        "state": pull.state,
        "title": pull.title,
        "body": pull.body,
        "draft": pull.draft,
        "user": user_document(call.state, pull.user),
        "url": f"{call.base_url}/repos/{repository.full_name}/pulls/{pull.number}",
        "issue_url": f"{call.base_url}/repos/{repository.full_name}/issues/{pull.number}",
        "html_url": f"{call.base_url.removesuffix('/api/v3')}/{repository.full_name}/pull/{pull.number}",
        "head": _end(call, pull.head_repository, pull.head_branch, pull.head),
        "base": _end(call, repository, pull.base_branch, pull.base),
        "created_at": pull.created,
        "updated_at": pull.updated,
        "closed_at": pull.closed,
        "merged_at": pull.merged,
        "merge_commit_sha": pull.merge_commit,
    }
    if name == "pull-request":
        known |= {
            "merged": pull.merged is not None,
            "merged_by": user_document(call.state, pull.merged_by),
            "mergeable": rules.mergeable(repository, pull),
            "comments": sum(1 for comment in repository.comments.values() if comment.pull == pull.number),
        }
    return document(name, known)


def _end(call: Call, repository: Repository | None, branch: str, sha: str) -> dict[str, Any]:
    """Head or base; where the fork is gone, most of it is null."""
    if repository is None or repository.id not in call.state.repositories:
        return {"label": None, "ref": branch, "sha": sha, "user": None, "repo": None}
    return {
        "label": f"{repository.owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user_document(call.state, repository.owner),
        "repo": repository_document(call, repository, "repository"),
    }


@route("GET", REPOSITORY + "/pulls", permissions=_PULLS)
def list_pulls(call: Call) -> Answer:
    """Pull requests by state, base and head."""
    state, base, head = (
        call.query.get(name, default) for name, default in (("state", "open"), ("base", ""), ("head", ""))
    )
    found = [
        pull
        for pull in call.repository.pulls.values()
        if state in ("all", pull.state)
        and base in ("", pull.base_branch)
        and head in ("", f"{pull.head_repository.owner if pull.head_repository else ''}:{pull.head_branch}")
    ]
    by_update = call.query.get("sort") == "updated"
    found.sort(key=lambda pull: (pull.updated if by_update else pull.created, pull.number))
    if call.query.get("direction", "asc" if "sort" in call.query else "desc") == "desc":
        found.reverse()
    return pages([pull_document(call, pull, "pull-request-simple") for pull in found])


@route("POST", REPOSITORY + "/pulls", permissions=_PULLS)
def create_pull(call: Call) -> Answer:
    """Open a pull request."""
    return Answer(pull_document(call, rules.open_pull(call.state, call.repository, call.caller.login, call.body)), 201)


@route("GET", _ONE, permissions=_PULLS)
def get_pull(call: Call) -> Answer:
    """One pull request."""
    return Answer(pull_document(call, call.pull))


@route("PATCH", _ONE, role="triage", permissions=_PULLS)
def edit_pull(call: Call) -> Answer:
    """Change title, body or state."""
    pull = call.pull
    pull.title, pull.body = call.body.get("title", pull.title), call.body.get("body", pull.body)
    if "state" in call.body and not pull.merged:
        pull.state = call.body["state"]
        pull.closed = call.state.now() if pull.state == "closed" else None
    pull.updated = call.state.now()
    return Answer(pull_document(call, pull))


@route("PUT", _ONE + "/merge", role="write", permissions=("contents",))
def merge_pull(call: Call) -> Answer:
    """Merge."""
    sha = rules.merge(call.state, call.repository, call.pull, call.caller.login, call.body)
    done = {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}
    return Answer(document("pull-request-merge-result", done))


@route("GET", _ONE + "/merge", permissions=_PULLS)
def is_merged(call: Call) -> Answer:
    """Whether it was merged, by status alone."""
    if call.pull.merged is None:
        raise not_found()
    return Answer(status=204)


@route("GET", _ONE + "/commits", permissions=_PULLS)
def list_pull_commits(call: Call) -> Answer:
    """The commits of a pull request, oldest first, at most 250."""
    bare, pull = call.repository.bare, call.pull
    return pages([commit_document(call, commit) for commit in bare.log(pull.head, f"^{pull.base}")[::-1][:250]])


@route("GET", _ONE + "/files", permissions=_PULLS)
def list_pull_files(call: Call) -> Answer:
    """The files of a pull request, at most 3,000."""
    bare, pull = call.repository.bare, call.pull
    common = bare.merge_base(pull.base, pull.head) or pull.base
    return pages([file_document(file) for file in bare.files(common, pull.head)[:3000]])


@route("GET", REPOSITORY + "/commits/{commit_sha}/pulls", permissions=_PULLS)
def pulls_of_commit(call: Call) -> Answer:
    """The merged pull requests that brought a commit to a branch, else the open ones that hold it."""
    bare, sha = call.repository.bare, call.arguments["commit_sha"]
    if bare.resolve(sha) != sha:
        raise ApiError(422, f"No commit found for SHA: {sha}")
    found = [
        pull for pull in call.repository.pulls.values() if sha == pull.merge_commit or bare.is_ancestor(sha, pull.head)
    ]
    merged = [pull for pull in found if pull.merged]
    return pages([pull_document(call, pull, "pull-request-simple") for pull in merged or found])


def _review_document(call: Call, made: Review) -> dict[str, Any]:
    known = {
        "id": made.id, "user": user_document(call.state, made.user), "state": made.state, "body": made.body,
        "commit_id": made.commit, "submitted_at": made.submitted,
    }  # fmt: skip
    return document("pull-request-review", known)


@route("GET", _ONE + "/reviews", permissions=_PULLS)
def list_reviews(call: Call) -> Answer:
    """The reviews, oldest first."""
    return pages([_review_document(call, made) for made in call.pull.reviews])


@route("POST", _ONE + "/reviews", permissions=_PULLS)
def create_review(call: Call) -> Answer:
    """Review."""
    return Answer(_review_document(call, rules.review(call.state, call.pull, call.caller.login, call.body)))


@route("PUT", _ONE + "/reviews/{review_id}/dismissals", role="write", permissions=_PULLS)
def dismiss_review(call: Call) -> Answer:
    """Take a review back, in the name of those who may write."""
    made = next((r for r in call.pull.reviews if str(r.id) == call.arguments["review_id"]), None)
    if made is None:
        raise not_found()
    if made.state == "COMMENTED":
        raise ApiError(422, "Unprocessable Entity", errors=["Can not dismiss a commented pull request review"])
    made.state = "DISMISSED"
    return Answer(_review_document(call, made))


def _comment_document(call: Call, made: Comment) -> dict[str, Any]:
    url = f"{call.base_url}/repos/{call.repository.full_name}"
    known = {
        "id": made.id, "body": made.body, "user": user_document(call.state, made.user), "created_at": made.created,
        "updated_at": made.updated, "issue_url": f"{url}/issues/{made.pull}", "url": f"{url}/issues/comments/{made.id}",
    }  # fmt: skip
    return document("issue-comment", known)


@route("GET", REPOSITORY + "/issues/{issue_number}/comments", permissions=_CONVERSATION)
def list_comments(call: Call) -> Answer:
    """The conversation, oldest first."""
    pull = call.pull
    return pages([_comment_document(call, c) for c in call.repository.comments.values() if c.pull == pull.number])


@route("POST", REPOSITORY + "/issues/{issue_number}/comments", permissions=_CONVERSATION)
def create_comment(call: Call) -> Answer:
    """Say something."""
    made = rules.comment(call.state, call.repository, call.pull, call.caller.login, call.body["body"])
    return Answer(_comment_document(call, made), 201)


def _comment_of(call: Call) -> Comment:
    made = call.repository.comments.get(int(call.arguments["comment_id"]))
    if made is None:
        raise not_found()
    return made


@route("GET", REPOSITORY + "/issues/comments/{comment_id}", permissions=_CONVERSATION)
def get_comment(call: Call) -> Answer:
    """One comment."""
    return Answer(_comment_document(call, _comment_of(call)))


@route("PATCH", REPOSITORY + "/issues/comments/{comment_id}", permissions=_CONVERSATION)
def edit_comment(call: Call) -> Answer:
    """Change a comment: one's own, or with write access anybody's."""
    made = _comment_of(call)
    _check_author(call, made)
    rules.edit_comment(call.state, call.repository, made, call.body["body"])
    return Answer(_comment_document(call, made))


@route("DELETE", REPOSITORY + "/issues/comments/{comment_id}", permissions=_CONVERSATION)
def delete_comment(call: Call) -> Answer:
    """Remove a comment."""
    made = _comment_of(call)
    _check_author(call, made)
    del call.repository.comments[made.id]
    return Answer(status=204)


def _check_author(call: Call, made: Comment) -> None:
    writes = call.repository.role_of(call.caller.login) in ("write", "maintain", "admin")
    if made.user != call.caller.login and not writes and call.caller.app is None:
        raise ApiError(403, "Must have admin rights to Repository.")
