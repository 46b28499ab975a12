"""What a payload must be: a Secret manifest, or a Helm values file. Errors name the secret, never its content."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import yaml

from deploy_pipeline.errors import SecretFault
from deploy_pipeline.secret_stores.store import StoredSecret


def secret_manifest(stored: StoredSecret, namespace: str | None) -> dict[str, Any]:
    """The payload as a Secret for ``namespace``; without one the payload must name its own. Raises SecretFault."""
    documents = [document for document in _documents(stored) if document is not None]
    if len(documents) != 1:
        raise SecretFault(f"the secret {stored.name} must hold one document, it holds {len(documents)}")
    manifest = documents[0]
    if not isinstance(manifest, dict) or (manifest.get("apiVersion"), manifest.get("kind")) != ("v1", "Secret"):
        raise SecretFault(
            f"the secret {stored.name} is not a Kubernetes Secret manifest", hint="it needs apiVersion v1, kind Secret"
        )
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise SecretFault(f"the secret {stored.name} has no metadata.name")
    own = metadata.get("namespace")
    if namespace and own and own != namespace:
        raise SecretFault(f"the secret {stored.name} is for namespace {own}, its app is in {namespace}")
    if not namespace and not own:
        raise SecretFault(f"the secret {stored.name} names no namespace, and neither does its app")
    _check_data(stored.name, manifest)
    return {**manifest, "metadata": {**metadata, "namespace": own or namespace}}


def secret_values(manifest: Mapping[str, Any]) -> list[str]:
    """Every value of a Secret manifest as text: what a redactor has to know."""
    decoded = (base64.b64decode(value).decode(errors="replace") for value in (manifest.get("data") or {}).values())
    return [*decoded, *(str(value) for value in (manifest.get("stringData") or {}).values())]


def helm_values(stored: StoredSecret) -> Mapping[str, Any]:
    """The payload as Helm values. Raises SecretFault unless it is one YAML mapping."""
    documents = _documents(stored)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise SecretFault(f"the secret {stored.name} is not a Helm values file (one YAML mapping)")
    return documents[0]


def shape(name: str, values: Any, pointer: str = "") -> Any:
    """The same structure with every leaf replaced by a placeholder: what a candidate may hold of secret values.

    Strings say where they come from; numbers and booleans keep their type, so that charts still render.
    """
    if isinstance(values, Mapping):
        return {key: shape(name, inner, f"{pointer}/{key}") for key, inner in values.items()}
    if isinstance(values, list):
        return [shape(name, inner, f"{pointer}/{index}") for index, inner in enumerate(values)]
    if isinstance(values, bool):
        return False
    if isinstance(values, (int, float)):
        return 0
    return None if values is None else f"<secret:{name}#{pointer}>"


def _documents(stored: StoredSecret) -> list[Any]:
    try:
        return list(yaml.safe_load_all(stored.content))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SecretFault(f"the secret {stored.name} is not YAML") from None  # the parser quotes the content


def _check_data(name: str, manifest: Mapping[str, Any]) -> None:
    for key in ("data", "stringData"):
        values = manifest.get(key) or {}
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise SecretFault(f"the secret {name}: {key} must map names to strings")
    try:
        for value in (manifest.get("data") or {}).values():
            base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SecretFault(f"the secret {name}: data is not base64", hint="use stringData for plain text") from None
