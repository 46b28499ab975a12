"""The resources that are served, built-in and custom: which path is which kind.

Paths, verbs and definitions are derived data, the rest is in `data/kinds.yaml`. A CustomResourceDefinition adds its
resources at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.schema import Definitions, Node, data

TABLE: Json = data("kinds")
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, eq=False)
class Resource:
    """One collection of objects at one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: Sequence[str]
    subresources: Mapping[str, Sequence[str]]
    node: Node
    singular: str
    short_names: Sequence[str]
    categories: Sequence[str]
    list_kind: str
    custom: Json = field(default_factory=dict)  # the version's entry in the CRD, for custom kinds

    @cached_property
    def group_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def key(self) -> str:
        """Where objects are stored; all versions of a resource share it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own endpoint only."""
        return "status" in self.subresources

    @cached_property
    def has_generation(self) -> bool:
        """Whether metadata.generation counts changes of the desired state."""
        return bool(self.custom) or self.plural in TABLE["generation"]

    def listed_in(self, table: str) -> bool:
        """Whether this is a built-in resource with a habit of `data/kinds.yaml`."""
        return not self.custom and self.plural in TABLE[table]

    def at_version(self, value: Json) -> Json:
        """A stored object under the version it was asked for (conversion strategy None)."""
        same = value["apiVersion"] == self.group_version
        return value if same else {**value, "apiVersion": self.group_version}


@dataclass(frozen=True)
class Target:
    """What a path under /api or /apis names."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Kinds:
    """All resources by path; custom kinds come and go at run time."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._builtin = [_builtin(definitions, **entry) for entry in definitions.resources]
        self._custom: dict[str, list[Resource]] = {}
        self.generation = 0
        self._reindex()

    def _reindex(self) -> None:
        self._index = {(r.group, r.version, r.plural): r for r in self}
        self._storages = {resource.key: resource for resource in reversed(list(self))}
        self.generation += 1

    def __iter__(self) -> Iterator[Resource]:
        yield from self._builtin
        for name in sorted(self._custom):
            yield from self._custom[name]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource of a path."""
        return self._index.get((group, version, plural))

    def storage(self, key: str) -> Resource:
        """The preferred resource of a place of storage."""
        return self._storages[key]

    def groups(self) -> dict[str, list[str]]:
        """The versions of each group, preferred one first."""
        found: dict[str, dict[str, None]] = {}
        for resource in self:
            found.setdefault(resource.group, {})[resource.version] = None
        return {group: list(versions) for group, versions in found.items()}

    def at(self, group: str, version: str) -> list[Resource]:
        """The resources of a group version in discovery order."""
        return sorted((r for r in self if (r.group, r.version) == (group, version)), key=lambda r: r.plural)

    def define(self, crd: Json) -> None:
        """Serve the kinds of a CustomResourceDefinition."""
        served = [v for v in crd["spec"].get("versions", ()) if v.get("served")]
        served.sort(key=lambda v: not v.get("storage"))
        self._custom[crd["metadata"]["name"]] = [_custom(self.definitions, crd["spec"], version) for version in served]
        self._reindex()

    def forget(self, name: str) -> None:
        """Serve them no longer."""
        self._custom.pop(name, None)
        self._reindex()


def _builtin(definitions: Definitions, definition: str, plural: str, kind: str, **entry: Any) -> Resource:
    return Resource(
        plural=plural,
        kind=kind,
        node=definitions.node(definition),
        singular=kind.lower(),
        short_names=TABLE["short names"].get(plural, ()),
        categories=tuple(name for name, members in TABLE["categories"].items() if plural in members),
        list_kind=kind + "List",
        **entry,
    )


def _custom(definitions: Definitions, spec: Json, version: Json) -> Resource:
    names = spec["names"]
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        verbs=CUSTOM_VERBS,
        subresources={name: STATUS_VERBS for name in ("status", "scale") if name in version.get("subresources", ())},
        node=definitions.custom(version.get("schema", {}).get("openAPIV3Schema", {"type": "object"})),
        singular=names.get("singular", ""),
        short_names=names.get("shortNames", ()),
        categories=names.get("categories", ()),
        list_kind=names.get("listKind", names["kind"] + "List"),
        custom=version,
    )
