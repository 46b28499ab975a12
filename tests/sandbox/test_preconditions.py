"""What a deployer stands on when somebody else writes at the same time: dry runs, preconditions, field ownership."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import Client, Reply

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
STRATEGIC, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"
TEMPLATE: Any = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]},
}
OTHER = {"matchLabels": {"x": "y"}}


def config_map(**more: Any) -> dict[str, Any]:
    """A ConfigMap named a."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}, **more}


def workload(kind: str, **more: Any) -> dict[str, Any]:
    """A workload named a."""
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE, **more}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def until(get: Callable[[], Any], true: Callable[[Any], bool]) -> Any:
    """Read until the state is there."""
    end = time.monotonic() + 10
    while not true(found := get()):
        assert time.monotonic() < end, found
        time.sleep(0.03)
    return found


def causes(reply: Reply) -> set[str]:
    """The fields that a refusal names."""
    assert reply.code == 422, reply
    return {cause["field"] for cause in reply.body["details"]["causes"]}


def test_dry_run_of_a_strategic_patch_shows_the_result_and_keeps_the_object(client: Client) -> None:
    """Containers merge by name; nothing is stored."""
    made = client.apply(f"{DEPLOYMENTS}/a", workload("Deployment", replicas=0)).body
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "registry.example/c:2"}]}}}}
    reply = client.send("PATCH", f"{DEPLOYMENTS}/a?dryRun=All&fieldManager=x", patch, STRATEGIC)
    assert reply.code == 200
    assert reply.body["metadata"]["generation"] == 2
    (container,) = reply.body["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("registry.example/c:2", "IfNotPresent")
    live = client.get(f"{DEPLOYMENTS}/a")
    assert (live["metadata"]["generation"], live["spec"]) == (1, made["spec"])


def test_dry_run_of_a_put_shows_the_result_and_keeps_the_object(client: Client) -> None:
    """The answer has the new owner; the stored object has not."""
    made = client.apply(f"{MAPS}/a", config_map()).body
    reply = client.send("PUT", f"{MAPS}/a?dryRun=All&fieldManager=x", {**made, "data": {"k": "2"}})
    assert (reply.code, reply.body["data"]) == (200, {"k": "2"})
    assert [entry["manager"] for entry in reply.body["metadata"]["managedFields"]] == ["x"]
    assert client.get(f"{MAPS}/a") == made


def test_managed_fields_change_by_json_patch_only_from_the_version_that_was_read(client: Client) -> None:
    """A `test` of the resourceVersion guards a hand-over of ownership, as kubectl and csaupgrade do it."""
    made = client.apply(f"{MAPS}/a", config_map()).body
    (entry,) = made["metadata"]["managedFields"]
    assert entry["time"]

    def hand_over(version: str) -> Reply:
        operations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/metadata/managedFields", "value": [{**entry, "manager": "other"}]},
        ]
        return client.send("PATCH", f"{MAPS}/a?fieldManager=x", operations, JSON_PATCH)

    assert hand_over("1").code == 422
    changed = hand_over(made["metadata"]["resourceVersion"])
    assert changed.code == 200
    assert [found["manager"] for found in changed.body["metadata"]["managedFields"]] == ["other"]
    assert client.get(f"{MAPS}/a")["metadata"]["managedFields"] == changed.body["metadata"]["managedFields"]


@pytest.mark.parametrize("query", ["", "&dryRun=All"])
def test_apply_names_the_version_it_was_computed_from(client: Client, query: str) -> None:
    """Another resourceVersion is a conflict, also in a dry run; the present one is fine."""
    made = client.apply(f"{MAPS}/a", config_map()).body
    version = made["metadata"]["resourceVersion"]
    stale = config_map(data={"k": "2"}, metadata={"name": "a", "resourceVersion": "1"})
    fresh = config_map(data={"k": "2"}, metadata={"name": "a", "resourceVersion": version})
    refused = client.apply(f"{MAPS}/a", stale, query)
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert client.apply(f"{MAPS}/a", fresh, query).code == 200


def test_apply_with_a_uid_never_makes_another_object(client: Client) -> None:
    """A uid in the configuration says which object is meant."""
    uid = "11111111-1111-1111-1111-111111111111"
    reply = client.apply(f"{MAPS}/a", config_map(metadata={"name": "a", "uid": uid}))
    assert (reply.code, reply.body["reason"]) == (409, "Conflict")


