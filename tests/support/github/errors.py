"""Every refusal of the stand-in, in GitHub's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DOCUMENTATION = "https://docs.github.com/rest"


class ApiError(Exception):
    """An answer that is no success: status, document and headers."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status), **more}
        self.headers = dict(headers or {})


def not_found(message: str = "Not Found") -> ApiError:
    """Not there, or not for this caller: GitHub does not tell which."""
    return ApiError(404, message)


def bad_credentials() -> ApiError:
    """The token is wrong, expired or revoked."""
    return ApiError(401, "Bad credentials")


def not_for_integration() -> ApiError:
    """The App was not given this permission."""
    return ApiError(403, "Resource not accessible by integration")


def must_have_rights() -> ApiError:
    """A person who may read but not do this."""
    return ApiError(403, "Resource not accessible by personal access token")


def invalid(resource: str, code: str, field: str = "", message: str = "") -> ApiError:
    """A request that GitHub understands and does not accept."""
    error = {"resource": resource, "code": code, **({"field": field} if field else {})}
    return ApiError(422, "Validation Failed", errors=[{**error, **({"message": message} if message else {})}])


def too_long(resource: str, field: str, limit: int) -> ApiError:
    """A text beyond GitHub's limit."""
    return invalid(resource, "custom", field, f"{field} is too long (maximum is {limit} characters)")


def not_mergeable(message: str = "Pull Request is not mergeable") -> ApiError:
    """Conflict, closed or blocked."""
    return ApiError(405, message)


def primary_rate_limit(limit: int, reset: int, status: int = 403) -> ApiError:
    """The hour's requests are used up; ``reset`` is the second of the epoch when they are there again."""
    headers = {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
    return ApiError(status, "API rate limit exceeded for user ID 1.", headers=headers)


def secondary_rate_limit(retry_after: int | None, status: int = 403) -> ApiError:
    """Too much at once; GitHub says how long to wait, or does not."""
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return ApiError(status, message, headers={} if retry_after is None else {"retry-after": str(retry_after)})
