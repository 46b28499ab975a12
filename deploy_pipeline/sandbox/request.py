"""One request, and what may be said in its query: options with the server's checks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from deploy_pipeline.sandbox.errors import invalid_option, required, unsupported
from deploy_pipeline.sandbox.kinds import Resource

VALIDATIONS = ("", "Ignore", "Strict", "Warn")


@dataclass(frozen=True)
class Options:
    """How a write shall be done."""

    dry_run: bool
    manager: str
    validation: str
    force: bool


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    code: int
    body: Any
    warnings: tuple[str, ...] = ()
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A parsed HTTP request."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def query(self) -> dict[str, str]:
        """The last value of each query parameter."""
        found = parse_qs(self.query_string, keep_blank_values=True) if self.query_string else {}
        return {key: values[-1] for key, values in found.items()}

    def flag(self, name: str) -> bool:
        """A boolean parameter."""
        return self.query.get(name, "").lower() in ("1", "t", "true")

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "application/json").partition(";")[0].strip()

    @property
    def accept(self) -> str:
        """What the client wants to read."""
        return self.headers.get("accept", "")

    def dry_run(self, kind: str, value: str = "") -> bool:
        """Whether nothing may be written."""
        value = value or self.query.get("dryRun", "")
        if value not in ("", "All"):
            cause = unsupported("dryRun", [value], ["All"])
            raise invalid_option(kind, cause)
        return value == "All"

    def options(self, kind: str, *, applying: bool = False) -> Options:
        """The options of a write; `kind` is the options type that errors name."""
        manager = self.query.get("fieldManager", "")
        if applying and not manager:
            raise invalid_option(kind, required("fieldManager", "is required for apply patch"))
        validation = self.query.get("fieldValidation", "")
        if validation not in VALIDATIONS:
            raise invalid_option(kind, unsupported("fieldValidation", validation, VALIDATIONS))
        agent = self.headers.get("user-agent", "").partition("/")[0][:128]
        return Options(self.dry_run(kind), manager or agent, validation or "Warn", self.flag("force"))


@dataclass(frozen=True)
class Target:
    """What a path under /api or /apis names."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