@pytest.mark.parametrize("which", ["uid", "resourceVersion"])
def test_delete_of_another_object_than_the_one_read_is_refused(client: Client, which: str) -> None:
    """Each precondition counts, and with both right the object goes."""
    metadata = client.apply(f"{MAPS}/a", config_map()).body["metadata"]
    right = {key: metadata[key] for key in ("uid", "resourceVersion")}
    wrong = {**right, which: "11111111-1111-1111-1111-111111111111" if which == "uid" else "1"}
    options = {"kind": "DeleteOptions", "apiVersion": "v1"}
    refused = client.send("DELETE", f"{MAPS}/a", {**options, "preconditions": wrong})
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert client.send("DELETE", f"{MAPS}/a", {**options, "preconditions": right}).code == 200
    assert client.send("GET", f"{MAPS}/a").code == 404


def test_foreground_delete_waits_for_dependents_with_finalizers(client: Client) -> None:
    """The owner stays while a dependent that blocks it has a finalizer."""
    owner = client.apply(f"{DEPLOYMENTS}/a", workload("Deployment", replicas=0)).body
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": owner["metadata"]["uid"]}
    held = {"name": "a", "finalizers": ["test.example/wait"], "ownerReferences": [reference]}
    held["ownerReferences"][0]["blockOwnerDeletion"] = True  # type: ignore[index]
    client.apply(f"{MAPS}/a", config_map(metadata=held))
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
    answer = client.send("DELETE", f"{DEPLOYMENTS}/a", options)
    assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    until(lambda: client.get(f"{MAPS}/a"), lambda found: "deletionTimestamp" in found["metadata"])
    assert "deletionTimestamp" in client.get(f"{DEPLOYMENTS}/a")["metadata"]
    patch = {"metadata": {"finalizers": None}}
    assert client.send("PATCH", f"{MAPS}/a", patch, "application/merge-patch+json").code == 200
    until(lambda: client.send("GET", f"{DEPLOYMENTS}/a").code, lambda code: code == 404)
    assert client.send("GET", f"{MAPS}/a").code == 404


def test_every_kind_is_listed_by_label_across_namespaces(client: Client) -> None:
    """Whatever has the verb list answers, with the objects of all namespaces."""
    labels = {"name": "a", "labels": {"team": "blue"}}
    for space in ("default", "kube-public"):
        client.apply(f"/api/v1/namespaces/{space}/configmaps/a", config_map(metadata=labels))
    groups = [f"/apis/{g['preferredVersion']['groupVersion']}" for g in client.get("/apis")["groups"]]
    seen = 0
    for base in ["/api/v1", *groups]:
        for resource in client.get(base)["resources"]:
            if "list" in resource["verbs"]:
                found = client.get(f"{base}/{resource['name']}?labelSelector=team%3Dblue")
                expected = ["default", "kube-public"] if (base, resource["name"]) == ("/api/v1", "configmaps") else []
                assert [item["metadata"]["namespace"] for item in found["items"]] == expected
                seen += 1
    assert seen > 40


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
JOB = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}, "suspend": False}
JOB_2 = {"template": {"spec": {"containers": [{"name": "c", "image": "x"}], "restartPolicy": "Never"}}}
SERVICE = {"ports": [{"port": 80}], "clusterIP": "10.0.0.9"}
RBAC = "rbac.authorization.k8s.io"
ROLE = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "a"}
ROLE_2 = {**ROLE, "name": "b"}
CLAIM_2 = {"accessModes": ["ReadOnlyMany"]}
CLASS = {"provisioner": "test.example/a", "reclaimPolicy": "Delete"}


