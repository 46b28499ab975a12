"""What the server makes up is no part of what is approved: two looks at one change must give one digest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy_pipeline.changes import CHOSEN
from deploy_pipeline.drivers.emptied import with_emptied
from tests.actions.conftest import World
from tests.actions.small import NAMESPACE, Small, manifest

_CHOSEN = json.dumps(CHOSEN)
_EXTERNAL = {"type": "ExternalName", "externalName": "a.example"}
_HTTP = {"name": "http", "port": 80}
_ADMIN = {"name": "admin", "port": 81}


@pytest.fixture
def small(small_world: World) -> Small:
    """Nothing yet."""
    return Small(small_world)


@pytest.mark.parametrize(
    ("before", "after", "chosen"),
    [
        ({}, {"type": "NodePort"}, {"spec.ports[http].nodePort"}),
        ({}, {"type": "NodePort", "ports": [{**_HTTP, "nodePort": 0}]}, {"spec.ports[http].nodePort"}),
        ({}, {"type": "NodePort", "ports": [{**_HTTP, "nodePort": 30080}, _ADMIN]}, {"spec.ports[admin].nodePort"}),
        ({"type": "NodePort"}, {"type": "NodePort", "ports": [_HTTP, _ADMIN]}, {"spec.ports[admin].nodePort"}),
        (_EXTERNAL, {}, {"spec.clusterIP", "spec.clusterIPs[0]"}),
        (_EXTERNAL, {"clusterIP": ""}, {"spec.clusterIP", "spec.clusterIPs[0]"}),
    ],
    ids=["a node port", "port zero", "one of two node ports", "a further node port", "an address", "an empty address"],
)
@pytest.mark.parametrize("driver", ["kustomize", "helm"])
def test_what_the_server_chooses_in_an_update_is_shown_as_that(
    small: Small, before: dict[str, Any], after: dict[str, Any], chosen: set[str], driver: str
) -> None:
    """A Service that gets a port or an address can be approved, and released as approved; no number is promised."""
    put = small.put if driver == "kustomize" else small.put_chart
    put("web", manifest("Service", spec={"type": "ClusterIP", "ports": [_HTTP], **before}))
    small.deliver()
    put("web", manifest("Service", spec={"type": "ClusterIP", "ports": [_HTTP], **after}))
    fields, digest = shown(small), small.diff().digest
    assert {path for path, (_, now) in fields.items() if now == _CHOSEN} == chosen
    assert fields.get("spec.ports[http].nodePort", (None, "30080"))[1] in ("30080", _CHOSEN)
    small.world.promote(expected_digest=digest)
    small.world.release()
    assert small.diff().is_empty


@pytest.mark.parametrize("driver", ["kustomize", "helm"])
def test_a_port_that_somebody_named_is_the_same_port(small: Small, driver: str) -> None:
    """What the manifest asks for is found by what it is, not by where it stands; so changes and drift show."""
    put = small.put if driver == "kustomize" else small.put_chart
    put("web", manifest("Service", spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}))
    small.deliver()
    named = [{"op": "add", "path": "/spec/ports/0/name", "value": "http"}]
    small.world.kubectl("--namespace", NAMESPACE, "patch", "service", "web", "--type=json", "-p", json.dumps(named))
    put("web", manifest("Service", spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": 30081}]}))
    assert shown(small) == {"spec.ports[http].nodePort": ("30080", "30081")}
    small.deliver()
    moved = [{"op": "replace", "path": "/spec/ports/0/nodePort", "value": 31999}]
    small.world.kubectl("--namespace", NAMESPACE, "patch", "service", "web", "--type=json", "-p", json.dumps(moved))
    assert shown(small) == {"spec.ports[http].nodePort": ("31999", "30081")}


def test_ports_keep_their_numbers_under_other_names(small: Small) -> None:
    """A second port makes names necessary; ports that swap theirs are told apart."""
    put_ports(small, {"port": 80})
    (number,) = node_ports(small).values()
    put_ports(small, _HTTP, deliver=False)
    assert shown(small)["spec.ports[http].nodePort"] == (None, str(number))
    put_ports(small, _HTTP, _ADMIN)
    http, admin = (node_ports(small)[name] for name in ("http", "admin"))
    assert http == number
    put_ports(small, {**_HTTP, "port": 81}, {**_ADMIN, "port": 80}, deliver=False)
    assert shown(small)["spec.ports[http].nodePort"] == (str(http), str(admin))
    small.deliver()
    assert node_ports(small) == {"http": admin, "admin": http}


def test_what_is_made_anew_gets_other_numbers(small: Small) -> None:
    """The old ones do not just go: something else will stand there."""
    put_ports(small, _HTTP, type="NodePort", clusterIP="10.0.3.3")
    old = node_ports(small)["http"]
    put_ports(small, _HTTP, type="NodePort", clusterIP="10.0.3.4", deliver=False)
    fields = shown(small)
    assert fields["spec.ports[http].nodePort"] == (str(old), _CHOSEN)
    assert fields["spec.clusterIPs[0]"] == ('"10.0.3.3"', '"10.0.3.4"')
    small.deliver()
    assert small.diff().is_empty


def put_ports(small: Small, *ports: Any, deliver: bool = True, **spec: Any) -> None:
    """A Service with these ports, which may be made anew."""
    small.put("web", manifest("Service", spec={"type": "NodePort", **spec, "ports": list(ports)}), recreate=True)
    if deliver:
        small.deliver()


def node_ports(small: Small) -> dict[str, int]:
    """The live ones by the names of the ports."""
    return {port.get("name", ""): port["nodePort"] for port in small.live("Service")["spec"]["ports"]}


def shown(small: Small) -> dict[str, tuple[str | None, str | None]]:
    """What a release would change of the Service."""
    return {field.path: (field.before, field.after) for field in small.change("web", "Service").fields}


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
