"""A kind of our own: a definition whose schema knows more or less of its objects, and objects that hold anything."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.properties.drawing import Drawn, Json, named, optional, several, some, texts


def definitions(_: str) -> Drawn:
    """A definition whose schema keeps everything, and describes more or less of it."""
    # No default: of one that comes in the same release as its objects, the change set only warns.
    sizes = ({"type": "integer"}, {"type": "integer", "minimum": 0}, {"type": "integer", "description": "in cm"})
    fields = optional(size=st.sampled_from(sizes), mode=st.just({"type": "string"}))
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


def lamps(_: str) -> Drawn:
    """Objects of that kind."""
    free = st.recursive(
        st.sampled_from((0, 1, 2, -1, 1.5, True, False, "", "1")),
        lambda inner: st.lists(inner, max_size=3) | some(inner, "a", "b.c"),
        max_leaves=4,
    )
    # Never empty: the server takes a list away that is emptied, and only a second release makes it empty.
    return optional(
        size=st.integers(0, 4),
        mode=texts,
        parts=named("bulb", "socket", "wire", least=1, watt=st.integers(0, 2)),
        tags=several(*("red", "green", "blue"), least=1),  # type: ignore[arg-type]
        free=free,
    ).map(lambda spec: {"spec": spec})
