"""What a payload must be: a Secret manifest, or a Helm values file. Errors name the secret, never its content."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from deploy_pipeline.errors import SecretFault
from deploy_pipeline.redaction import leaves
from deploy_pipeline.secret_stores.store import StoredSecret

_WORD = re.compile(r"""([^\s'",:\[\]{}]{8,})(\s*:)?""")


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
    metadata = _metadata(stored.name, manifest)
    own = metadata.get("namespace")
    if namespace and own and own != namespace:
        raise SecretFault(f"the secret {stored.name} is for another namespace than its app, which is in {namespace}")
    if not namespace and not own:
        raise SecretFault(
            f"the secret {stored.name} names no namespace, and neither does its app",
            hint="give the app a `namespace`, or the payload a metadata.namespace",
        )
    _check_data(stored.name, manifest)
    return {**manifest, "metadata": {**metadata, "namespace": own or namespace}}


def secret_data(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """What a Secret holds, however its manifest says it; ``stringData`` outweighs ``data``, as on the server."""
    data = {key: base64.b64decode(value) for key, value in (manifest.get("data") or {}).items()}
    return data | {key: str(value).encode() for key, value in (manifest.get("stringData") or {}).items()}


def secret_values(manifest: Mapping[str, Any]) -> list[str]:
    """Every value of a Secret manifest as text: what a redactor has to know."""
    encoded, plain = ((manifest.get(key) or {}).values() for key in ("data", "stringData"))
    return [*map(_decoded, encoded), *map(str, plain)]


def payload_values(content: bytes) -> list[str]:
    """Every value of a payload, be it a Secret manifest, Helm values or neither. Its faults are for others to find."""
    text = content.decode(errors="replace")
    try:
        documents = [document for document in yaml.safe_load_all(content) if document is not None]
        if not all(isinstance(document, dict) for document in documents):
            return _words(text)
        return [value for document in documents for value in _values_of(document)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return _words(text)


def _words(text: str) -> list[str]:
    """A text, and its longer words but for those that look like keys: whoever says why it is no YAML may quote one."""
    return [text, *(word for word, colon in _WORD.findall(text) if not colon)]


def _values_of(document: Mapping[str, Any]) -> Iterable[str]:
    """What a document says that is secret: all of it, but of a Secret its data alone."""
    if document.get("kind") != "Secret":
        return leaves(document)
    data = [document.get("data"), document.get("stringData")]
    decoded = [_decoded(value) for value in leaves(data[0]) if _is_base64(value)]
    return [*leaves(data), *decoded]


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return True


def _decoded(value: str) -> str:
    """An entry of ``data`` as text; as it is written if it is no text."""
    try:
        return base64.b64decode(value).decode()
    except UnicodeDecodeError:
        return value


def helm_values(stored: StoredSecret) -> Mapping[str, Any]:
    """The payload as Helm values. Raises SecretFault unless it is one YAML mapping."""
    documents = _documents(stored)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise SecretFault(f"the secret {stored.name} is not a Helm values file (one YAML mapping)")
    return documents[0]


def shape(name: str, values: Any, pointer: str = "", *, switches: bool = False) -> Any:
    """The same structure with every leaf replaced by a placeholder: what a candidate may hold of secret values.

    Strings say where they come from; numbers and booleans keep their type, so that charts still render. With
    ``switches`` booleans stay what they are.
    """
    if isinstance(values, Mapping):
        return {key: shape(name, inner, f"{pointer}/{key}", switches=switches) for key, inner in values.items()}
    if isinstance(values, list):
        return [shape(name, inner, f"{pointer}/{index}", switches=switches) for index, inner in enumerate(values)]
    if isinstance(values, bool):
        return values if switches else False
    if isinstance(values, (int, float)):
        return 0
    return None if values is None else f"<secret:{name}#{pointer}>"


def _documents(stored: StoredSecret) -> list[Any]:
    try:
        return list(yaml.safe_load_all(stored.content))
    except (yaml.YAMLError, ValueError, RecursionError):  # a ValueError for bytes that are no text, a date that is none
        raise SecretFault(f"the secret {stored.name} is not YAML") from None  # the parser quotes the content


def _metadata(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata, so far as we build on it; what is wrong with the rest, the server says."""
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise SecretFault(f"the secret {name} has no metadata.name")
    if not isinstance(metadata.get("namespace") or "", str):
        raise SecretFault(f"the secret {name}: metadata.namespace must be text")
    for key in ("labels", "annotations"):
        notes = metadata.get(key) or {}
        if not isinstance(notes, dict) or not all(isinstance(part, str) for pair in notes.items() for part in pair):
            raise SecretFault(f"the secret {name}: metadata.{key} must map names to text")
    return metadata


def _check_data(name: str, manifest: Mapping[str, Any]) -> None:
    for key in ("data", "stringData"):
        values = manifest.get(key) or {}
        if not isinstance(values, dict) or not all(isinstance(part, str) for pair in values.items() for part in pair):
            raise SecretFault(f"the secret {name}: {key} must map names to strings")
    try:
        for value in (manifest.get("data") or {}).values():
            base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SecretFault(f"the secret {name}: data is not base64", hint="use stringData for plain text") from None
