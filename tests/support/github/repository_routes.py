"""REST: the repository itself, branches, references, commits, files, comparisons."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.support.github.bare import GitCommit
from tests.support.github.documents import document
from tests.support.github.errors import ApiError, invalid, not_found
from tests.support.github.routing import REPOSITORY, Answer, Call, pages, route
from tests.support.github.rules import set_reference
from tests.support.github.state import ROLES, Repository, State

_CONTENTS = ("contents",)
_LARGEST_SHOWN = 1_000_000  # a larger file comes without its content
_LETTERS = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}


def user_document(state: State, login: str | None) -> dict[str, Any] | None:
    """An account as it stands in other documents."""
    account = state.accounts.get(login or "")
    if account is None:
        return None
    return document("simple-user", {"login": account.login, "id": account.id, "type": account.kind})


def repository_document(call: Call, repository: Repository, name: str = "full-repository") -> dict[str, Any]:
    """A repository; its own address leads by its present name."""
    url = f"{call.base_url}/repos/{repository.full_name}"
    role = ROLES.index(repository.role_of(call.caller.login))
    known = {
        "id": repository.id,
        "name": repository.name,
        "full_name": repository.full_name,
        "owner": user_document(call.state, repository.owner),
        "private": repository.private,
        "fork": repository.parent is not None,
        "url": url,
        "html_url": f"{call.base_url.removesuffix('/api/v3')}/{repository.full_name}",
        "default_branch": "main",
        "permissions": {
            "admin": role >= 5,
            "maintain": role >= 4,
            "push": role >= 3,
            "triage": role >= 2,
            "pull": role >= 1,
        },
    }
    return document(name, known)


@route("GET", REPOSITORY)
def get_repository(call: Call) -> Answer:
    """The repository, under whatever name it was asked for."""
    return Answer(repository_document(call, call.repository))


@route("GET", REPOSITORY + "/branches/{branch}", permissions=_CONTENTS)
def get_branch(call: Call) -> Answer:
    """A branch and its commit."""
    name = call.arguments["branch"]
    sha = call.repository.bare.heads().get(name)
    if sha is None:
        raise not_found("Branch not found")
    commit = commit_document(call, call.repository.bare.commit(sha))
    protected = name in call.repository.protections
    return Answer(document("branch-with-protection", {"name": name, "commit": commit, "protected": protected}))


@route("GET", REPOSITORY + "/branches/{branch}/protection", permissions=("administration",))
def get_protection(call: Call) -> Answer:
    """The protection of a branch."""
    protection = call.repository.protections.get(call.arguments["branch"])
    if protection is None:
        raise not_found("Branch not protected")
    checks = {"contexts": list(protection.contexts), "checks": []}
    reviews = {"required_approving_review_count": protection.approvals}
    known = {"required_status_checks": checks, "required_pull_request_reviews": reviews}
    return Answer(document("branch-protection", known))


def _reference(call: Call, name: str, sha: str) -> dict[str, Any]:
    return document("git-ref", {"ref": name, "object": {"type": "commit", "sha": sha}})


@route("GET", REPOSITORY + "/git/ref/{ref}", permissions=_CONTENTS)
def get_reference(call: Call) -> Answer:
    """One branch by its full name without `refs/`."""
    name = call.arguments["ref"]
    sha = call.repository.bare.heads().get(name.removeprefix("heads/"))
    if sha is None:
        raise not_found()
    return Answer(_reference(call, f"refs/{name}", sha))


@route("GET", REPOSITORY + "/git/matching-refs/{ref}", permissions=_CONTENTS)
def matching_references(call: Call) -> Answer:
    """All branches whose full name begins so; these are not paged."""
    prefix = call.arguments["ref"]
    found = {f"heads/{name}": sha for name, sha in call.repository.bare.heads().items()}
    return Answer([_reference(call, f"refs/{name}", sha) for name, sha in found.items() if name.startswith(prefix)])


@route("POST", REPOSITORY + "/git/refs", role="write", permissions=_CONTENTS)
def create_reference(call: Call) -> Answer:
    """Create a branch."""
    name = call.body["ref"]
    if not name.startswith("refs/heads/"):
        raise invalid("Reference", "invalid", "ref")
    set_reference(call.repository, name.removeprefix("refs/heads/"), call.body["sha"], create=True)
    return Answer(_reference(call, name, call.body["sha"]), 201)


@route("PATCH", REPOSITORY + "/git/refs/{ref}", role="write", permissions=_CONTENTS)
def update_reference(call: Call) -> Answer:
    """Move a branch."""
    name, sha = call.arguments["ref"], call.body["sha"]
    branch = name.removeprefix("heads/")
    set_reference(call.repository, branch, sha, create=False, force=bool(call.body.get("force")))
    return Answer(_reference(call, f"refs/{name}", sha))


@route("DELETE", REPOSITORY + "/git/refs/{ref}", role="write", permissions=_CONTENTS)
def delete_reference(call: Call) -> Answer:
    """Delete a branch."""
    if not call.repository.bare.delete(call.arguments["ref"].removeprefix("heads/")):
        raise ApiError(422, "Reference does not exist")
    return Answer(status=204)


def commit_document(call: Call, commit: GitCommit) -> dict[str, Any]:
    """A commit; author and committer are accounts where GitHub knows the address, else null."""
    names = ("name", "email", "date")
    signed = commit.sha in call.repository.signed
    known = {
        "sha": commit.sha,
        "author": user_document(call.state, call.state.login_of(commit.author[1])),
        "committer": user_document(call.state, call.state.login_of(commit.committer[1])),
        "parents": [{"sha": parent} for parent in commit.parents],
        "commit": {
            "message": commit.message,
            "tree": {"sha": commit.tree},
            "author": dict(zip(names, commit.author, strict=True)),
            "committer": dict(zip(names, commit.committer, strict=True)),
            "verification": {"verified": signed, "reason": "valid" if signed else "unsigned"},
        },
    }
    return document("commit", known)


@route("GET", REPOSITORY + "/commits", permissions=_CONTENTS)
def list_commits(call: Call) -> Answer:
    """The history of a branch or commit."""
    sha = call.repository.bare.resolve(call.query.get("sha", "main"))
    if sha is None:
        raise not_found()
    return pages([commit_document(call, commit) for commit in call.repository.bare.log(sha)])


@route("GET", REPOSITORY + "/commits/{ref}", permissions=_CONTENTS)
def get_commit(call: Call) -> Answer:
    """One commit."""
    sha = call.repository.bare.resolve(call.arguments["ref"])
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {call.arguments['ref']}")
    return Answer(commit_document(call, call.repository.bare.commit(sha)))


@route("GET", REPOSITORY + "/compare/{basehead}", permissions=_CONTENTS)
def compare(call: Call) -> Answer:
    """What the head has and the base has not, oldest first; the commits come in pages."""
    bare = call.repository.bare
    base, head = (bare.resolve(part) for part in call.arguments["basehead"].split("..."))
    common = bare.merge_base(base, head) if base and head else None
    if base is None or head is None or common is None:
        raise not_found()
    ahead, behind = bare.log(head, f"^{base}")[::-1], bare.log(base, f"^{head}")
    state = {(False, False): "identical", (True, False): "ahead", (False, True): "behind"}

    def wrap(page: list[Any]) -> dict[str, Any]:
        known = {
            "status": state.get((bool(ahead), bool(behind)), "diverged"),
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "base_commit": commit_document(call, bare.commit(base)),
            "merge_base_commit": commit_document(call, bare.commit(common)),
            "commits": page,
            "files": [file_document(file) for file in bare.files(common, head)[:300]],
        }
        return document("commit-comparison", known)

    return pages([commit_document(call, commit) for commit in ahead], wrap=wrap)


def file_document(file: tuple[str, str, int, int]) -> dict[str, Any]:
    """One changed file."""
    letter, path, added, gone = file
    known: Mapping[str, Any] = {
        "filename": path, "status": _LETTERS[letter], "additions": added, "deletions": gone, "changes": added + gone,
    }  # fmt: skip
    return document("diff-entry", known)


@route("GET", REPOSITORY + "/contents/{path}", permissions=_CONTENTS)
def get_content(call: Call) -> Answer:
    """A file at a revision."""
    sha = call.repository.bare.resolve(call.query.get("ref", "main"))
    found = call.repository.bare.content(sha, call.arguments["path"]) if sha else None
    if found is None:
        raise not_found()
    path, (blob, content) = call.arguments["path"], found
    shown = content if len(content) <= _LARGEST_SHOWN else None
    known = {
        "type": "file", "name": path.rpartition("/")[2], "path": path, "sha": blob, "size": len(content),
        "encoding": "none" if shown is None else "base64", "content": base64.encodebytes(shown or b"").decode(),
    }  # fmt: skip
    return Answer(document("content-file", known))
