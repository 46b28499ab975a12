"""Random manifests of the kinds that apps are made of.

What the API server lets nobody change follows from an object's kind and name; the rest is drawn. So the two states of
an app, and what somebody else writes in between, are draws of the same strategy.

``@`` in a text stands for the name of the place where an example is tried: cluster-wide objects are called after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
Drawn = st.SearchStrategy[Json]

# The pause image runs for ever; with `-v` it says its version and ends.
IMAGES = ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.10")
TEXTS = ("", "a", "1", "1:30", "true", "null", "two\nlines\n", "ü “quoted” \\ ' \"", "x" * 60)
LABELS = ("app", "tier", "example.org/team")
LABEL_VALUES = ("a", "b", "")


def optional(**fields: st.SearchStrategy[Any]) -> Drawn:
    """An object that has any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def always(needed: Mapping[str, st.SearchStrategy[Any]], **fields: st.SearchStrategy[Any]) -> Drawn:
    """An object that has all of the needed and any of the other fields."""
    return st.fixed_dictionaries(dict(needed), optional=fields)


def some(values: st.SearchStrategy[Any], *names: str) -> Drawn:
    """An object with any of the names."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))


def several(*elements: Json, least: int = 0) -> st.SearchStrategy[list[Any]]:
    """Any of the elements, each at most once, in any order."""
    if not elements:
        return st.just([])
    return st.lists(st.sampled_from(elements), unique_by=str, min_size=least, max_size=len(elements))


def named(*names: str, least: int = 0, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of objects that go by the names, in any order, each with its own draw of the fields."""
    orders = st.lists(st.sampled_from(names), unique=True, min_size=least, max_size=len(names))
    return orders.flatmap(
        lambda order: st.tuples(*(st.fixed_dictionaries({"name": st.just(name), **fields}) for name in order)).map(list)
    )


texts = st.sampled_from(TEXTS)
labels = some(st.sampled_from(LABEL_VALUES), *LABELS)
metadata = optional(labels=labels, annotations=some(texts, "note", "example.org/reviewed.by"))
secret_values = st.sampled_from(("czNjcmV0LW9uZQ==", "czNjcmV0LXR3bw==", "czNjcmV0LXRocmVl"))  # s3cret-one, -two, …

_quantities = st.sampled_from(("10m", "100m", "0.5", "1", "1000m"))
_container = {
    "image": st.sampled_from(IMAGES),
    "env": named("MODE", "LEVEL", "PLACE", value=texts),
}
_containers = named("main", "side", least=1, **_container)
_prepared = always(
    {"containers": _containers},
    initContainers=st.lists(st.sampled_from(("first", "second")), unique=True).map(
        lambda names: [{"name": name, "image": IMAGES[0], "args": ["-v"]} for name in names]
    ),
    volumes=several({"name": "tmp", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}),
    tolerations=several({"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists", "effect": "NoSchedule"}),
    nodeSelector=st.just({}),
    terminationGracePeriodSeconds=st.just(1),
)
_limited = st.tuples(_prepared, some(_quantities, "cpu")).map(lambda pair: _with_requests(*pair))


def _with_requests(pod: Json, requests: Json) -> Json:
    if not requests:
        return pod
    first, *rest = pod["containers"]
    return {**pod, "containers": [{**first, "resources": {"requests": requests}}, *rest]}


def _template(name: str) -> Drawn:
    return st.fixed_dictionaries(
        {
            "metadata": optional(annotations=some(texts, "checksum")).map(lambda m: {**m, "labels": {"run": name}}),
            "spec": _limited,
        }
    )


def _deployment(name: str) -> Drawn:
    strategy = st.sampled_from(
        ({"type": "Recreate"}, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}})
    )
    return always(
        {"template": _template(name)},
        replicas=st.integers(0, 2),
        strategy=strategy,
        revisionHistoryLimit=st.integers(1, 3),
    ).map(lambda spec: {"spec": {**spec, "selector": {"matchLabels": {"run": name}}}})


def _stateful_set(name: str) -> Drawn:
    return always({"template": _template(name)}, replicas=st.integers(0, 2)).map(
        lambda spec: {"spec": {**spec, "serviceName": name, "selector": {"matchLabels": {"run": name}}}}
    )


def _job(name: str) -> Drawn:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGES[0], "args": ["-v"]}]}
    return optional(backoffLimit=st.integers(0, 3), activeDeadlineSeconds=st.sampled_from((600, 900))).map(
        lambda spec: {"spec": {**spec, "template": {"spec": pod}}}
    )


def _cron_job(name: str) -> Drawn:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGES[0], "args": ["-v"]}]}
    return always(
        {"schedule": st.sampled_from(("0 0 29 2 *", "30 1 29 2 *"))},
        suspend=st.booleans(),
        concurrencyPolicy=st.sampled_from(("Allow", "Forbid")),
        successfulJobsHistoryLimit=st.integers(0, 2),
    ).map(lambda spec: {"spec": {**spec, "jobTemplate": {"spec": {"template": {"spec": pod}}}}})


