"""One request and its answer, and what may be said in a query: options with the server's checks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from deploy_pipeline.sandbox.errors import Json, cause, invalid_option, unsupported

VALIDATIONS = ("", "Ignore", "Strict", "Warn")
LONGEST_MANAGER = 128
POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True)
class Options:
    """How a write shall be done; `unknown` are fields that get lost, `warnings` what the client is told."""

    manager: str
    dry_run: bool = False
    validation: str = "Ignore"
    force: bool = False
    unknown: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete; `uid` and `version` are preconditions."""

    policy: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    code: int
    body: Any
    warnings: Sequence[str] = ()
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
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

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

    def _dry_run(self, kind: str, value: str = "") -> bool:
        value = value or self.query.get("dryRun", "")
        if value not in ("", "All"):
            raise invalid_option(kind, unsupported("dryRun", [value], ["All"]))
        return value == "All"

    def options(self, kind: str, *, applying: bool = False) -> Options:
        """The options of a write; `kind` is the options type that errors name."""
        manager, validation = self.query.get("fieldManager", ""), self.query.get("fieldValidation", "")
        if applying and not manager:
            raise invalid_option(kind, cause("Required", "fieldManager", "is required for apply patch"))
        if len(manager) > LONGEST_MANAGER:
            raise invalid_option(
                kind, cause("TooLong", "fieldManager", f"may not be more than {LONGEST_MANAGER} bytes")
            )
        if validation not in VALIDATIONS:
            raise invalid_option(kind, unsupported("fieldValidation", validation, VALIDATIONS))
        agent = self.headers.get("user-agent", "").partition("/")[0][:LONGEST_MANAGER]
        return Options(manager or agent, self._dry_run(kind), validation or "Warn", self.flag("force"))

    def delete_options(self, body: Json) -> DeleteOptions:
        """The options of a delete; the body and the query may both say them."""
        policy = self.query.get("propagationPolicy") or body.get("propagationPolicy") or ""
        orphan = body.get("orphanDependents", self.query.get("orphanDependents"))
        if orphan is not None and not policy:
            policy = "Orphan" if orphan in (True, "true") else "Background"
        if policy and policy not in POLICIES:
            raise invalid_option("DeleteOptions", unsupported("propagationPolicy", policy, [*POLICIES, "nil"]))
        wanted = body.get("preconditions") or {}
        dry = self._dry_run("DeleteOptions", "".join(body.get("dryRun") or ()))
        return DeleteOptions(policy, wanted.get("uid", ""), wanted.get("resourceVersion", ""), dry)
