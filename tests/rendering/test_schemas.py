"""Holding objects to the schemas of Kubernetes versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from deploy_pipeline.rendering import schema_faults
from tests.rendering.conftest import Deployer

CONTAINER = {"name": "app", "image": "web:1"}


def deployment(**spec: Any) -> dict[str, Any]:
    """A Deployment in order, but for these fields."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
    right = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {**right, **spec}}


def container(**fields: Any) -> dict[str, Any]:
    """A Deployment whose container has these fields."""
    return deployment(template={"spec": {"containers": [CONTAINER | fields]}})


INSIDE = "spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("manifest", "faults"),
    [
        (deployment(), []),
        (deployment(replicas="2"), ["spec.replicas: must be a whole number"]),
        (deployment(replicas=None), []),
        (deployment(replica=2), ["spec: has no field 'replica'"]),
        (deployment(paused=1, minReadySeconds={}), 2),
        (container(ports=[{"containerPort": "<secret:web#/port>"}]), []),
        (container(ports=[{"containerPort": "80"}]), [f"{INSIDE}.ports[0].containerPort: must be a whole number"]),
        (container(ports=[{}]), [f"{INSIDE}.ports[0]: lacks containerPort"]),
        (container(resources={"limits": {"cpu": 1, "memory": "1Gi"}}), []),
        (container(env={"A": "b"}), [f"{INSIDE}.env: must be a list"]),
        (container(env=[{"name": "A", "value": 1}] * 30), 10),
        ({**deployment(), "apiVersion": "example.org/v1"}, []),
        (
            {**deployment(), "metadata": {"name": "web", "labels": {"a.b/c": 1}}},
            ['metadata.labels["a.b/c"]: must be text'],
        ),
    ],
)
def test_faults_have_a_field_and_words(manifest: dict[str, Any], faults: list[str] | int) -> None:
    """At most ten; placeholders and fields that are null are none, nor are kinds that Kubernetes does not have."""
    found = [str(fault) for fault in schema_faults(manifest, "1.36")]
    assert (found if isinstance(faults, list) else len(found)) == faults


def test_no_value_is_quoted() -> None:
    """It may be secret."""
    for manifest in (deployment(replicas="s3cret"), container(env=["s3cret"]), container(imagePullPolicy="s3cret")):
        assert "s3cret" not in " ".join(map(str, schema_faults(manifest, "1.36")))


@pytest.mark.parametrize(
    ("version", "count"), [("1.25", 1), ("1.36.2", 1), ("v1.37.1-gke.1", 1), ("1.99", 0), ("1.3", 0)]
)
def test_unknown_fields_are_faults_of_a_version_whose_schemas_are_there(version: str, count: int) -> None:
    """A newer cluster may have fields that nobody here has heard of."""
    assert len(schema_faults(deployment(invented=1), version)) == count
    assert len(schema_faults(deployment(replicas="two"), version)) == 1


def test_rendering_warns_of_them(small_deployer: Callable[..., Deployer]) -> None:
    """Before any cluster is asked: which version runs, only the cluster knows."""
    rendered = small_deployer({"kubernetes/app/one.yaml": yaml.safe_dump(deployment(replicas="two"))}).render()
    assert rendered.warnings == (
        "rendered/test/app.yaml: Deployment web: spec.replicas: must be a whole number (schema of Kubernetes 1.36.2)",
    )
