"""The rules on rendered objects, one by one: what is refused, what is warned of, and in which words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from deploy_pipeline.admission.finding import Finding, Severity
from deploy_pipeline.admission.judging import findings
from deploy_pipeline.admission.rules import Rules
from deploy_pipeline.admission.subject import Subject
from deploy_pipeline.channels import AdmissionPolicy, Allow
from deploy_pipeline.settings import Settings

FILE = "rendered/prod/web.yaml"


def manifest(
    kind: str, name: str = "web", namespace: str = "web", version: str = "v1", **content: Any
) -> dict[str, Any]:
    """A located manifest; an empty namespace is that of a cluster-wide object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def judged(
    *written: dict[str, Any],
    rules: Rules | None = None,
    namespace: str | None = "web",
    release: tuple[str, str] | None = None,
) -> tuple[Finding, ...]:
    """What is found in these objects of an app that has this namespace."""
    own = frozenset({namespace}) if namespace else frozenset[str]()
    return findings(rules or Rules(), Subject("web", FILE, own, release, written), "1.36")


def cluster_role(version: str = "rbac.authorization.k8s.io/v1") -> dict[str, Any]:
    """A ClusterRole."""
    return manifest("ClusterRole", "reader", "", version)


def test_namespaced_objects_in_the_own_namespace_are_admitted() -> None:
    """So is the Namespace itself: nothing has to be configured for an ordinary app."""
    ordinary = (
        manifest("ConfigMap"),
        manifest("Role", version="rbac.authorization.k8s.io/v1"),
        manifest("Namespace", "web", ""),
        manifest("Gateway", version="example.org/v1", spec={"anything": 1}),
    )
    assert judged(*ordinary) == judged(*ordinary, namespace=None) == ()


def test_a_finding_says_where_it_is() -> None:
    """App, object, file, field and words."""
    (found,) = judged(manifest("ConfigMap", namespace="other"))
    assert (found.severity, found.app, found.object, found.file, found.field) == (
        Severity.REFUSAL,
        "web",
        "ConfigMap other/web",
        FILE,
        "metadata.namespace",
    )
    assert str(found).startswith(
        f"{FILE}: ConfigMap other/web: metadata.namespace: the namespace other is not the app's"
    )


@pytest.mark.parametrize(
    ("kinds", "admitted"),
    [
        ((), False),
        (("ClusterRole",), True),
        (("ClusterRole.rbac.authorization.k8s.io",), True),
        (("*",), True),
        (("ClusterRoleBinding", "ClusterRole.example.org", "clusterrole", "Cluster*"), False),
    ],
)
def test_cluster_wide_kinds_need_to_be_named(kinds: tuple[str, ...], admitted: bool) -> None:
    """By kind, or by kind and group."""
    found = judged(cluster_role(), rules=Rules(kinds=kinds))
    assert [f.field for f in found] == ([] if admitted else ["kind"])
    assert all("allow.kinds" in f.words and "DEPLOY_ALLOWED_KINDS" in f.words for f in found)


@pytest.mark.parametrize(
    ("namespace", "own", "patterns", "words"),
    [
        ("web", "web", (), ""),
        ("shop", None, (), ""),
        ("shop", "web", (), "is not the app's own, web"),
        ("shop", "web", ("sh*",), ""),
        ("kube-system", None, (), "is Kubernetes' own"),
        ("kube-system", "kube-system", (), "is Kubernetes' own"),
        ("kube-system", "web", ("kube-system",), ""),
        ("theirs", None, (), "channel other has objects in the namespace theirs"),
        ("theirs", "theirs", (), "channel other has objects in the namespace theirs"),
        ("theirs", "theirs", ("theirs",), ""),
    ],
)
@pytest.mark.parametrize("kind", ["ConfigMap", "Namespace"])
def test_namespaces(namespace: str, own: str | None, patterns: tuple[str, ...], words: str, kind: str) -> None:
    """Naming a namespace in the channel file, which a branch can, does not make it the app's own."""
    rules = Rules(namespaces=patterns, others={"theirs": "other"})
    written = manifest("Namespace", namespace, "") if kind == "Namespace" else manifest("ConfigMap", "x", namespace)
    found = judged(written, rules=rules, namespace=own)
    assert [words in finding.words for finding in found] == ([True] if words else [])


def test_helm_keeps_its_records_in_an_admitted_namespace() -> None:
    """Even if the chart has no object there."""
    (found,) = judged(namespace="kube-system", release=("kube-system", "web"))
    assert found.object == "Helm release kube-system/web"


