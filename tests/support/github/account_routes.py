"""REST: people, teams, Apps and what they may do."""

from __future__ import annotations

from typing import Any

from tests.support.github.access import installation_token
from tests.support.github.documents import document
from tests.support.github.errors import ApiError, bad_credentials, not_for_integration, not_found
from tests.support.github.repository_routes import user_document
from tests.support.github.routing import REPOSITORY, Answer, Call, pages, route
from tests.support.github.state import App

_BASE_ROLE = {"maintain": "write", "triage": "read"}


@route("GET", "/user")
def get_authenticated_user(call: Call) -> Answer:
    """Whose token this is; the token of an App's installation is nobody's."""
    if call.caller.app:
        raise not_for_integration()
    if not call.caller.login:
        raise ApiError(401, "Requires authentication")
    account = call.state.accounts[call.caller.login]
    return Answer(document("private-user", {"login": account.login, "id": account.id, "type": account.kind}))


@route("GET", "/users/{username}")
def get_user(call: Call) -> Answer:
    """A public profile."""
    account = call.state.accounts.get(call.arguments["username"])
    if account is None:
        raise not_found()
    known = {
        "login": account.login,
        "id": account.id,
        "type": account.kind,
        "email": account.email,
        "user_view_type": "public",
    }
    return Answer(document("public-user", known))


@route("GET", "/rate_limit")
def rate_limit(call: Call) -> Answer:
    """What is left of the hour; asking costs nothing."""
    limit = {"limit": call.state.hour_limit, "remaining": call.state.hour_limit, "reset": 0, "used": 0}
    return Answer(document("rate-limit-overview", {"resources": {"core": limit, "search": limit}, "rate": limit}))


@route("GET", REPOSITORY + "/collaborators/{username}/permission")
def get_permission(call: Call) -> Answer:
    """What somebody may do: the finer role, and the one of four that it is based on."""
    login = call.arguments["username"]
    if login not in call.state.accounts:
        raise not_found()
    role = call.repository.role_of(login)
    known = {"permission": _BASE_ROLE.get(role, role), "role_name": role, "user": {"login": login}}
    return Answer(document("repository-collaborator-permission", known))


@route("GET", "/orgs/{org}/teams/{team_slug}/members", permissions=("members",))
def list_team(call: Call) -> Answer:
    """The members of a team; to those who may not see it, the team is not there."""
    members = call.state.teams.get((call.arguments["org"], call.arguments["team_slug"]))
    if members is None or (call.caller.app and call.caller.app.permissions.get("members") is None):
        raise not_found()
    return pages([user_document(call.state, login) for login in sorted(members)])


def _app(call: Call) -> App:
    if call.caller.app is None or not call.caller.as_app:
        raise bad_credentials()
    return call.caller.app


@route("GET", "/app")
def get_app(call: Call) -> Answer:
    """The App that shows its JWT."""
    app = _app(call)
    return Answer(document("integration", {"id": app.id, "slug": app.slug, "name": app.slug}))


def _installation(call: Call, app: App) -> dict[str, Any]:
    return document("installation", {"id": app.installation, "app_id": app.id, "app_slug": app.slug})


@route("GET", "/app/installations")
def list_installations(call: Call) -> Answer:
    """Where the App is installed."""
    return pages([_installation(call, _app(call))])


@route("GET", REPOSITORY + "/installation", role="none")
def repository_installation(call: Call) -> Answer:
    """The App's installation on a repository."""
    app = _app(call)
    if call.repository.id not in app.repositories:
        raise not_found()
    return Answer(_installation(call, app))


@route("POST", "/app/installations/{installation_id}/access_tokens")
def create_installation_token(call: Call) -> Answer:
    """Exchange the JWT for a token."""
    app = _app(call)
    if call.arguments["installation_id"] != str(app.installation):
        raise not_found()
    text, token = installation_token(call.state, app)
    expires = token.expires.strftime("%Y-%m-%dT%H:%M:%SZ") if token.expires else ""
    return Answer(document("installation-token", {"token": text, "expires_at": expires}), 201)
