"""What a channel or app allows: how promotions are decided, what may be pruned, whose fields are somebody else's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from deploy_pipeline.channels.document import NotText
from deploy_pipeline.channels.faults import shown
from deploy_pipeline.channels.field_path import FieldPath, ignorable
from deploy_pipeline.channels.section import Section

ProtectedKind = Literal["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"]
"""Deleting an object of these kinds deletes what is in it or of it."""

_PIPELINES_OWN = ("candidates/", "releases/")  # branches; nobody commits to them


@dataclass(frozen=True)
class PruneLimit:
    """The most objects of one app that a release may prune: a share of the app's objects, a number, the greater."""

    percent: int = 30
    number: int = 10

    def of(self, objects: int) -> int:
        """The limit for an app of that many objects."""
        return max(self.number, objects * self.percent // 100)

    def __str__(self) -> str:
        words = [f"{self.percent} %"] if self.percent else []
        words += [str(self.number)] if self.number or not self.percent else []
        return " or ".join(words)


@dataclass(frozen=True)
class PrunePolicy:
    """What a release may delete: how many objects of an app, and of which kinds that hold others' data."""

    limit: PruneLimit = field(default_factory=PruneLimit)
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PromotionPolicy:
    """How promotions to a channel come about and are decided.

    ``reviews`` is the number of approvals a pull request needs; with ``code_owners``, CODEOWNERS has a say too; with
    ``signed_commits``, commits of the source must be signed. With ``accept_change_set`` a release that was refused may
    be let through by a launch that names the digest. ``promote`` says who opens the pull request of the candidate of
    ``promote_from``: a person, or the deployer.
    """

    reviews: int = 1
    code_owners: bool = False
    signed_commits: bool = False
    accept_change_set: bool = False
    promote: Literal["manual", "auto-pr"] = "manual"
    promote_from: str = "main"

    def opens_by_itself(self, source_branch: str) -> bool:
        """Whether the deployer opens the pull request of this branch's candidate."""
        return self.promote == "auto-pr" and self.promote_from == source_branch


def _prune_limit(value: Any) -> PruneLimit:
    if isinstance(value, PruneLimit):
        return value
    match = re.fullmatch(r"([0-9]{1,6})(%?)", str(value)) if isinstance(value, (str, NotText)) else None
    if not match or (match[2] and int(match[1]) > 100):
        raise ValueError(f"must be a number of objects such as 25, or a share such as 50%, not {shown(value)}")
    return PruneLimit(percent=int(match[1]), number=0) if match[2] else PruneLimit(percent=0, number=int(match[1]))


def _reviews(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, NotText) and re.fullmatch("[0-9]{1,2}", value.word):
        return int(value.word)
    raise ValueError(f"must be a number of approvals such as 2, not {shown(value)}")


def _source_branch(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./+@#=-]*", name) or name.startswith(_PIPELINES_OWN):
        raise ValueError(f"must be a branch that people commit to, such as main, not {shown(name)}")
    return name


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, NotText) and value.word in ("true", "false"):
        return value.word == "true"
    raise ValueError(f"must be true or false, not {shown(value)}")


def _some(fields: tuple[str, ...]) -> tuple[str, ...]:
    if not fields:
        raise ValueError("must name a field; to leave a whole object alone, take it out of the app")
    return fields


Limit = Annotated[
    PruneLimit,
    BeforeValidator(_prune_limit),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,6}%?$"}]}),
]
Reviews = Annotated[int, BeforeValidator(_reviews), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 99})]
SourceBranch = Annotated[str, AfterValidator(_source_branch)]
Switch = Annotated[bool, BeforeValidator(_switch), WithJsonSchema({"type": "boolean"})]


class IgnoreRule(Section):
    """Fields of objects that somebody else owns: a controller, an autoscaler, an injector of certificates."""

    kind: str = Field(description="Kind of the objects, such as Deployment.")
    name: str = Field("*", description="Name of the object; `*` stands for any characters.")
    fields: Annotated[tuple[Annotated[str, AfterValidator(ignorable)], ...], AfterValidator(_some)] = Field(
        description="Paths as change sets show them, such as `spec.replicas` or `spec.ports[*].nodePort`."
    )

    @property
    def paths(self) -> tuple[FieldPath, ...]:
        """The fields, read."""
        return tuple(FieldPath.parse(path) for path in self.fields)