POD_SPECS = {
    "init": {"initContainers": [{"name": "setup", "image": "evil.example/x"}], "containers": []},
    "ephemeral": {"ephemeralContainers": [{"name": "debug", "image": "evil.example/x"}], "containers": []},
    "volume": {"volumes": [{"name": "model", "image": {"reference": "evil.example/x"}}], "containers": []},
    "second": {"containers": [{"name": "app", "image": "ghcr.io/team/app"}, {"name": "b", "image": "evil.example/x"}]},
}


@pytest.mark.parametrize("hidden", POD_SPECS)
@pytest.mark.parametrize("kind", ["Pod", "CronJob"])
def test_an_image_from_elsewhere_is_found_wherever_it_hides(hidden: str, kind: str) -> None:
    """The field says in which container."""
    pod = POD_SPECS[hidden]
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}} if kind == "CronJob" else pod
    version = "batch/v1" if kind == "CronJob" else "v1"
    found = judged(manifest(kind, version=version, spec=spec), rules=Rules(registries=("ghcr.io/team",)))
    (image,) = [finding for finding in found if "image" in finding.words]
    assert image.words == "the image evil.example/x:latest is from none of ghcr.io/team"
    assert image.field.startswith("spec.jobTemplate.spec.template.spec." if kind == "CronJob" else "spec.")


def test_without_registries_images_come_from_anywhere() -> None:
    """And what is no reference is left to the cluster."""
    pod = manifest(
        "Pod", spec={"containers": [{"name": "app", "image": "evil.example/x"}, {"name": "b", "image": "?"}]}
    )
    assert judged(pod) == ()
    (only,) = judged(pod, rules=Rules(registries=("evil.example",)))
    assert "'?' is no image reference" in only.words


def test_schema_faults_name_the_field_and_never_the_value() -> None:
    """Values of a chart may be secret."""
    spec = {"replicas": "s3cret", "selector": {}, "template": {"spec": {"containers": [{"nam": "app"}]}}}
    found = judged(manifest("Deployment", version="apps/v1", spec=spec))
    assert {finding.field: finding.words for finding in found} == {
        "spec.replicas": "must be a whole number (schema of Kubernetes 1.36)",
        "spec.template.spec.containers[0]": "has no field 'nam' (schema of Kubernetes 1.36)",
    }
    assert "s3cret" not in str(found)


def encoded(text: str) -> str:
    """As the ``data`` of a Secret has it."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ({"stringData": {"password": "hunter2"}}, ["stringData.password"]),
        ({"data": {"a.b": encoded("hunter2")}}, ['data["a.b"]']),
        ({"data": {"a": encoded("hunter2")}, "stringData": {"b": "hunter2"}}, ["data.a", "stringData.b"]),
        ({"data": {"a": "not base64"}}, ["data.a"]),
        ({"stringData": {"password": "<secret:db#/password>"}}, []),
        ({"data": {"password": encoded("<secret:db#/password>")}}, []),
        ({"data": {"login": encoded("app:<secret:db#/password>@db")}}, []),
        ({"data": {"url": encoded("postgres://app:<secret:db#/password>@db/app")}}, ["data.url"]),
        ({"stringData": {"password": "hunter2! <secret:db#/password>"}}, ["stringData.password"]),
        ({"stringData": {"both": "hunt<secret:db#/password>er2!"}}, ["stringData.both"]),
        ({"stringData": {"port": "0", "tls": "false", "none": ""}}, []),
        ({"type": "kubernetes.io/service-account-token"}, []),
        ({"data": None}, []),
    ],
)
def test_plain_secrets(content: dict[str, Any], fields: list[str]) -> None:
    """Only what can be read in git, and never its value."""
    secret = manifest("Secret", **content)
    subject = Subject("web", FILE, rendered=(secret, manifest("ConfigMap", data={"password": "hunter2"})))
    found = findings(Rules(), subject, "1.36")
    assert [finding.field for finding in found] == fields
    assert {finding.severity for finding in found} <= {Severity.WARNING}
    assert "hunter2" not in str(found)
    strict = findings(Rules(refuse_plain_secrets=True), subject, "1.36")
    assert {finding.severity for finding in strict} <= {Severity.REFUSAL}
    assert len(strict) == len(found)


def test_the_rules_are_those_of_the_release_and_of_the_deployer() -> None:
    """Each adds to the other."""
    policy = AdmissionPolicy(Allow(kinds=("A",), namespaces=("b",), registries=("c.io",)), plain_secrets="refuse")
    settings = Settings(allowed_kinds="D, E.f.g", allowed_namespaces="h-*", allowed_registries="i.io")
    assert Rules.of(policy, settings, {"x": "y"}) == Rules(
        ("A", "D", "E.f.g"), ("b", "h-*"), ("c.io", "i.io"), refuse_plain_secrets=True, others={"x": "y"}
    )