def _service(name: str) -> Drawn:
    ports = named("http", "admin", "metrics", least=1, port=st.just(0)).map(_numbered)
    return always(
        {"ports": ports},
        selector=some(st.just("a"), "run", "tier"),
        sessionAffinity=st.sampled_from(("None", "ClientIP")),
    ).map(lambda spec: {"spec": spec})


def _numbered(ports: list[Json]) -> list[Json]:
    numbers = {"http": 80, "admin": 8080, "metrics": 9090}
    return [{**port, "port": numbers[port["name"]]} for port in ports]


def _ingress(name: str) -> Drawn:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    paths = several(*({"path": path, "pathType": "Prefix", "backend": backend} for path in ("/", "/a", "/b")), least=1)
    rules = paths.flatmap(
        lambda chosen: several(
            {"host": "a.example.org", "http": {"paths": chosen}},
            {"host": "b.example.org", "http": {"paths": chosen}},
            least=1,
        )
    )
    return always({"rules": rules}, tls=several({"hosts": ["a.example.org"], "secretName": "a"})).map(
        lambda spec: {"spec": spec}
    )


def _budget(name: str) -> Drawn:
    amounts = st.sampled_from((1, "50%"))
    either = st.one_of(some(amounts, "minAvailable"), some(amounts, "maxUnavailable"))
    return either.map(lambda spec: {"spec": {**spec, "selector": {"matchLabels": {"run": name}}}})


_rules = several(
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["watch"]},
)


def _binding(name: str) -> Drawn:
    subjects = several(*({"kind": "ServiceAccount", "name": who, "namespace": "@"} for who in "abc"))
    return optional(subjects=subjects).map(
        lambda body: {**body, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}}
    )


def _definition(_: str) -> Drawn:
    """A definition whose schema keeps everything, and describes more or less of it."""
    fields = optional(
        size=st.sampled_from(
            ({"type": "integer"}, {"type": "integer", "default": 3}, {"type": "integer", "minimum": 0})
        ),
        mode=st.just({"type": "string"}),
    )
    columns = several({"name": "Mode", "type": "string", "jsonPath": ".spec.mode"})
    return st.tuples(fields, columns).map(lambda drawn: {"spec": _definition_spec(*drawn)})


def _definition_spec(fields: Json, columns: list[Json]) -> Json:
    named_list = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}},
            "x-kubernetes-preserve-unknown-fields": True,
        },
    }
    a_set = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    spec = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {**fields, "parts": named_list, "tags": a_set},
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        **({"additionalPrinterColumns": columns} if columns else {}),
    }
    names = {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"}
    return {"group": "@.example.org", "scope": "Namespaced", "names": names, "versions": [version]}


def _lamp(_: str) -> Drawn:
    free = st.recursive(
        st.sampled_from((0, 1, 2, -1, 1.5, True, False, "", "1")),
        lambda inner: st.lists(inner, max_size=3) | some(inner, "a", "b.c"),
        max_leaves=4,
    )
    return optional(
        size=st.integers(0, 4),
        mode=texts,
        parts=named("bulb", "socket", "wire", watt=st.integers(0, 2)),
        tags=several(*("red", "green", "blue")),  # type: ignore[arg-type]
        free=free,
    ).map(lambda spec: {"spec": spec})


def _claim(_: str) -> Drawn:
    return st.just({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})


# API version, kind, whether it is cluster-wide, and the body that may change.
Kind = tuple[str, str, bool, Callable[[str], Drawn]]
KINDS: tuple[Kind, ...] = (
    (
        "v1",
        "ConfigMap",
        False,
        lambda _: optional(data=some(texts, "a", "b", "c.yaml"), binaryData=some(st.just("AAE="), "z")),
    ),
    ("v1", "Secret", False, lambda _: optional(data=some(secret_values, "key", "pass.word"))),
    ("v1", "Service", False, _service),
    (
        "v1",
        "ServiceAccount",
        False,
        lambda _: optional(
            automountServiceAccountToken=st.booleans(), imagePullSecrets=several({"name": "a"}, {"name": "b"})
        ),
    ),
    ("v1", "PersistentVolumeClaim", False, _claim),
    ("v1", "Namespace", True, lambda _: st.just({})),
    ("apps/v1", "Deployment", False, _deployment),
    ("apps/v1", "StatefulSet", False, _stateful_set),
    ("batch/v1", "Job", False, _job),
    ("batch/v1", "CronJob", False, _cron_job),
    ("networking.k8s.io/v1", "Ingress", False, _ingress),
    ("policy/v1", "PodDisruptionBudget", False, _budget),
    ("rbac.authorization.k8s.io/v1", "Role", False, lambda _: optional(rules=_rules)),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", True, lambda _: optional(rules=_rules)),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", False, _binding),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", True, _definition),
    ("@.example.org/v1", "Lamp", False, _lamp),
)
