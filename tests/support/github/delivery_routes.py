"""REST: commit statuses, deployments and their statuses."""

from __future__ import annotations

from typing import Any

from tests.support.github import rules
from tests.support.github.documents import document
from tests.support.github.errors import not_found
from tests.support.github.repository_routes import repository_document, user_document
from tests.support.github.routing import REPOSITORY, Answer, Call, pages, route
from tests.support.github.state import Deployment, Status

_STATUSES, _DEPLOYMENTS = ("statuses",), ("deployments",)
_WORST = ("failure", "error", "pending", "success")


def _status_document(call: Call, made: Status) -> dict[str, Any]:
    fields = {name: made.request.get(name) for name in ("state", "description", "target_url", "context")}
    user = user_document(call.state, made.user)
    return document(
        "status", {**fields, "id": made.id, "created_at": made.created, "updated_at": made.created, "creator": user}
    )


@route("POST", REPOSITORY + "/statuses/{sha}", role="write", permissions=_STATUSES)
def create_status(call: Call) -> Answer:
    """Set a commit status."""
    made = rules.add_status(call.state, call.repository, call.caller.login, call.arguments["sha"], call.body)
    return Answer(_status_document(call, made), 201)


@route("GET", REPOSITORY + "/commits/{ref}/statuses", permissions=_STATUSES)
def list_statuses(call: Call) -> Answer:
    """All statuses ever set on a commit, newest first."""
    sha = call.repository.bare.resolve(call.arguments["ref"])
    return pages([_status_document(call, made) for made in reversed(call.repository.statuses) if made.sha == sha])


@route("GET", REPOSITORY + "/commits/{ref}/status", permissions=_STATUSES)
def combined_status(call: Call) -> Answer:
    """What counts for a commit: the latest status of each context."""
    sha = call.repository.bare.resolve(call.arguments["ref"])
    if sha is None:
        raise not_found()
    latest = list(rules.latest_statuses(call.repository, sha).values())
    states = {made.request["state"] for made in latest}
    worst = next((state for state in _WORST if state in states), "pending")
    state = "failure" if worst == "error" else worst

    def wrap(page: list[Any]) -> dict[str, Any]:
        repository = repository_document(call, call.repository, "minimal-repository")
        known = {"state": state, "statuses": page, "sha": sha, "total_count": len(latest), "repository": repository}
        return document("combined-commit-status", known)

    fields = (
        "id",
        "created_at",
        "updated_at",
        "state",
        "description",
        "target_url",
        "context",
        "url",
        "node_id",
        "avatar_url",
    )
    short = [{name: value for name, value in _status_document(call, made).items() if name in fields} for made in latest]
    return pages(short, wrap=wrap)


def _deployment_document(call: Call, made: Deployment) -> dict[str, Any]:
    known = {
        "id": made.id,
        "sha": made.sha,
        "ref": made.request["ref"],
        "task": made.request.get("task", "deploy"),
        "environment": made.request.get("environment", "production"),
        "payload": made.request.get("payload", ""),
        "description": made.request.get("description"),
        "creator": user_document(call.state, made.user),
        "url": f"{call.base_url}/repos/{call.repository.full_name}/deployments/{made.id}",
        "statuses_url": f"{call.base_url}/repos/{call.repository.full_name}/deployments/{made.id}/statuses",
        "created_at": made.created,
        "updated_at": made.statuses[-1].created if made.statuses else made.created,
    }
    return document("deployment", known)


@route("GET", REPOSITORY + "/deployments", permissions=_DEPLOYMENTS)
def list_deployments(call: Call) -> Answer:
    """Deployments, newest first."""
    wanted = {name: call.query[name] for name in ("sha", "ref", "task", "environment") if name in call.query}
    found = [_deployment_document(call, made) for made in reversed(call.repository.deployments.values())]
    return pages([made for made in found if all(made[name] == value for name, value in wanted.items())])


@route("POST", REPOSITORY + "/deployments", role="write", permissions=_DEPLOYMENTS)
def create_deployment(call: Call) -> Answer:
    """Say that something is about to be deployed."""
    made = rules.deploy(call.state, call.repository, call.caller.login, call.body)
    return Answer(_deployment_document(call, made), 201)


def _deployment_of(call: Call) -> Deployment:
    made = call.repository.deployments.get(int(call.arguments["deployment_id"]))
    if made is None:
        raise not_found()
    return made


@route("GET", REPOSITORY + "/deployments/{deployment_id}", permissions=_DEPLOYMENTS)
def get_deployment(call: Call) -> Answer:
    """One deployment."""
    return Answer(_deployment_document(call, _deployment_of(call)))


def _deployment_status(call: Call, deployment: Deployment, made: Status) -> dict[str, Any]:
    texts = ("log_url", "environment_url", "description")
    known = {name: made.request[name] for name in texts if name in made.request}
    known["target_url"] = made.request.get("target_url") or made.request.get("log_url") or "https://github.invalid/"
    environment = deployment.request.get("environment", "production")
    user = user_document(call.state, made.user)
    return document(
        "deployment-status",
        {**known, "id": made.id, "state": made.request["state"], "environment": environment, "creator": user,
         "created_at": made.created, "updated_at": made.created},
    )  # fmt: skip


@route("GET", REPOSITORY + "/deployments/{deployment_id}/statuses", permissions=_DEPLOYMENTS)
def list_deployment_statuses(call: Call) -> Answer:
    """The statuses of a deployment, newest first."""
    deployment = _deployment_of(call)
    return pages([_deployment_status(call, deployment, made) for made in reversed(deployment.statuses)])


@route("POST", REPOSITORY + "/deployments/{deployment_id}/statuses", role="write", permissions=_DEPLOYMENTS)
def create_deployment_status(call: Call) -> Answer:
    """Say how a deployment goes."""
    deployment = _deployment_of(call)
    made = rules.add_deployment_status(call.state, call.repository, deployment, call.caller.login, call.body)
    return Answer(_deployment_status(call, deployment, made), 201)