FROZEN = [  # resource, kind, content, change, field that the refusal names
    ("apps/v1/~/deployments", "Deployment", None, {"spec": {"selector": OTHER}}, "spec.selector"),
    ("apps/v1/~/daemonsets", "DaemonSet", None, {"spec": {"selector": OTHER}}, "spec.selector"),
    ("apps/v1/~/replicasets", "ReplicaSet", None, {"spec": {"selector": OTHER}}, "spec.selector"),
    ("apps/v1/~/statefulsets", "StatefulSet", None, {"spec": {"selector": OTHER}}, "spec"),
    ("apps/v1/~/statefulsets", "StatefulSet", None, {"spec": {"serviceName": "x"}}, "spec"),
    ("batch/v1/~/jobs", "Job", {"spec": JOB}, {"spec": JOB_2}, "spec.template"),
    ("batch/v1/~/jobs", "Job", {"spec": JOB}, {"spec": {"completions": 3}}, "spec.completions"),
    ("v1/~/services", "Service", {"spec": SERVICE}, {"spec": {"clusterIP": "10.0.0.8"}}, "spec.clusterIPs[0]"),
    ("v1/~/persistentvolumeclaims", "PersistentVolumeClaim", {"spec": CLAIM}, {"spec": CLAIM_2}, "spec"),
    (f"{RBAC}/v1/~/rolebindings", "RoleBinding", {"roleRef": ROLE}, {"roleRef": {**ROLE, "name": "b"}}, "roleRef"),
    (f"{RBAC}/v1/clusterrolebindings", "ClusterRoleBinding", {"roleRef": ROLE_2}, {"roleRef": ROLE}, "roleRef"),
    ("v1/~/configmaps", "ConfigMap", {"data": {"k": "1"}, "immutable": True}, {"data": {"k": "2"}}, "data"),
    ("v1/~/configmaps", "ConfigMap", {"immutable": True}, {"binaryData": {"k": "MQ=="}}, "binaryData"),
    ("v1/~/secrets", "Secret", {"immutable": True}, {"stringData": {"k": "2"}}, "data"),
    ("v1/~/secrets", "Secret", {"immutable": True}, {"immutable": False}, "immutable"),
    ("v1/~/secrets", "Secret", {"type": "Opaque"}, {"type": "test.example/other"}, "type"),
    ("storage.k8s.io/v1/storageclasses", "StorageClass", CLASS, {"provisioner": "x.example/b"}, "provisioner"),
    ("scheduling.k8s.io/v1/priorityclasses", "PriorityClass", {"value": 5}, {"value": 6}, "value"),
]


@pytest.mark.parametrize("case", FROZEN, ids=lambda case: f"{case[1]}-{case[4]}")
@pytest.mark.parametrize("query", ["", "&dryRun=All"])
def test_what_may_not_change_is_refused_by_name(client: Client, case: Any, query: str) -> None:
    """Server-side apply answers 422 with a cause for the field, in a dry run as well."""
    place, kind, content, change, named = case
    version = place.partition("/~")[0] if "~" in place else place.rpartition("/")[0]
    path = f"/{'apis' if '/' in version else 'api'}/{place.replace('~', 'namespaces/default')}/a"
    body: Any = {**(content or workload(kind)), "apiVersion": version, "kind": kind, "metadata": {"name": "a"}}
    made = client.apply(path, body)
    assert made.code == 201, made
    changed = {**body, **change}
    if "spec" in change:
        changed["spec"] = {**body["spec"], **change["spec"]}
    assert named in causes(client.apply(path, changed, f"&force=true{query}"))
    assert client.apply(path, body, f"&force=true{query}").code == 200


def test_a_definition_keeps_its_group_scope_and_plural(client: Client) -> None:
    """Another scope of a CustomResourceDefinition is refused."""
    schema = {"openAPIV3Schema": {"type": "object"}}
    names = {"plural": "lamps", "kind": "Lamp"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    spec = {"group": "test.example", "scope": "Namespaced", "names": names, "versions": versions}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lamps.test.example"
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.test.example"},
        "spec": spec,
    }
    assert client.apply(path, body).code == 201
    assert causes(client.apply(path, {**body, "spec": {**spec, "scope": "Cluster"}})) == {"spec.scope"}


def test_dry_run_create_under_another_name_is_complete_and_leaves_nothing(client: Client) -> None:
    """Defaults, owner and a uid are shown; the name stays free."""
    shown = client.apply(f"{DEPLOYMENTS}/b", {**workload("Deployment"), "metadata": {"name": "b"}}, "&dryRun=All")
    assert (shown.code, shown.body["spec"]["progressDeadlineSeconds"]) == (201, 600)
    assert shown.body["metadata"]["uid"]
    assert "resourceVersion" not in shown.body["metadata"]
    assert [entry["operation"] for entry in shown.body["metadata"]["managedFields"]] == ["Apply"]
    assert client.send("GET", f"{DEPLOYMENTS}/b").code == 404


