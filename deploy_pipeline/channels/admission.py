"""What a channel lets its objects be: kinds, namespaces and registries beyond the default, and how strictly.

These rules are read from what was *released* last, never from the commit that is judged
(``deploy_pipeline.admission``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from deploy_pipeline.channels.document import NotText
from deploy_pipeline.channels.faults import shown
from deploy_pipeline.channels.section import Section

ImageMode = Literal["check", "digest", "off"]

_KIND = r"\*|[A-Z][A-Za-z0-9]*(\.[a-z0-9][a-z0-9.-]*)?"
_NAMESPACE = r"[a-z0-9*][a-z0-9*-]*"
_REGISTRY = r"([a-z0-9-]+(\.[a-z0-9-]+)+|localhost)(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*"


def _kind(pattern: str) -> str:
    if not re.fullmatch(_KIND, pattern):
        raise ValueError(f"must be a kind such as ClusterRole or ClusterIssuer.cert-manager.io, not {shown(pattern)}")
    return pattern


def _namespace(pattern: str) -> str:
    if not re.fullmatch(_NAMESPACE, pattern):
        raise ValueError(f"must be a namespace such as monitoring or team-*, not {shown(pattern)}")
    return pattern


def _registry(prefix: str) -> str:
    if not re.fullmatch(_REGISTRY, prefix):
        raise ValueError(f"must begin with a registry, such as ghcr.io/team or docker.io/library, not {shown(prefix)}")
    return prefix


def _image_mode(value: Any) -> Any:
    return value.word if isinstance(value, NotText) else value  # `off` is a boolean to YAML


class Allow(Section):
    """What the objects of a channel may be besides namespaced kinds in their app's own namespaces."""

    kinds: tuple[Annotated[str, AfterValidator(_kind)], ...] = Field(
        (), description="Cluster-wide kinds, such as ClusterRole or ClusterIssuer.cert-manager.io; `*` for all."
    )
    namespaces: tuple[Annotated[str, AfterValidator(_namespace)], ...] = Field(
        (), description="Namespaces that are not an app's own; `*` stands for any characters."
    )
    registries: tuple[Annotated[str, AfterValidator(_registry)], ...] = Field(
        (), description="Registries, or repositories in them, that images may come from; empty: any."
    )


Images = Annotated[
    ImageMode, BeforeValidator(_image_mode), WithJsonSchema({"enum": ["check", "digest", "off"], "type": "string"})
]


@dataclass(frozen=True)
class AdmissionPolicy:
    """The channel's rules on its objects; ``images`` says whether images must exist, or are pinned to digests too."""

    allow: Allow = field(default_factory=Allow)
    plain_secrets: Literal["warn", "refuse"] = "warn"
    images: ImageMode = "check"
