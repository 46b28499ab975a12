"""The data file is what the derivation gives, and bodies are read as the API server reads them."""

from __future__ import annotations

import gzip

import pytest

from deploy_pipeline.sandbox.controllers.pod_hash import template_hash
from deploy_pipeline.sandbox.errors import ApiError
from deploy_pipeline.sandbox.schema import Definitions
from deploy_pipeline.sandbox.typed import quantity
from deploy_pipeline.sandbox.typed.body import read_apply, read_json
from tests.sandbox.derivation import derive


def test_data_file_is_up_to_date() -> None:
    """Deriving again from the installed packages gives the same content, in the same order."""
    fresh = derive.encode(derive.derive(derive.read_structs()))
    assert gzip.decompress(fresh) == gzip.decompress(derive.OUTPUT.read_bytes())


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0", "0"),
        ("100000", "100k"),
        ("1e3", "1e3"),
        (2, "2"),
        ("64Mi", "64Mi"),
    ],
)
def test_quantities_are_stored_in_canonical_form(text: str | int, stored: str) -> None:
    """As apimachinery's Quantity prints them."""
    assert quantity.canonical(text) == stored


def test_yaml_is_read_as_go_reads_it() -> None:
    """YAML 1.1 booleans, but neither dates nor base-60 numbers."""
    body = b"a: on\nb: 2024-01-01\nc: 1:30\nd: 010\ne: 1e3\nf: null\ng: 'on'\nh: 0x10\n"
    found = read_apply(body)
    assert found == {"a": True, "b": "2024-01-01", "c": "1:30", "d": 8, "e": 1000.0, "f": None, "g": "on", "h": 16}


def test_repeated_keys_are_found_at_any_depth() -> None:
    """With their path, and the last value wins."""
    value, repeated = read_json(b'{"a": [{"b": {"c": 1, "c": 2}}], "a2": 1}')
    assert value["a"][0]["b"] == {"c": 2}
    assert repeated == ['duplicate field "a[0].b.c"']


def test_an_apply_that_is_no_object_is_refused() -> None:
    """A list or a text is no configuration."""
    with pytest.raises(ApiError):
        read_apply(b"- 1\n")


def test_pod_template_hash_is_that_of_a_real_controller() -> None:
    """The name of the ReplicaSet that kube-controller-manager 1.36.2 made for this template."""
    container = {
        "name": "app",
        "image": "registry.example/app:1",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    template = {"metadata": {"labels": {"app": "d"}}, "spec": spec}
    assert template_hash(template, Definitions.load().printed) == "5bb5b9cb87"