def test_what_client_side_apply_wrote_conflicts_until_forced(client: Client, shell: Any) -> None:
    """An Update entry of kubectl-client-side-apply holds its fields; force takes them and drops the entry."""
    made = shell(
        "kubectl",
        "apply",
        "-f",
        "-",
        stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"1"}}',
    )
    assert made.returncode == 0, made.stderr
    (entry,) = client.get(f"{MAPS}/a")["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("kubectl-client-side-apply", "Update")
    assert entry["time"]
    refused = client.apply(f"{MAPS}/a", config_map(data={"k": "2"}))
    assert (refused.code, refused.body["details"]["causes"][0]["field"]) == (409, ".data.k")
    same = client.apply(f"{MAPS}/a", config_map())
    assert {found["manager"] for found in same.body["metadata"]["managedFields"]} == {
        "kubectl-client-side-apply",
        "tests",
    }
    forced = client.apply(f"{MAPS}/a", config_map(data={"k": "2"}), "&force=true").body
    left = {found["manager"]: found["fieldsV1"] for found in forced["metadata"]["managedFields"]}
    assert "f:k" not in left["kubectl-client-side-apply"].get("f:data", {})
    assert "f:k" in left["tests"]["f:data"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (f"{MAPS}/a", config_map(), 200),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases/a", {"spec": {"holderIdentity": "x"}}, 422),
    ],
)
def test_an_unconditional_put_is_refused_where_the_server_refuses_it(
    client: Client, path: str, body: dict[str, Any], code: int
) -> None:
    """A Lease changes hands only from the version that was read; a ConfigMap takes whatever comes."""
    kind, version = ("ConfigMap", "v1") if code == 200 else ("Lease", "coordination.k8s.io/v1")
    body = {**body, "apiVersion": version, "kind": kind, "metadata": {"name": "a"}}
    assert client.apply(path, body).code == 201
    assert client.send("PUT", path, body).code == code
    live = client.get(path)
    assert client.send("PUT", path, {**live, "metadata": {**live["metadata"], "labels": {"a": "b"}}}).code == 200


def test_a_namespace_deleted_in_the_foreground_takes_its_contents_along(client: Client) -> None:
    """It is no owner of what is in it, and still goes only when it is empty."""
    client.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    inside = "/api/v1/namespaces/a/configmaps"
    assert client.apply(f"{inside}/a", config_map()).code == 201
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
    client.send("DELETE", "/api/v1/namespaces/a", options)
    until(lambda: client.send("GET", "/api/v1/namespaces/a").code, lambda code: bool(code == 404))
    assert not [item for item in client.get("/api/v1/configmaps")["items"] if item["metadata"]["namespace"] == "a"]


def test_an_apply_that_says_nothing_owns_nothing(client: Client) -> None:
    """An entry without fields would be one more owner than the server knows."""
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    assert "managedFields" not in client.apply(f"{MAPS}/a", bare).body["metadata"]
    assert "managedFields" not in client.get(f"{MAPS}/a")["metadata"]


def test_what_a_client_says_of_owners_is_stored_in_the_form_of_the_server(client: Client) -> None:
    """A client may rewrite who owns what; the order and the empty members of its sets are not kept."""
    made = client.apply(f"{MAPS}/a", config_map(data={"a": "1", "b": "1"})).body
    (entry,) = made["metadata"]["managedFields"]
    fields: Any = {"f:data": {"f:b": {".": {}}, "f:a": None}}
    made["metadata"]["managedFields"] = [{**entry, "manager": "other", "fieldsV1": fields}]
    made["data"]["c"] = "1"
    stored = client.send("PUT", f"{MAPS}/a?fieldManager=x", made).body["metadata"]["managedFields"]
    (other,) = (found for found in stored if found["manager"] == "other")
    assert other["fieldsV1"] == {"f:data": {"f:a": {}, "f:b": {}}}
