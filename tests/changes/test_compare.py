"""Comparing two states of an object: all that was asked for, nothing the server keeps for itself."""

from __future__ import annotations

from typing import Any

import pytest

from deploy_pipeline.changes import field_changes
from deploy_pipeline.redaction import Redactor

REDACTOR = Redactor(b"k" * 32)


def deployment(**spec: Any) -> dict[str, Any]:
    """A Deployment as a server returns it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7", "generation": 1},
        "spec": spec,
        "status": {"replicas": 1},
    }


def paths(before: Any, after: Any) -> dict[str, tuple[str | None, str | None]]:
    """The changes by path."""
    return {c.path: (c.before, c.after) for c in field_changes(before, after, REDACTOR)}


def test_what_the_server_keeps_is_no_change() -> None:
    """Status, versions, managed fields and generation differ at every write."""
    before, after = deployment(replicas=1), deployment(replicas=1)
    after["metadata"] |= {"resourceVersion": "9", "generation": 4, "managedFields": [{"manager": "x"}], "uid": "2"}
    after["status"] = {"replicas": 5}
    assert paths(before, after) == {}


def test_an_inserted_container_is_one_change() -> None:
    """Named elements are compared by name, whatever their position."""
    before = deployment(containers=[{"name": "web", "image": "w:1"}])
    after = deployment(containers=[{"name": "proxy", "image": "p:1"}, {"name": "web", "image": "w:1"}])
    assert set(paths(before, after)) == {
        "spec.containers[proxy].image",
        "spec.containers[proxy].name",
        "spec.containers[order]",
    }


def test_an_appended_element_is_no_change_of_order() -> None:
    """Only what cannot be seen from the elements themselves is a change of order."""
    before = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    after = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}])
    assert set(paths(before, after)) == {"spec.env[C].name", "spec.env[C].value"}


def test_an_order_that_changes_alone_is_shown() -> None:
    """The order of environment variables matters to Kubernetes, so it is never lost."""
    before = deployment(env=[{"name": "A"}, {"name": "B"}])
    assert paths(before, deployment(env=[{"name": "B"}, {"name": "A"}])) == {
        "spec.env[order]": ('["A", "B"]', '["B", "A"]')
    }


def test_keys_with_dots_cannot_be_confused_with_paths() -> None:
    """An annotation key is quoted in the path."""
    before, after = deployment(), deployment()
    after["metadata"]["annotations"] = {"a.b/c": "1"}
    assert paths(before, after) == {'metadata.annotations["a.b/c"]': (None, '"1"')}


def test_empty_and_absent_values_are_told_apart() -> None:
    """``emptyDir: {}`` is not nothing."""
    assert paths(deployment(), deployment(volume={"emptyDir": {}})) == {"spec.volume.emptyDir": (None, "{}")}


def test_secret_values_are_masked_and_their_changes_visible() -> None:
    """Neither side shows a value, also not by the annotation of kubectl; both fingerprints differ."""
    before = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "b2xkLXNlY3JldA=="}}
    after = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "s",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"stringData":{"p":"new-secret"}}'},
        },
        "stringData": {"p": "new-secret"},
    }
    changes = paths(before, after)
    assert list(changes) == ["data.p", 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]']
    assert changes["data.p"][0] != changes["data.p"][1]
    assert "new-secret" not in str(changes)
    assert "b2xkLXNlY3JldA" not in str(changes)


def test_a_known_secret_value_is_masked_in_any_object() -> None:
    """A chart may put a secret value into an argument or a config file."""
    redactor = Redactor(b"k" * 32)
    redactor.learn(['pass"word\nx'])
    after = deployment(args=['--key=pass"word\nx'])
    shown = str(field_changes(None, after, redactor))
    assert "word" not in shown
    assert "<masked " in shown


def _spec(value: Any) -> dict[str, Any]:
    return {"apiVersion": "e/v1", "kind": "W", "metadata": {"name": "w"}, "spec": value}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"on": 1}, {"on": True}),
        ({"on": 0}, {"on": False}),
        ({}, {"on": None}),
        ({"on": []}, {"on": [None]}),
        (
            {"x": [{"name": "a", "v": [{"name": "b", "w": 1}]}, {"name": "a].v[b", "w": 2}]},
            {"x": [{"name": "a", "v": [{"name": "b", "w": 666}]}, {"name": "a].v[b", "w": 2}]},
        ),
        ({"p.q": {"r.s": 1}, 'p.q"]["r.s': 2}, {"p.q": {"r.s": 666}, 'p.q"]["r.s': 2}),
        ({"x": {"p q": {"name": "p q", "v": 1}}}, {"x": [{"name": "p q", "v": 1}]}),
        ({"x": [{"name": "a"}]}, {"x": [{"name": "a"}, {"name": "c"}, {"name": "b"}]}),
    ],
)
def test_no_difference_is_lost(before: Any, after: Any) -> None:
    """Values that Python takes for equal, nulls, names that look like paths, the order of what comes."""
    redactor = Redactor(b"k" * 32)
    one, other = _spec(before), _spec(after)
    assert field_changes(one, other, redactor)
    assert field_changes(other, one, redactor)
    if len(after.get("x", ())) > len(before.get("x", ())) > 0:
        swapped = _spec({"x": [after["x"][0], *reversed(after["x"][1:])]})
        assert field_changes(one, other, redactor) != field_changes(one, swapped, redactor)
