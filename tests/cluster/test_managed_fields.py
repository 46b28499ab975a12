"""Fields handed from one manager to another, held to what the API server makes of an apply afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.changes.field_owners import FieldOwners
from deploy_pipeline.cluster.managed_fields import child, handed_over, union, without_handed_over


def _live(*entries: tuple[str, str, dict[str, Any]], **content: Any) -> dict[str, Any]:
    managed = [
        {"manager": manager, "operation": operation, "fieldsV1": fields, "time": f"2026-01-0{number}T00:00:00Z"}
        for number, (manager, operation, fields) in enumerate(entries, 1)
    ]
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "managedFields": managed}, **content}


def test_fields_of_updates_become_fields_of_the_apply() -> None:
    """The giver is gone, others and the giver's status stay, the taker has both sets."""
    live = _live(
        ("kubectl-client-side-apply", "Update", {"f:data": {".": {}, "f:a": {}}}),
        ("kube-controller-manager", "Update", {"f:status": {}}),
        ("deploy-pipeline", "Apply", {"f:data": {"f:b": {}}}),
    )
    handed = handed_over(live, {"kubectl-client-side-apply"}, "deploy-pipeline")
    assert handed is not None
    taken, rest = handed
    assert (taken["manager"], taken["operation"]) == ("deploy-pipeline", "Apply")
    assert taken["fieldsV1"] == {"f:data": {".": {}, "f:a": {}, "f:b": {}}}
    assert rest["manager"] == "kube-controller-manager"
    assert handed_over(live, {"nobody"}, "deploy-pipeline") is None


def test_what_only_the_giver_has_goes() -> None:
    """What the taker applies or somebody else owns stays, also inside of what the giver made."""
    live = _live(
        ("kubectl-client-side-apply", "Update", {"f:data": {".": {}, "f:a": {}, "f:b": {}, "f:c": {}}, "f:extra": {}}),
        ("alice", "Update", {"f:data": {"f:c": {}}}),
        data={"a": "1", "b": "2", "c": "3"},
        extra="x",
    )
    applied = _live(
        *(
            ("kubectl-client-side-apply", "Update", {"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:extra": {}}),
            ("alice", "Update", {"f:data": {"f:c": {}}}),
            ("deploy-pipeline", "Apply", {"f:data": {"f:a": {}}}),
        ),
        data={"a": "9", "b": "2", "c": "3"},
        extra="x",
    )
    left = without_handed_over(applied, live, {"kubectl-client-side-apply"})
    assert left is not None
    assert left["data"] == {"a": "9", "c": "3"}
    assert "extra" not in left


def test_list_elements_go_by_their_keys() -> None:
    """An element the giver made goes whole; one that somebody added to keeps that alone."""
    made: dict[str, Any] = {'k:{"name":"app"}': {".": {}, "f:image": {}, "f:name": {}}}
    made |= {'k:{"name":"old"}': {".": {}, "f:image": {}, "f:name": {}}}
    containers = [{"name": "old", "image": "o", "tty": False}, {"name": "app", "image": "a"}]
    live = _live(("helm", "Update", {"f:containers": made}), containers=containers)
    ours: dict[str, Any] = {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}, "f:name": {}}}}
    applied = _live(
        ("helm", "Update", {"f:containers": made}), ("deploy-pipeline", "Apply", ours), containers=containers
    )
    left = without_handed_over(applied, live, {"helm"})
    assert left is not None
    assert left["containers"] == [{"name": "app", "image": "a"}]


def test_an_empty_map_of_ours_does_not_keep_what_kubectl_set_in_it() -> None:
    """`annotations: {}` in the manifest owns the map, not what is in it."""
    given: dict[str, Any] = {"f:data": {".": {}, "f:a": {}}}
    live = _live(("kubectl-client-side-apply", "Update", given), data={"a": "1"})
    ours: dict[str, Any] = {"f:data": {}}
    applied = _live(("kubectl-client-side-apply", "Update", given), ("deploy-pipeline", "Apply", ours), data={"a": "1"})
    left = without_handed_over(applied, live, {"kubectl-client-side-apply"})
    assert left is not None
    assert left["data"] == {}


def test_nothing_left_over_is_no_difference() -> None:
    """The usual case: everything the giver wrote is in the manifest."""
    fields: dict[str, Any] = {"f:data": {"f:a": {}}}
    live = _live(("helm", "Update", fields), data={"a": "1"})
    applied = _live(("helm", "Update", fields), ("deploy-pipeline", "Apply", fields), data={"a": "1"})
    assert without_handed_over(applied, live, {"helm"}) is None
    assert without_handed_over(applied, live, {"nobody"}) is None


@pytest.mark.parametrize(
    ("value", "element", "at"),
    [
        ({"a": 1}, "f:a", "a"),
        ({"a": 1}, "f:b", None),
        ([{"name": "x"}, {"name": "y"}], 'k:{"name":"y"}', 1),
        ([{"port": 80}], 'k:{"port":80,"protocol":"TCP"}', 0),
        ([{"port": 80, "protocol": "UDP"}], 'k:{"port":80,"protocol":"TCP"}', None),
        (["a", "b"], 'v:"b"', 1),
        (["a"], "i:1", None),
        (["a"], ".", None),
    ],
)
def test_a_path_element_finds_its_child(value: Any, element: str, at: Any) -> None:
    """Every form of path element, found and not found."""
    assert child(value, element) == at


def test_a_union_has_the_members_of_all() -> None:
    """A leaf that is a whole of another set stays a member."""
    assert union([{"f:a": {}}, {"f:a": {"f:b": {}}}, {"f:c": {}}]) == {"f:a": {"f:b": {}, ".": {}}, "f:c": {}}


def test_the_owner_of_a_shown_field() -> None:
    """Found by the path of a change set, also for a part of what is owned as a whole; nobody owns what is gone."""
    live = _live(
        ("deploy-pipeline", "Apply", {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}}}}}),
        (
            "alice",
            "Update",
            {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:image": {}}}, "f:selector": {}, "f:env": {".": {}}}},
        ),
        spec={"env": {}, "containers": [{"name": "app", "image": "a"}], "selector": {"x": "y"}},
    )
    owners = FieldOwners(live)
    assert [entry.manager for entry in owners.of("spec.containers[app].image")] == ["alice", "deploy-pipeline"]
    assert [entry.manager for entry in owners.of("spec.selector.x")] == ["alice"]
    assert owners.of("spec.replicas") == ()
    assert owners.of("spec.env.GONE") == ()
