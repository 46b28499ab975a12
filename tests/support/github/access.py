"""Who is calling, and what they may do: tokens of people, Apps by signed JWT, tokens of their installations."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import timedelta

import jwt

from tests.support.github.errors import ApiError, bad_credentials, must_have_rights, not_for_integration, not_found
from tests.support.github.state import ROLES, App, Repository, State, Token

_GRANTS = ("none", "read", "write", "admin")
_LONGEST_JWT = timedelta(minutes=10, seconds=60)


@dataclass(frozen=True)
class Caller:
    """Who makes a request: ``login`` is empty for nobody; with ``as_app`` it is an App that shows its JWT."""

    login: str = ""
    app: App | None = None
    as_app: bool = False
    token: str = ""


def caller_of(state: State, authorization: str) -> Caller:
    """Read an Authorization header; refuses what is wrong, expired or revoked."""
    kind, _, value = authorization.partition(" ")
    if not authorization:
        return Caller()
    if kind.lower() == "basic":
        value = base64.b64decode(value).decode().partition(":")[2]
    if value.startswith("ey"):
        return Caller(app=_app_of(state, value), as_app=True, token=value)
    token = state.tokens.get(value)
    if token is None or (token.expires and token.expires <= state.time()):
        raise bad_credentials()
    return Caller(token.login, token.app, token=value)


def _app_of(state: State, token: str) -> App:
    try:
        issuer = jwt.decode(token, options={"verify_signature": False})["iss"]
        app = next(app for app in state.apps if str(app.id) == str(issuer))
        claims = jwt.decode(token, app.public_key, algorithms=["RS256"], issuer=str(app.id))
    except (jwt.InvalidTokenError, KeyError, StopIteration):
        raise ApiError(401, "A JSON web token could not be decoded") from None
    if claims["exp"] - claims["iat"] > _LONGEST_JWT.total_seconds():
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def installation_token(state: State, app: App) -> tuple[str, Token]:
    """A new token for an App's installation, good for ``state.token_seconds``."""
    text = f"ghs_{app.id}_{secrets.token_hex(120)}"
    expires = state.time().replace(microsecond=0) + timedelta(seconds=state.token_seconds)
    state.tokens[text] = Token(app.login, app, expires)
    return text, state.tokens[text]


def check_access(caller: Caller, repository: Repository, role: str, permission: tuple[str, ...]) -> None:
    """Refuse a caller without this role (people), or without this grant for one of the permissions (Apps).

    What a caller may not even read does not exist for them.
    """
    if caller.app is not None and not caller.as_app:
        if repository.id not in caller.app.repositories:
            raise not_found()
        needed = "read" if role == "read" else "write"
        grants = (caller.app.permissions.get(name, "none") for name in permission)
        if not any(_GRANTS.index(grant) >= _GRANTS.index(needed) for grant in grants):
            raise not_for_integration()
        return
    held = ROLES.index(repository.role_of(caller.login))
    if held < ROLES.index("read"):
        raise not_found()
    if held < ROLES.index(role) or (role != "read" and not caller.login):
        raise must_have_rights()
