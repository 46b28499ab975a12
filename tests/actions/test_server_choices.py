"""What the server makes up is no part of what is approved: two looks at one change must give one digest."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.drivers.emptied import with_emptied
from tests.actions.conftest import World
from tests.actions.small import Small, manifest

_HTTP = {"name": "http", "port": 80}
_ADMIN = {"name": "admin", "port": 81}


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ports": [_HTTP]}, {"ports": [_HTTP], "type": "NodePort"}),
        ({"ports": [_HTTP]}, {"ports": [{**_HTTP, "nodePort": 30080}, _ADMIN], "type": "NodePort"}),
        ({"ports": [_HTTP], "type": "NodePort"}, {"ports": [_HTTP, _ADMIN], "type": "NodePort"}),
        ({"externalName": "a.example", "type": "ExternalName"}, {"ports": [_HTTP], "type": "ClusterIP"}),
    ],
    ids=["a node port", "one of two node ports", "a further node port", "an address"],
)
def test_what_the_server_chooses_in_an_update_is_no_part_of_the_digest(
    small: Small, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """A Service that gets a port or an address can be approved, and released as approved; none is promised."""
    small.put("web", manifest("Service", spec=before))
    small.deliver()
    small.put("web", manifest("Service", spec=after))
    first = small.diff()
    shown = {field.path: field.after for field in first.apps[0].changed[0].fields}
    asked = [str(port["nodePort"]) for port in after["ports"] if "nodePort" in port]
    assert [value for path, value in shown.items() if path.endswith("nodePort")] == asked
    assert not any(path.startswith("spec.clusterIP") for path in shown)
    assert small.diff().digest == first.digest
    small.world.promote(expected_digest=first.digest)
    small.world.release()
    assert small.diff().is_empty


def test_a_map_that_gets_empty_stays_where_the_manifest_has_it(small: Small) -> None:
    """Server-side apply takes it along with the last of its fields; a second one brings it back."""
    full = {"part": {"a": 1}, "more": {"deep": {"b": 2}}, "on": True}
    small.put("web", _definition(), manifest("Lamp", version="example.org/v1", spec=full))
    small.deliver()
    for left in ({"part": {}, "more": {"deep": {}}, "on": True}, {}):
        small.put("web", _definition(), manifest("Lamp", version="example.org/v1", spec=left))
        shown = small.diff().apps[0].changed[0]
        assert all(field.after is None for field in shown.fields), "nothing comes, what was in it goes"
        small.deliver()
        assert small.live("lamps.example.org")["spec"] == left
        assert small.diff().is_empty


def test_what_is_dropped_as_empty_is_not_missed() -> None:
    """A webhook may write objects without their empty fields: that they lack them again is no change."""
    sent = manifest("Lamp", version="example.org/v1", spec={"part": {}, "tags": [], "deep": {"part": {}}})
    live = {**sent, "spec": {"deep": {"other": 1}}}
    assert with_emptied(live, sent, live) == live
    assert with_emptied({**sent, "spec": {}}, sent, live)["spec"] == {"deep": {"part": {}}}


def test_a_definition_that_changes_under_its_objects_is_warned_of(small: Small) -> None:
    """Objects are tried while the old schema is served: what a new default makes of them cannot be shown."""
    small.put("web", _definition(), manifest("Lamp", version="example.org/v1", spec={"on": True}))
    small.deliver()
    small.put("web", _definition(default=3), manifest("Lamp", version="example.org/v1", spec={"on": True}))
    (app,) = small.diff().apps
    assert app.warnings == ("the schema of lamps.example.org changes: its objects may get other defaults than shown",)


def _definition(**size: int) -> dict[str, Any]:
    numbers = {"type": "object", "additionalProperties": {"type": "integer"}}
    deep = {"type": "object", "properties": {"deep": numbers}}
    properties = {"on": {"type": "boolean"}, "size": {"type": "integer", **size}, "part": numbers, "more": deep}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Lamp", "plural": "lamps", "singular": "lamp", "listKind": "LampList"}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    return manifest("CustomResourceDefinition", "lamps.example.org", "apiextensions.k8s.io/v1", spec=spec)
