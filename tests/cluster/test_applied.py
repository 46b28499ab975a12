"""What proves that an apply would change nothing, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.cluster.applied import is_applied

Json = dict[str, Any]

_PORTS: Json = {
    'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}},
    'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}},
}


def _manifest(spec: Json | None = None, **metadata: Any) -> Json:
    content = {"spec": spec} if spec is not None else {}
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "namespace": "web", **metadata}, **content}


def _live(fields: Json, spec: Json, *, entry: Json | None = None, **metadata: Any) -> Json:
    """A live object of which `fields` were applied by us; the server and others have their part in it."""
    ours = {"manager": "us", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields, **(entry or {})}
    other = {"manager": "them", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:spec": {"f:theirs": {}}}}
    managed = {"managedFields": [other, ours], "uid": "1", "resourceVersion": "7", **metadata}
    return {**_manifest({"theirs": 1, **spec}, **managed), "status": {"ready": True}}


def _applied(fields: Json, wanted: Json, live: Json) -> bool:
    return is_applied(_manifest(wanted), _live({"f:spec": fields}, live), "us")


@pytest.mark.parametrize(
    ("fields", "wanted", "live"),
    [
        ({"f:a": {}}, {"a": 1}, {"a": 1}),
        ({"f:a": {"f:b": {}}}, {"a": {"b": "x"}}, {"a": {"b": "x", "c": "of others"}}),
        ({"f:whole": {}}, {"whole": [1, {"a": 2}]}, {"whole": [1, {"a": 2}]}),
        ({"f:none": {}}, {"none": {}}, {"none": {}}),
        (
            {"f:ports": _PORTS},
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]},
            {
                "ports": [
                    {"port": 80, "name": "a", "protocol": "TCP"},
                    {"port": 90, "name": "of others", "protocol": "TCP"},
                    {"port": 81, "name": "b", "protocol": "TCP", "nodePort": 30000},
                ]
            },
        ),
        ({"f:set": {'v:"a"': {}, 'v:"b"': {}}}, {"set": ["a", "b"]}, {"set": ["a", "c", "b"]}),
    ],
    ids=["a field", "a map that others share", "a value as a whole", "an empty map", "a list by keys", "a set"],
)
def test_what_we_applied_and_is_there_needs_no_try(fields: Json, wanted: Json, live: Json) -> None:
    """Others' fields and elements in between do not matter, nor do keys that have a default."""
    assert _applied(fields, wanted, live)


@pytest.mark.parametrize(
    ("fields", "wanted", "live"),
    [
        ({"f:a": {}}, {"a": 1}, {"a": 2}),
        ({"f:a": {}}, {"a": 1}, {"a": True}),
        ({"f:a": {}}, {"a": 1}, {"a": 1.0}),
        ({"f:a": {}}, {"a": None}, {}),
        ({"f:a": {}}, {"a": 1, "theirs": 1}, {"a": 1}),
        ({"f:a": {}, "f:b": {}}, {"a": 1}, {"a": 1, "b": 2}),
        ({"f:a": {}}, {"a": {}}, {"a": {"b": 1}}),
        ({"f:whole": {}}, {"whole": [True]}, {"whole": [1]}),
        ({"f:cpu": {}}, {"cpu": "1000m"}, {"cpu": "1"}),
        (
            {"f:ports": _PORTS},
            {"ports": [{"port": 81, "name": "b"}, {"port": 80, "name": "a"}]},
            {"ports": [{"port": 80, "name": "a", "protocol": "TCP"}, {"port": 81, "name": "b", "protocol": "TCP"}]},
        ),
        (
            {"f:ports": _PORTS},
            {"ports": [{"port": 80, "name": "a"}]},
            {"ports": [{"port": 80, "name": "a", "protocol": "TCP"}, {"port": 81, "name": "b", "protocol": "TCP"}]},
        ),
        (
            {"f:ports": _PORTS},
            {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "a"}]},
            {"ports": [{"port": 80, "name": "a", "protocol": "TCP"}, {"port": 81, "name": "b", "protocol": "TCP"}]},
        ),
        (
            {"f:ports": _PORTS},
            {"ports": [{"port": 80, "name": "a", "protocol": "UDP"}, {"port": 81, "name": "b"}]},
            {"ports": [{"port": 80, "name": "a", "protocol": "TCP"}, {"port": 81, "name": "b", "protocol": "TCP"}]},
        ),
        ({"f:set": {'v:"a"': {}, 'v:"b"': {}}}, {"set": ["b", "a"]}, {"set": ["a", "b"]}),
        ({"f:list": {"i:0": {}}}, {"list": ["a"]}, {"list": ["a"]}),
    ],
    ids=[
        "another value",
        "a boolean",
        "another number",
        "nothing",
        "a field that is only theirs",
        "a field that left",
        "a map that others filled",
        "another value inside",
        "another way to write it",
        "another order",
        "an element that left",
        "an element twice",
        "another element",
        "another order of a set",
        "elements by position",
    ],
)
def test_what_may_change_is_tried(fields: Json, wanted: Json, live: Json) -> None:
    """Also where an apply would change nothing in the end: what is not certain is asked."""
    assert not _applied(fields, wanted, live)


def test_another_record_is_no_proof() -> None:
    """Somebody else's, one of an update, of the status, of another version, and of an object in another version."""
    fields: Json = {"f:spec": {"f:a": {}}}
    manifest = _manifest({"a": 1})
    assert is_applied(manifest, _live(fields, {"a": 1}), "us")
    assert not is_applied(manifest, _live(fields, {"a": 1}), "them")
    entries: list[Json] = [{"operation": "Update"}, {"subresource": "status"}, {"apiVersion": "v1beta1"}]
    for entry in entries:
        assert not is_applied(manifest, _live(fields, {"a": 1}, entry=entry), "us")
    assert not is_applied(manifest, {**_live(fields, {"a": 1}), "apiVersion": "v2"}, "us")


def test_a_custom_kind_proves_nothing() -> None:
    """Its definition may have been changed since: what was a field of its own is part of a whole then."""
    fields: Json = {"f:spec": {"f:a": {}}}
    custom = {"apiVersion": "gateway.networking.k8s.io/v1"}
    live = _live(fields, {"a": 1}, entry=custom) | custom
    assert not is_applied(_manifest({"a": 1}) | custom, live, "us")


def test_labels_count_and_names_do_not() -> None:
    """What names an object is owned by nobody."""
    fields: Json = {"f:metadata": {"f:labels": {"f:app": {}}}}
    live = _live(fields, {}, labels={"app": "web", "theirs": "yes"})
    assert is_applied(_manifest(labels={"app": "web"}), live, "us")
    assert not is_applied(_manifest(labels={"app": "web"}, annotations={"a": "b"}), live, "us")
    assert not is_applied(_manifest(labels={"app": "other"}), live, "us")
    assert is_applied(_manifest(), _live({}, {}), "us")
    assert not is_applied(_manifest({"a": 1}), _live({}, {"a": 1}), "us")
