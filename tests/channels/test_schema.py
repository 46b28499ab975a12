"""The JSON schema by which editors check channel files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy_pipeline.channels import App, json_schema, parse_channel
from deploy_pipeline.errors import ChannelFaults

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
KUSTOMIZE = {"name": "web", "driver": "kustomize", "kustomize_dir": "k"}
HELM = {"name": "web", "driver": "helm", "namespace": "web", "helm_name": "web", "helm_chart": "c"}


def channel(app: dict[str, Any], **changes: object) -> dict[str, Any]:
    """A channel with this one app; a change to ... leaves the key out."""
    return {"channel": "test", "releases": [{key: v for key, v in {**app, **changes}.items() if v is not ...}]}


def test_the_schema_is_one() -> None:
    """It is valid itself."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", sorted((ROOT / "channels").glob("*.yaml")), ids=lambda path: path.name)
def test_the_channel_files_of_this_repository_match(path: Path) -> None:
    """Both forms are examples: with the key calitp and without."""
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


RIGHT = (
    channel(KUSTOMIZE),
    channel(HELM),
    channel(KUSTOMIZE, secrets=None, timeout=None, helm_values=None, namespace=None, helm_chart=None),
    channel(KUSTOMIZE, helm_values=[], secrets=["a_b.c-d"], timeout="1h2m3.5s", namespace="x"),
    channel(HELM, helm_values=["v.yaml"], secret_helm_values=["v"], kustomize_dir=None),
    {"channel": "test"},
    {"channel": "test", "allow": {"kinds": ["ClusterRole"], "namespaces": None}, "images": "off"},
    {"channel": "test", "allow": None, "images": None, "plain_secrets": "warn"},
    {"channel": "test", "releases": None, "approval": None, "drift_schedule": "* * * * *"},
)
WRONG: tuple[object, ...] = (
    {},
    [],
    {"releases": []},
    {"channel": "Test"},
    {"channel": "a" * 41},
    {"channel": "test", "unknown": 1},
    {"channel": "test", "approval": "never"},
    {"channel": "test", "allow": {"kind": ["A"]}},
    {"channel": "test", "images": "always"},
    channel(KUSTOMIZE, unknown=None),
    channel(KUSTOMIZE, name=...),
    channel(KUSTOMIZE, driver="docker"),
    channel(KUSTOMIZE, kustomize_dir=...),
    channel(KUSTOMIZE, kustomize_dir=None),
    channel(KUSTOMIZE, helm_chart="c"),
    channel(KUSTOMIZE, helm_values=["v.yaml"]),
    channel(KUSTOMIZE, secrets="x"),
    channel(KUSTOMIZE, secrets=["a/b"]),
    channel(KUSTOMIZE, timeout="5"),
    channel(HELM, namespace=...),
    channel(HELM, helm_name=None),
    channel(HELM, helm_name="a" * 54),
    channel(HELM, kustomize_dir="k"),
)


@pytest.mark.parametrize("content", RIGHT)
def test_what_loads_matches_in_both_forms(content: dict[str, Any]) -> None:
    """The editor shows no fault where there is none."""
    for form in (content, {"calitp": content}):
        parse_channel(yaml.safe_dump(form), "channels/test.yaml", None)
        VALIDATOR.validate(form)


@pytest.mark.parametrize("content", WRONG)
def test_what_is_refused_for_its_shape_does_not_match(content: object) -> None:
    """The editor shows the faults that need no look at other files."""
    for form in (content, {"calitp": content}):
        with pytest.raises(ChannelFaults):
            parse_channel(yaml.safe_dump(form), "channels/test.yaml", None)
        assert not VALIDATOR.is_valid(form)


def test_nothing_may_stand_beside_calitp() -> None:
    """The same rule as for loading."""
    assert not VALIDATOR.is_valid({"calitp": {"channel": "test"}, "other": 1})


def test_every_key_is_described() -> None:
    """Editors show the description of a key beside it."""
    properties = json_schema()["$defs"]["App"]["properties"]
    assert set(properties) == App.keys()
    assert all(schema.get("description") for schema in properties.values())
