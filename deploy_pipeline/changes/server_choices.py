"""What the API server draws for a Service where the manifest asks for nothing: its addresses, and ports on the nodes.

A dry run names values that the apply will not give, often the same ones at each try: the base of the range of
addresses, the port behind the highest one asked for (``pkg/registry/core/service`` of kube-apiserver). So what is
certain is told by where a value comes from: the manifest asks for it, or the live object has it there and keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

CHOSEN = "<chosen by the server>"
"""Stands in a change set for a value that nobody asked for: what it will be is known after the release."""

_Object = Mapping[str, Any]


def without_server_choices(made: _Object, asked: _Object) -> dict[str, Any]:
    """The dry run of a creation without what the server will choose: every new Service is given that."""
    return _settled(made, asked, {}, None)


def with_marked_choices(made: _Object, asked: _Object, kept: _Object | None) -> dict[str, Any]:
    """The dry run of a change with :data:`CHOSEN` for each value that the server will choose anew.

    ``kept`` is the live object whose values stay; None where it is deleted and made anew.
    """
    return _settled(made, asked, kept or {}, CHOSEN)


def _settled(made: _Object, asked: _Object, kept: _Object, mark: str | None) -> dict[str, Any]:
    if (made["apiVersion"], made["kind"]) != ("v1", "Service") or not made.get("spec"):
        return dict(made)
    spec, sources = made["spec"], [state.get("spec") or {} for state in (asked, kept)]
    addresses = {address for source in sources for address in _addresses(source)}
    health_checks = {source.get("healthCheckNodePort") for source in sources}
    ports = [port for source in sources for port in source.get("ports") or ()]
    shown = {
        "clusterIP": _known(spec.get("clusterIP"), addresses, mark),
        "clusterIPs": _present(_known(address, addresses, mark) for address in spec.get("clusterIPs") or ()),
        "healthCheckNodePort": _known(spec.get("healthCheckNodePort"), health_checks, mark),
        "ports": [_port(port, ports, mark) for port in spec.get("ports") or ()],
    }
    return {**made, "spec": _filled({key: shown.get(key, value) for key, value in spec.items()})}


def _addresses(spec: Mapping[str, Any]) -> Iterator[Any]:
    yield spec.get("clusterIP")
    yield from spec.get("clusterIPs") or ()


def _port(port: Mapping[str, Any], certain: Collection[Mapping[str, Any]], mark: str | None) -> dict[str, Any]:
    numbers = {other.get("nodePort") for other in certain if _is_same_port(other, port)}
    return _filled({**port, "nodePort": _known(port.get("nodePort"), numbers, mark)})


def _is_same_port(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the server keeps the number of the one for the other: it goes by their names, an apply by their keys."""
    return one.get("name") == other.get("name") or _key(one) == _key(other)


def _key(port: Mapping[str, Any]) -> tuple[Any, str]:
    return port.get("port"), port.get("protocol") or "TCP"


def _known(value: Any, certain: Collection[Any], mark: str | None) -> Any:
    return mark if value and value not in certain else value


def _present(values: Iterator[Any]) -> list[Any] | None:
    return [value for value in values if value is not None] or None


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
