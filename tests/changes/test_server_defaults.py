"""What the server fills in, and what of it comes out alike each time."""

from __future__ import annotations

from typing import Any

from deploy_pipeline.changes import ServerDefaults

Json = dict[str, Any]


def _object(name: str, **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _made(manifest: Json, **spec: Any) -> Json:
    metadata = {**manifest["metadata"], "uid": "chance", "creationTimestamp": "now", "managedFields": []}
    return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], **spec}, "status": {}}


def test_an_object_that_comes_out_as_it_went_in_needs_no_learning() -> None:
    """Of what the server keeps for itself, nothing counts."""
    assert ServerDefaults().explain(_object("a", x=1), _made(_object("a", x=1)))


def test_what_one_object_got_alike_others_of_its_kind_get() -> None:
    """Field by field, whatever the value: it may come from the object itself."""
    defaults, first, second = ServerDefaults(), _object("a", x=1), _object("b", x=2)
    assert not defaults.explain(first, _made(first, policy="Always", account="a"))
    defaults.learn(first, _made(first, policy="Always", account="a"))
    assert defaults.explain(second, _made(second, policy="Never", account="b"))
    assert defaults.explain(second, _made(second, account="b"))
    assert not defaults.explain(second, _made(second, policy="Never", port=30001))


def test_another_kind_is_learned_for_itself() -> None:
    """Kinds share names of fields, not who fills them in."""
    defaults, first = ServerDefaults(), _object("a")
    defaults.learn(first, _made(first, policy="Always"))
    other = {**first, "kind": "Job"}
    assert not defaults.explain(other, _made(other, policy="Always"))


def test_elements_of_a_list_are_one_field() -> None:
    """A second container gets what the first one got; an element that is added is no field of the first."""
    defaults, one = ServerDefaults(), _object("a", containers=[{"name": "a"}])
    defaults.learn(one, _made(one, containers=[{"name": "a", "policy": "Always"}]))
    two = _object("b", containers=[{"name": "a"}, {"name": "b"}])
    filled = [{"name": "a", "policy": "Always"}, {"name": "b", "policy": "Always"}]
    assert defaults.explain(two, _made(two, containers=filled))
    assert not defaults.explain(two, _made(two, containers=[*filled, {"name": "sidecar"}]))
    assert not defaults.explain(two, _made(two, containers=filled[:1]))
