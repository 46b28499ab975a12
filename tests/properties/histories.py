"""Random histories of an app: a first state, what others do to it in the cluster, a second state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.properties.drawing import IMAGES, LABEL_VALUES, LABELS, OTHER, Drawn, Json, metadata, several, some
from tests.properties.manifests import KINDS, Kind

_BY_KIND = {kind[1]: kind for kind in KINDS}
_OUTSIDERS = tuple(_BY_KIND[name] for name in ("ConfigMap", "Secret", "Service", "Role", "ServiceAccount"))
_DEFINITION = "CustomResourceDefinition"
_NEVER_DROPPED = ("PersistentVolumeClaim", "Namespace")
_FEWEST, _MOST = 3, 7


class _Plain(yaml.SafeDumper):
    """Writes equal parts out each time."""

    def ignore_aliases(self, _: Any) -> bool:
        """Never an alias."""
        return True


@dataclass(frozen=True)
class Deed:
    """What somebody else does to one object: ``how``, and the manifest or patch it is done with."""

    how: str
    manifest: Json


@dataclass(frozen=True, repr=False)
class History:
    """The manifests of each app in two states, and what happens in the cluster in between.

    An app that is not in a state is not in the channel then. ``keys``: what else the channel file says, of each ``app``
    and of the ``channel``.
    """

    first: dict[str, list[Json]]
    deeds: list[Deed]
    second: dict[str, list[Json]]
    driver: str = "kustomize"
    keys: dict[str, Json] = field(default_factory=dict)

    def __repr__(self) -> str:
        parts = {"first": self.first, "deeds": [(d.how, d.manifest) for d in self.deeds], "second": self.second}
        return "\n" + yaml.dump(
            {**parts, "driver": self.driver, "keys": self.keys}, Dumper=_Plain, sort_keys=False, width=110
        )


_HOOK = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}
_JOB_HOOK = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {
        "template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGES[0], "args": ["-v"]}]}
        }
    },
}


def _hook(manifest: Json, name: str, events: str, policy: str) -> Json:
    annotations = {"helm.sh/hook": events, "helm.sh/hook-delete-policy": policy}
    return {**manifest, "metadata": {"name": name, "annotations": annotations}}


@dataclass(frozen=True)
class Cast:
    """What histories are made of.

    ``ways`` are those in which others write over an object; ``states`` those between which an object is made anew;
    ``keys`` what the channel file says besides.
    """

    driver: str
    kinds: tuple[Kind, ...]
    apps: tuple[str, ...]
    namespaces: tuple[str, ...]
    ways: tuple[str, ...]
    hooks: tuple[Json, ...] = ()
    states: tuple[str, ...] = ("",)
    keys: Mapping[str, Json] = field(default_factory=dict)


KUSTOMIZE = Cast("kustomize", KINDS, ("web", "web", "side"), ("@", "@", "@-b"), ("merge", "replace", "apply"))
RECREATING = replace(
    KUSTOMIZE,
    states=("", OTHER),
    keys={"app": {"recreate": True}, "channel": {"prune_kinds": ["PersistentVolumeClaim"]}},
)
# Rules for fields that the histories do change, in objects of the app and by others.
IGNORING = replace(
    KUSTOMIZE,
    kinds=tuple(
        kind
        for kind in KINDS
        if kind[1] in ("ConfigMap", "Deployment", "StatefulSet", "CronJob", "Role", "Lamp", _DEFINITION)
    ),
    keys={
        "app": {
            "ignore": [
                {"kind": "ConfigMap", "fields": ["data.a", "metadata.labels.tier"]},
                {"kind": "Deployment", "fields": ["spec.replicas", "spec.template.spec.containers[main].image"]},
                {"kind": "StatefulSet", "fields": ["spec.template.spec.tolerations"]},
                {"kind": "Role", "fields": ["rules"]},
                {"kind": "CronJob", "name": "x", "fields": ["spec.suspend", "spec.schedule"]},
                {"kind": "Lamp", "fields": ["spec.parts[bulb].watt", "spec.tags", "spec.free"]},
            ]
        }
    },
)
TAKING_OVER = replace(KUSTOMIZE, apps=("web",), ways=("merge", "apply"))
# Helm refuses what is not annotated as its own, so nobody replaces whole objects; definitions are tried by the others,
# and a chart must not drop volumes and namespaces.
HELM = Cast(
    "helm",
    tuple(kind for kind in KINDS if kind[1] not in (_DEFINITION, "Lamp", *_NEVER_DROPPED)),
    ("web",),
    ("@",),
    ("merge", "apply"),
    (
        _hook(_HOOK, "before", "pre-install,pre-upgrade", "before-hook-creation"),
        _hook(_HOOK, "passing", "pre-upgrade", "hook-succeeded"),
        _hook(_JOB_HOOK, "after", "post-install,post-upgrade", "before-hook-creation"),
    ),
)


HELM_RECREATING = replace(HELM, states=("", OTHER), keys={"app": {"recreate": True}})


@dataclass(frozen=True)
class _Slot:
    """One object that a history is about."""

    kind: Kind
    name: str
    namespace: str
    app: str
    states: tuple[str, ...] = ("",)

    def manifests(self) -> Drawn:
        """Its manifests: the frozen part is the same in each state."""
        version, kind, cluster_wide, body = self.kind
        name = _cluster_wide_name(kind, self.name) if cluster_wide else self.name
        whole = {"name": name} if cluster_wide else {"name": name, "namespace": self.namespace}
        bodies = st.sampled_from(self.states).flatmap(lambda state: body(self.name + state))
        return st.tuples(metadata, bodies).map(
            lambda drawn: {"apiVersion": version, "kind": kind, "metadata": {**drawn[0], **whole}, **drawn[1]}
        )


def _cluster_wide_name(kind: str, name: str) -> str:
    return "lamps.@.example.org" if kind == _DEFINITION else f"@-{name}"


@st.composite
def histories(draw: st.DrawFn, cast: Cast) -> History:
    """A history of one or two apps with a few objects."""
    slots = draw(_slots(cast))
    apps = sorted({slot.app for slot in slots})
    first: dict[str, list[Json]] = {app: [] for app in apps}
    second: dict[str, list[Json]] = {app: [] for app in apps}
    for slot in slots:
        before = draw(st.none() | slot.manifests())
        after = draw(st.one_of(st.just(before), slot.manifests(), st.none()))
        if before:
            first[slot.app].append(before)
        if after:
            second[slot.app].append(after)
    for state in (first, second):
        _without_orphans(state)
        state[apps[0]] += draw(several(*cast.hooks))
    leaves = draw(st.sampled_from(apps)) if len(apps) > 1 and draw(st.booleans()) else None
    deeds = draw(st.lists(st.sampled_from(slots).flatmap(lambda slot: _deeds(slot, cast)), min_size=1, max_size=5))
    return History(first, deeds, {app: second[app] for app in apps if app != leaves}, cast.driver, dict(cast.keys))


def _without_orphans(state: dict[str, list[Json]]) -> None:
    """Take custom resources out of a state that does not define them: such a state is no app that could run."""
    kinds = {manifest["kind"] for manifests in state.values() for manifest in manifests}
    if _DEFINITION not in kinds:
        for app, manifests in state.items():
            state[app] = [manifest for manifest in manifests if manifest["kind"] != "Lamp"]


@st.composite
def _slots(draw: st.DrawFn, cast: Cast) -> list[_Slot]:
    kind, name = st.sampled_from(cast.kinds), st.sampled_from("xy")
    chosen = draw(st.lists(st.tuples(kind, name), unique=True, min_size=_FEWEST, max_size=_MOST))
    if any(kind[1] == "Lamp" for kind, _ in chosen):
        chosen.append((_BY_KIND[_DEFINITION], "x"))
    return [
        # A definition and what it defines are in one app: another app's plan could not count on it.
        _Slot(
            kind,
            name,
            draw(st.sampled_from(cast.namespaces)),
            cast.apps[0] if kind[1] in ("Lamp", _DEFINITION) else draw(st.sampled_from(cast.apps)),
            cast.states,
        )
        for kind, name in dict.fromkeys(_one_definition(chosen))
    ]


def _one_definition(chosen: list[tuple[Kind, str]]) -> list[tuple[Kind, str]]:
    return [(kind, "x" if kind[1] == _DEFINITION else name) for kind, name in chosen]


def _deeds(slot: _Slot, cast: Cast) -> st.SearchStrategy[Deed]:
    """What may be done to an object of the app by others, or beside it."""
    stub = slot.manifests().map(
        lambda m: {**m, "metadata": {k: m["metadata"][k] for k in ("name", "namespace") if k in m["metadata"]}}
    )
    relabelled = st.tuples(stub, some(st.sampled_from((*LABEL_VALUES, None)), *LABELS)).map(_relabelled)
    found = [
        st.builds(Deed, st.sampled_from(cast.ways), slot.manifests()),
        st.builds(Deed, st.just("merge"), relabelled),
        st.builds(Deed, st.just("delete"), stub),
        st.builds(Deed, st.just("create"), st.sampled_from(_OUTSIDERS).flatmap(_outsider)),
    ]
    if slot.kind[1] in ("Deployment", "StatefulSet"):
        found.append(st.builds(lambda m, n: Deed("scale", {**m, "spec": {"replicas": n}}), stub, st.integers(0, 2)))
    return st.one_of(found)


def _relabelled(drawn: tuple[Json, Json]) -> Json:
    manifest, labels = drawn
    named = {name: manifest[name] for name in ("apiVersion", "kind")}
    return {**named, "metadata": {**manifest["metadata"], "labels": labels}}


def _outsider(kind: Kind) -> Drawn:
    """An object of nobody's app; it may have the name of one that the second state brings."""
    return st.sampled_from(("x", "outsider")).flatmap(lambda name: _Slot(kind, name, "@", "").manifests())
