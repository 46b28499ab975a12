"""The resources that are served, built-in and custom: which path is which kind.

Paths, verbs and definitions are derived data; short names, categories and the few habits of single
kinds that no schema tells are listed here. A CustomResourceDefinition adds its resources at once.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.schema import Definitions, Node

SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "certificatesigningrequests": ("csr",),
    "componentstatuses": ("cs",),
    "configmaps": ("cm",),
    "cronjobs": ("cj",),
    "customresourcedefinitions": ("crd", "crds"),
    "daemonsets": ("ds",),
    "deployments": ("deploy",),
    "endpoints": ("ep",),
    "events": ("ev",),
    "horizontalpodautoscalers": ("hpa",),
    "ingresses": ("ing",),
    "ipaddresses": ("ip",),
    "limitranges": ("limits",),
    "namespaces": ("ns",),
    "networkpolicies": ("netpol",),
    "nodes": ("no",),
    "persistentvolumeclaims": ("pvc",),
    "persistentvolumes": ("pv",),
    "poddisruptionbudgets": ("pdb",),
    "pods": ("po",),
    "priorityclasses": ("pc",),
    "replicasets": ("rs",),
    "replicationcontrollers": ("rc",),
    "resourcequotas": ("quota",),
    "serviceaccounts": ("sa",),
    "services": ("svc",),
    "statefulsets": ("sts",),
    "storageclasses": ("sc",),
    "validatingwebhookconfigurations": (),
    "volumeattributesclasses": ("vac",),
}
IN_ALL = frozenset(
    "pods services replicationcontrollers daemonsets deployments replicasets statefulsets cronjobs "
    "horizontalpodautoscalers jobs".split()
)
API_EXTENSIONS = frozenset(
    "customresourcedefinitions mutatingwebhookconfigurations validatingwebhookconfigurations "
    "apiservices validatingadmissionpolicies validatingadmissionpolicybindings "
    "mutatingadmissionpolicies mutatingadmissionpolicybindings".split()
)
WITH_GENERATION = frozenset(
    "deployments replicasets statefulsets daemonsets jobs cronjobs ingresses ingressclasses "
    "networkpolicies poddisruptionbudgets priorityclasses customresourcedefinitions pods "
    "replicationcontrollers validatingwebhookconfigurations mutatingwebhookconfigurations "
    "flowschemas prioritylevelconfigurations endpointslices validatingadmissionpolicies "
    "validatingadmissionpolicybindings".split()
)
ANSWERS_DELETED_OBJECT = frozenset(
    "pods services serviceaccounts persistentvolumes persistentvolumeclaims podtemplates resourcequotas".split()
)
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")
SCALABLE = {"scale": STATUS_VERBS}


@dataclass(frozen=True, eq=False)
class Resource:
    """One collection of objects at one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    subresources: Mapping[str, tuple[str, ...]]
    node: Node
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    list_kind: str = ""
    custom: Json = field(default_factory=dict)  # the version's entry in the CRD, for custom kinds
    definition: str = ""

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

    @property
    def has_generation(self) -> bool:
        """Whether metadata.generation counts changes of the desired state."""
        return bool(self.custom) or self.plural in WITH_GENERATION

    @property
    def storage_hash(self) -> str:
        """The storageVersionHash of discovery."""
        text = f"{self.group}/{self.version}/{self.kind}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


class Kinds:
    """All resources by path; lookups are cheap, custom kinds come and go at run time."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._builtin = [_builtin(definitions, entry) for entry in definitions.resources]
        self._custom: dict[str, list[Resource]] = {}
        self._index: dict[tuple[str, str, str], Resource] = {}
        self.generation = 0
        self._reindex()

    def _reindex(self) -> None:
        index = {(r.group, r.version, r.plural): r for r in self}
        self._storages = {resource.key: resource for resource in reversed(list(self))}
        self._index, self.generation = index, self.generation + 1

    def __iter__(self) -> Iterator[Resource]:
        yield from self._builtin
        for name in sorted(self._custom):
            yield from self._custom[name]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource of a path."""
        return self._index.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an object or owner reference; any version of the group will do."""
        group = api_version.rpartition("/")[0]
        found = [r for r in self if r.group == group and r.kind == kind]
        return next((r for r in found if r.group_version == api_version), found[0] if found else None)

    def storage(self, key: str) -> Resource:
        """The preferred resource of a place of storage."""
        return self._storages[key]

    def storages(self) -> list[Resource]:
        """One resource for each place of storage."""
        return list(self._storages.values())

    def groups(self) -> dict[str, list[str]]:
        """The versions of each group, preferred one first."""
        found: dict[str, list[str]] = {}
        for resource in self:
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        return found

    def at(self, group: str, version: str) -> list[Resource]:
        """The resources of a group version in discovery order."""
        found = [r for r in self if (r.group, r.version) == (group, version)]
        return sorted(found, key=lambda r: r.plural)

    def define(self, crd: Json) -> None:
        """Serve the kinds of a CustomResourceDefinition."""
        spec, name = crd["spec"], crd["metadata"]["name"]
        served = [v for v in spec.get("versions", ()) if v.get("served")]
        served.sort(key=lambda v: not v.get("storage"))
        self._custom[name] = [_custom(self.definitions, spec, version) for version in served]
        self._reindex()

    def forget(self, name: str) -> None:
        """Serve them no longer."""
        self._custom.pop(name, None)
        self._reindex()


def _builtin(definitions: Definitions, entry: Json) -> Resource:
    group, _, version = entry["gv"].rpartition("/")
    plural = entry["plural"]
    categories = [("all", plural in IN_ALL), ("api-extensions", plural in API_EXTENSIONS)]
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=entry["kind"],
        namespaced=entry["namespaced"],
        verbs=tuple(entry["verbs"]),
        subresources={name: tuple(verbs) for name, verbs in entry["sub"].items()},
        node=definitions.node(entry["definition"]),
        singular=entry["kind"].lower(),
        short_names=SHORT_NAMES.get(plural, ()),
        categories=tuple(name for name, member in categories if member),
        list_kind=entry["kind"] + "List",
        definition=entry["definition"],
    )


def _custom(definitions: Definitions, spec: Json, version: Json) -> Resource:
    names: dict[str, Any] = spec["names"]
    schema = version.get("schema", {}).get("openAPIV3Schema", {"type": "object"})
    known = version.get("subresources") or {}
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        verbs=CUSTOM_VERBS,
        subresources={name: STATUS_VERBS for name in ("status", "scale") if name in known},
        node=definitions.custom(schema),
        singular=names.get("singular", ""),
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        list_kind=names.get("listKind", names["kind"] + "List"),
        custom=version,
    )
