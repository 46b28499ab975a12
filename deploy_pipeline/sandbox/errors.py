"""What the API answers when it refuses: a `Status`, worded as kube-apiserver words it.

Every refusal is one `ApiError`; helpers here build the common ones, so that handlers say *what* is wrong and never
assemble a Status themselves. See "Response Status Kind" in the API conventions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # which itself needs the words of this module
    from deploy_pipeline.sandbox.kinds import Resource

Json = dict[str, Any]
Cause = dict[str, str]  # one invalid field of an object: reason, message, field
NOTHING: Any = object()
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
REFUSALS: Mapping[str, tuple[int, str]] = {
    "AlreadyExists": (409, '{key} "{name}" already exists'),
    "Conflict": (409, 'Operation cannot be fulfilled on {key} "{name}": {why}'),
    "Forbidden": (403, '{key} "{name}" is forbidden: {why}'),
    "NotFound": (404, '{key} "{name}" not found'),
}
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode  # made once: json.dumps makes one a call
CAUSES: Mapping[str, str] = {
    "Duplicate": "Duplicate value",
    "Forbidden": "Forbidden",
    "Invalid": "Invalid value",
    "NotFound": "Not found",
    "NotSupported": "Unsupported value",
    "Required": "Required value",
    "TooLong": "Too long",
    "TypeInvalid": "Invalid value",
}


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message says what to do."""


class ApiError(Exception):
    """Ends a request with a Status of the given HTTP code."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.body["message"] = message
        if reason:
            self.body["reason"] = reason
        if details is not None:
            self.body["details"] = {key: value for key, value in details.items() if value}
        self.body["code"] = code


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def internal(message: str) -> ApiError:
    """500 without a reason: how the server reports plain Go errors, typed-patch errors among them."""
    return ApiError(500, "", message)


def no_resource() -> ApiError:
    """404: no such resource in a group that exists."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """405: the path exists, the verb does not."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def refusal(reason: str, resource: Resource, name: str, why: str = "", causes: Sequence[Cause] = ()) -> ApiError:
    """One of REFUSALS about an object."""
    code, text = REFUSALS[reason]
    details = {"name": name, "group": resource.group, "kind": resource.plural, "causes": list(causes)}
    return ApiError(code, reason, text.format(key=resource.key, name=name, why=why or MODIFIED), details)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: one or more fields are wrong."""
    texts = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in causes))
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f'{kind}{"." * bool(group)}{group} "{name}" is invalid: {joined}'
    return ApiError(422, "Invalid", message, {"name": name, "group": group, "kind": kind, "causes": list(causes)})


def invalid_option(kind: str, found: Cause) -> ApiError:
    """422: a wrong query parameter, reported as a field of the options object."""
    return invalid("meta.k8s.io", kind, "", [found])


def text_of(value: Any) -> str:
    """A value as error messages quote it: compact JSON with sorted keys."""
    return _SORTED.encode(value)


def cause(kind: str, field: str, detail: str = "", value: Any = NOTHING) -> Cause:
    """What is wrong with a field: one of CAUSES, the value if it is quoted, and how a right one looks."""
    parts = [CAUSES[kind], *([] if value is NOTHING else [text_of(value)]), *([detail] if detail else [])]
    return {"reason": f"FieldValue{kind}", "message": ": ".join(parts), "field": field}


def unsupported(field: str, value: Any, allowed: Sequence[Any]) -> Cause:
    """The value is none of the possible ones."""
    return cause("NotSupported", field, "supported values: " + ", ".join(map(text_of, allowed)), value)
