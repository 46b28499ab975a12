"""What a payload must be. Every error names the secret and shows nothing of it."""

from __future__ import annotations

import pytest
import yaml

from deploy_pipeline.errors import SecretFault
from deploy_pipeline.secret_stores import StoredSecret, helm_values, secret_data, secret_manifest, secret_values
from tests.secret_stores.conftest import everything_said

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"word": "hunter2"}}
PLACED = {**SECRET, "metadata": {"name": "token", "namespace": "hunter2"}}


def _stored(content: object) -> StoredSecret:
    return StoredSecret("feed", content.encode() if isinstance(content, str) else yaml.safe_dump(content).encode())


def test_the_apps_namespace_or_its_own() -> None:
    """The payload need not name the namespace if the app has one, and must if not."""
    assert secret_manifest(_stored(SECRET), "shop")["metadata"]["namespace"] == "shop"
    assert secret_manifest(_stored(PLACED), None)["metadata"]["namespace"] == "hunter2"
    assert secret_manifest(_stored(PLACED), "hunter2")["metadata"]["namespace"] == "hunter2"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "must hold one document, it holds 0"),
        (yaml.safe_dump_all([SECRET, SECRET]), "must hold one document, it holds 2"),
        ("hunter2", "is not a Kubernetes Secret manifest"),
        ("- hunter2", "is not a Kubernetes Secret manifest"),
        ({**SECRET, "kind": "ConfigMap"}, "is not a Kubernetes Secret manifest"),
        ({**SECRET, "apiVersion": "v2"}, "is not a Kubernetes Secret manifest"),
        ({"apiVersion": "v1", "kind": "List", "items": [SECRET]}, "is not a Kubernetes Secret manifest"),
        ({**SECRET, "metadata": ["hunter2"]}, "has no metadata.name"),
        ({**SECRET, "metadata": {}}, "has no metadata.name"),
        (PLACED, "is for another namespace than its app, which is in shop"),
        ({**SECRET, "metadata": {"name": "a", "namespace": ["hunter2"]}}, "metadata.namespace must be text"),
        ({**SECRET, "metadata": {"name": "a", "labels": ["hunter2"]}}, "metadata.labels must map names to text"),
        ({**SECRET, "metadata": {"name": "a", "annotations": {"a": 2}}}, "metadata.annotations must map"),
        ({**SECRET, "data": {"a": "hunter2!"}}, "data is not base64"),
        ({**SECRET, "data": {"a": 5}}, "data must map names to strings"),
        ({**SECRET, "stringData": {"a": {"b": "hunter2"}}}, "stringData must map names to strings"),
        ({**SECRET, "stringData": {2: "hunter2"}}, "stringData must map names to strings"),
        ({**SECRET, "stringData": "hunter2"}, "stringData must map names to strings"),
        ("{hunter2: [", "is not YAML"),
        ("\x00hunter2", "is not YAML"),
        ("date: 2026-99-99 # hunter2", "is not YAML"),
        ("&a [*a, hunter2", "is not YAML"),
        ("[" * 600 + "hunter2", "is not YAML"),
    ],
)
def test_what_is_no_secret(content: object, words: str) -> None:
    """Each fault has words of its own, without the content."""
    with pytest.raises(SecretFault, match="the secret feed") as caught:
        secret_manifest(_stored(content), "shop")
    assert words in caught.value.message
    assert "hunter2" not in everything_said(caught.value)


def test_nobody_names_a_namespace() -> None:
    """The next step says both ways to name one."""
    with pytest.raises(SecretFault, match="the secret feed names no namespace, and neither does its app"):
        secret_manifest(_stored(SECRET), None)


@pytest.mark.parametrize("content", ["", "hunter2", "- hunter2", "a: 1\n---\nb: 2", "{hunter2: ["])
def test_what_are_no_values(content: str) -> None:
    """A values file is one mapping."""
    with pytest.raises(SecretFault, match="the secret feed is not") as caught:
        helm_values(_stored(content))
    assert "hunter2" not in everything_said(caught.value)


def test_both_ways_to_write_a_secret_are_one() -> None:
    """``stringData`` outweighs ``data``, as on the server; the redactor has to know both."""
    manifest = {**SECRET, "data": {"word": "b2xk", "bytes": "/w=="}}
    assert secret_data(manifest) == {"word": b"hunter2", "bytes": b"\xff"}
    assert secret_values(manifest) == ["old", "/w==", "hunter2"]
