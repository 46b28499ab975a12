"""What keeps secret values out of everything people see.

A :class:`Redactor` masks in two ways. *Structurally*: the data of a Secret is replaced whatever it is. *By value*:
every secret value read in this process is known to it and is replaced wherever it turns up in a text, in the forms
tools give it. A masked value shows a keyed fingerprint, so that a change of it is visible; the key is random and lies
in the cluster, since a plain hash of a short secret can be guessed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

_SHORTEST = 3  # shorter values would mask ordinary text everywhere
_SHORTEST_NUMBER = 6  # ports and counts are everywhere
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Redactor:
    """Masks secret values; knows those it was told of. Safe to share between threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._forms: dict[str, str] = {}
        self._lock = threading.Lock()

    def fingerprint(self, value: bytes) -> str:
        """Twelve hex digits that change with the value and cannot be reversed without the key."""
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()[:12]

    def learn(self, values: Iterable[str]) -> None:
        """From now on replace these values, in each form tools give them, in every text."""
        with self._lock:
            for value in values:
                if len(value.strip()) >= _SHORTEST:
                    mask = self._mask(value.encode())
                    self._forms.update(dict.fromkeys(_forms_of(value), mask))

    def redact(self, text: str) -> str:
        """The text with every known secret value masked; the longest first, as one may hold another."""
        with self._lock:
            forms = sorted(self._forms.items(), key=lambda form: -len(form[0]))
        for form, mask in forms:
            text = text.replace(form, mask)
        return text

    def mask_object(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the object with secret content masked: the data of a Secret, and what kubectl noted of it."""
        masked = dict(manifest)
        metadata = dict(masked.get("metadata") or {})
        if isinstance(metadata.get("annotations"), Mapping):
            metadata["annotations"] = {k: self._note(k, v) for k, v in metadata["annotations"].items()}
        masked["metadata"] = metadata
        if manifest.get("kind") == "Secret" and manifest.get("apiVersion") == "v1":
            data = {key: _decoded(value) for key, value in _entries(manifest.get("data"))}
            data |= {key: str(value).encode() for key, value in _entries(manifest.get("stringData"))}
            masked.pop("stringData", None)
            if data or "data" in masked:
                masked["data"] = {key: self._mask(value) for key, value in data.items()}
        return masked

    def _note(self, key: str, value: Any) -> Any:
        return self._mask(str(value).encode()) if key == _LAST_APPLIED else value

    def _mask(self, value: bytes) -> str:
        return f"<masked {self.fingerprint(value)}>"


def _entries(data: Any) -> Iterable[tuple[str, Any]]:
    """The entries of a Secret's data; what is no object counts as one entry, since nothing of it may be shown."""
    if isinstance(data, Mapping):
        return data.items()
    return [("", data)] if data else []


def _decoded(value: Any) -> bytes:
    """An entry of ``data`` decoded, or as it is: a manifest that the server will refuse must be shown masked, too."""
    try:
        return base64.b64decode(value or "")
    except (ValueError, TypeError):
        return str(value).encode()


def leaves(value: Any) -> Iterable[str]:
    """Every scalar of a nested value as text: what must not be shown of a secret values file."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value
        yield from (line for line in value.splitlines() if line.strip())
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and len(str(value)) >= _SHORTEST_NUMBER:
        yield str(value)


def _forms_of(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode()).decode()
    return {
        value,
        value.strip(),
        encoded,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value, safe=""),
    }
