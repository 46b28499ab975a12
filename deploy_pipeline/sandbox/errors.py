"""What the API answers when it refuses: a `Status`, worded as kube-apiserver words it.

Every refusal is one `ApiError`; helpers here build the common ones, so that handlers say *what* is
wrong and never assemble a Status themselves. See "Response Status Kind" in the API conventions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message says what to do."""


@dataclass(frozen=True)
class Cause:
    """One invalid field of an object."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """Ends a request with a Status of the given HTTP code."""

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, *, status: str = "Failure"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status}
        self.body["message"] = message
        if reason:
            self.body["reason"] = reason
        if details is not None:
            self.body["details"] = details
        self.body["code"] = code


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def internal(message: str) -> ApiError:
    """500 without a reason: how the server reports plain Go errors, typed-patch errors among them."""
    return ApiError(500, "", message)


def no_resource() -> ApiError:
    """404: no such resource in a group that exists."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", message, {})


def method_not_allowed() -> ApiError:
    """405: the path exists, the verb does not."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def qualified(plural: str, group: str) -> str:
    """`deployments.apps`, as messages name a resource or kind."""
    return f"{plural}.{group}" if group else plural


def details_of(name: str, group: str, kind: str, **more: Any) -> Json:
    """StatusDetails without empty members."""
    found = {"name": name, "group": group, "kind": kind, **more}
    return {key: value for key, value in found.items() if value}


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404: no such object."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details_of(name, group, plural))


def already_exists(group: str, plural: str, name: str, *, deleting: bool = False) -> ApiError:
    """409: the name is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    message = f"object is being deleted: {message}" if deleting else message
    return ApiError(409, "AlreadyExists", message, details_of(name, group, plural))


def conflict(group: str, plural: str, name: str, why: str = "") -> ApiError:
    """409: optimistic locking failed."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details_of(name, group, plural))


def forbidden(group: str, plural: str, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiError:
    """403: admission refuses."""
    message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    listed = [vars(cause) for cause in causes]
    return ApiError(403, "Forbidden", message, details_of(name, group, plural, causes=listed))


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: one or more fields are wrong."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    listed = [vars(cause) for cause in causes]
    return ApiError(
        422,
        "Invalid",
        f'{qualified(kind, group)} "{name}" is invalid: {joined}',
        details_of(name, group, kind, causes=listed),
    )


def invalid_option(kind: str, cause: Cause) -> ApiError:
    """422: a wrong query parameter, reported as a field of the options object."""
    return invalid("meta.k8s.io", kind, "", [cause])


def text_of(value: Any) -> str:
    """A value as error messages quote it: compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def required(field: str, detail: str = "") -> Cause:
    """The field has to be there."""
    return Cause("FieldValueRequired", f"Required value{': ' if detail else ''}{detail}", field)


def invalid_value(field: str, value: Any, detail: str) -> Cause:
    """The value is wrong; `detail` says how a right one looks."""
    return Cause("FieldValueInvalid", f"Invalid value: {text_of(value)}: {detail}", field)


def unsupported(field: str, value: Any, allowed: Sequence[str]) -> Cause:
    """The value is none of the possible ones."""
    listed = ", ".join(text_of(item) for item in allowed)
    message = f"Unsupported value: {text_of(value)}: supported values: {listed}"
    return Cause("FieldValueNotSupported", message, field)


def duplicate(field: str, value: Any) -> Cause:
    """The value is there twice."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {text_of(value)}", field)


def not_found_value(field: str, value: Any) -> Cause:
    """The value names something that is not there."""
    return Cause("FieldValueNotFound", f"Not found: {text_of(value)}", field)


def forbidden_field(field: str, detail: str) -> Cause:
    """The field may not be set or changed now."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)
