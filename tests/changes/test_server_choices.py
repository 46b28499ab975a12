"""Addresses and node ports of a Service: which of those in a dry run an apply will give, and which it will not."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.changes import CHOSEN, with_marked_choices, without_server_choices

Json = dict[str, Any]


def service(*ports: Json, **spec: Any) -> Json:
    """A Service."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {**spec, "ports": list(ports)}}


def port(number: int, node: Any = None, name: str | None = None) -> Json:
    """A port of a Service, without what is None."""
    named = {"port": number, "nodePort": node, "name": name}
    return {key: value for key, value in named.items() if value is not None}


@pytest.mark.parametrize("empty", [{}, {"nodePort": 0}, {"nodePort": None}], ids=["absent", "zero", "null"])
def test_a_new_service_is_shown_without_what_it_is_given(empty: Json) -> None:
    """What the manifest asks for stays; an empty field asks for nothing."""
    asked = service(port(80, 30080), {"port": 81, **empty}, type="NodePort", clusterIP="")
    made = service(port(80, 30080), port(81, 32769), type="NodePort", clusterIP="10.0.0.0", clusterIPs=["10.0.0.0"])
    assert without_server_choices(made, asked) == service(port(80, 30080), port(81), type="NodePort")


@pytest.mark.parametrize(
    ("asked", "live", "made", "shown"),
    [
        (port(80, 30080), port(80, 30080, "http"), port(80, 30080, "http"), 30080),
        (port(80, 30081), port(80, 30080, "http"), port(80, 30081, "http"), 30081),
        (port(80), port(80, 30147, "http"), port(80, 30147, "http"), 30147),
        (port(80, name="http"), port(80, 30147), port(80, 30147, "http"), 30147),
        (port(8080, name="http"), port(80, 30147, "http"), port(8080, 30147, "http"), 30147),
        (port(80, 0), port(80), port(80, 32769), CHOSEN),
        (port(81, name="new"), port(80, 32769, "old"), port(81, 32769, "new"), CHOSEN),
        (port(80, name="http"), port(80, name="http"), port(9090, name="added by a webhook"), None),
        ({**port(80), "protocol": "UDP"}, port(80, 32769, "x"), {**port(80, 32769), "protocol": "UDP"}, CHOSEN),
    ],
    ids=[
        "asked",
        "asked anew",
        "named by others",
        "is named",
        "is numbered",
        "empty",
        "another port",
        "none",
        "protocol",
    ],
)
def test_a_node_port_is_certain_where_it_was_or_is_asked_for(asked: Json, live: Json, made: Json, shown: Any) -> None:
    """A port is the same one by its name or by its number and protocol, whoever named it."""
    marked = with_marked_choices(service(made), service(asked), service(live))
    assert [port.get("nodePort") for port in marked["spec"]["ports"]] == [shown]


def test_addresses_are_certain_where_they_were_or_are_asked_for() -> None:
    """Each of an address's two fields follows from the other."""
    made = service(clusterIP="10.0.3.3", clusterIPs=["10.0.3.3"])
    for known in ({"clusterIP": "10.0.3.3"}, {"clusterIPs": ["10.0.3.3"]}):
        assert with_marked_choices(made, service(**known), None) == made
        assert with_marked_choices(made, service(), service(**known)) == made
    assert with_marked_choices(made, service(clusterIP=""), None)["spec"] == {
        "clusterIP": CHOSEN,
        "clusterIPs": [CHOSEN],
        "ports": [],
    }


def test_health_checks_of_load_balancers_have_a_port_as_well() -> None:
    """It lies on every node, like the others."""
    made = service(healthCheckNodePort=32769)
    assert with_marked_choices(made, service(), None)["spec"]["healthCheckNodePort"] == CHOSEN
    assert with_marked_choices(made, service(healthCheckNodePort=32769), None) == made
    assert with_marked_choices(made, service(), service(healthCheckNodePort=32769)) == made


def test_other_kinds_are_left_as_they_are() -> None:
    """Also those that are called so in another group."""
    other = {**service(port(80, 30080), clusterIP="10.0.0.1"), "apiVersion": "serving.example/v1"}
    assert with_marked_choices(other, {**other, "spec": {}}, None) == other
