"""Random manifests of the kinds that apps are made of.

What the API server lets nobody change follows from the name that a strategy is given; the rest is drawn. So the two
states of an app, and what somebody else writes in between, are draws of the same strategy; with another name they are
states of an object that has to be made anew.

``@`` in a text stands for the name of the place where an example is tried: cluster-wide objects are called after it.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from hypothesis import strategies as st

from tests.properties.drawing import (
    IMAGES,
    OTHER,
    Drawn,
    Json,
    always,
    named,
    optional,
    secret_values,
    several,
    some,
    texts,
)
from tests.properties.lamps import definitions, lamps

_quantities = st.sampled_from(("10m", "100m", "0.5", "1", "1000m"))
_container = {
    "image": st.sampled_from(IMAGES),
    "env": named("MODE", "LEVEL", "PLACE", value=texts),
}
_NODE_PORTS = (None, None, 0, 1, 2)
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
    pod = {"restartPolicy": "Never", "containers": [{"name": f"main-{name}", "image": IMAGES[0], "args": ["-v"]}]}
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
    alone = st.sampled_from(_NODE_PORTS).map(lambda node: [{"name": "", "nodePort": node}])
    ports = alone | named("http", "admin", "metrics", least=1, nodePort=st.sampled_from(_NODE_PORTS))
    return always(
        {"ports": ports},
        selector=some(st.just("a"), "run", "tier"),
        sessionAffinity=st.sampled_from(("None", "ClientIP")),
        **({} if _is_other(name) else {"type": st.sampled_from(("ClusterIP", "NodePort"))}),
    ).map(lambda spec: {"spec": _numbered(name, spec)})


def _numbered(name: str, spec: Json) -> Json:
    """The Service with numbers for its ports; on the nodes they are asked for, empty (0), or left to the server."""
    numbers = {"": 80, "http": 80, "admin": 8080, "metrics": 9090}
    ports = []
    for port in spec["ports"]:
        label, node = port["name"], port["nodePort"]
        asked = (
            30000 + crc32(f"{name}/{label}".encode()) % 2700 + node if node and spec.get("type") == "NodePort" else 0
        )
        chosen = {} if node is None else {"nodePort": asked}
        ports.append({**({"name": label} if label else {}), "port": numbers[label], **chosen})
    return {**spec, "ports": ports, **({"clusterIP": "None"} if _is_other(name) else {})}


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
        lambda spec: {"spec": {**spec, "ingressClassName": "nobodys"}}  # on a real cluster nothing shall serve it
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


def _claim(name: str) -> Drawn:
    size = "2Gi" if _is_other(name) else "1Gi"
    modes = ["ReadWriteMany"] if _is_other(name) else ["ReadWriteOnce"]
    return st.just({"spec": {"accessModes": modes, "resources": {"requests": {"storage": size}}}})


def _is_other(name: str) -> bool:
    return name.endswith(OTHER)


def _immutable(drawn: Drawn, name: str) -> Drawn:
    """The other state of a ConfigMap or Secret can be changed in nothing."""
    return drawn.map(lambda body: {**body, "immutable": True}) if _is_other(name) else drawn


# API version, kind, whether it is cluster-wide, and the body that may change.
Kind = tuple[str, str, bool, Callable[[str], Drawn]]
KINDS: tuple[Kind, ...] = (
    (
        "v1",
        "ConfigMap",
        False,
        lambda name: _immutable(
            optional(data=some(texts, "a", "b", "c.yaml"), binaryData=some(st.just("AAE="), "z")), name
        ),
    ),
    ("v1", "Secret", False, lambda name: _immutable(optional(data=some(secret_values, "key", "pass.word")), name)),
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
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", True, definitions),
    ("@.example.org/v1", "Lamp", False, lamps),
)
