"""What keeps secret values out of everything people see.

A :class:`Redactor` masks in three ways. *Structurally*: the data of a Secret is replaced whatever it is. *By value*:
every secret value read in this process is known to it and is replaced wherever it turns up in a text, in the forms
tools give it. And *by place*: what a chart makes of secret values is replaced where it stands. A masked value shows a
keyed fingerprint, so that a change of it is visible; the key is random and lies in the cluster, since a plain hash of a
short secret can be guessed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deploy_pipeline.secret_forms import Finder, forms_of

_SHORTEST = 3  # shorter values would mask ordinary text everywhere
_SHORTEST_NUMBER = 6  # ports and counts are everywhere
_SHORTEST_LINE = 8  # of a value of several lines
_PEM_BOUNDARY = re.compile("-----(BEGIN|END) [A-Z0-9 ]+-----")  # in every certificate
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Redactor:
    """Masks secret values; knows those it was told of, and tells ``also`` of them. Safe to share between threads."""

    def __init__(self, key: bytes, also: Callable[[Iterable[str]], None] | None = None) -> None:
        self._key = key
        self._also = also
        self._known: set[str] = set()
        self._forms: set[str] = set()
        self._finder: Finder | None = None
        self._hidden: dict[tuple[str, str, str], set[tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def fingerprint(self, value: bytes) -> str:
        """Twelve hex digits that change with the value and cannot be reversed without the key."""
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()[:12]

    def learn(self, values: Iterable[str]) -> None:
        """From now on replace these values, and their longer lines, in each form tools give them, in every text."""
        with self._lock:
            new = set(values) - self._known
            for value in new:
                for part in (value, *_lines_of(value)):
                    if len(part.strip()) >= _SHORTEST:
                        self._forms |= forms_of(part)
            if new:
                self._known |= new
                self._finder = None
        if new and self._also:
            self._also(new)

    def hide(self, kind: str, namespace: str, name: str, places: Iterable[tuple[str, ...]]) -> None:
        """From now on mask these places of an object, given as keys from the top; no namespace is the empty one."""
        with self._lock:
            self._hidden.setdefault((kind, namespace, name), set()).update(places)

    def hides(self, kind: str, namespace: str, name: str) -> bool:
        """Whether places of the object are masked: texts about it may quote what stands there."""
        return bool(self._hidden.get((kind, namespace, name)))

    def redact(self, text: str) -> str:
        """The text with every known secret value masked, also where one holds or overlaps another.

        A mask is made of the very text it stands for: whatever of that changes, shows.
        """
        finder = self._finder
        if finder is None:
            with self._lock:
                self._finder = finder = self._finder or Finder(self._forms)
        shown, end = [], 0
        for start, stop in finder.spans(text):
            shown += [text[end:start], self._mask(text[start:stop].encode(errors="surrogatepass"))]
            end = stop
        return "".join([*shown, text[end:]])

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
        named = (str(manifest.get("kind")), str(metadata.get("namespace") or ""), str(metadata.get("name")))
        for place in sorted(self._hidden.get(named, ())):
            masked = self._masked_at(masked, place)
        return masked

    def _masked_at(self, value: Any, place: tuple[str, ...]) -> Any:
        if not place:
            return self._mask(json.dumps(value, sort_keys=True).encode())
        if isinstance(value, Mapping) and place[0] in value:
            return {**value, place[0]: self._masked_at(value[place[0]], place[1:])}
        return value

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
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and len(str(value)) >= _SHORTEST_NUMBER:
        yield str(value)


def _lines_of(value: str) -> list[str]:
    """The lines of a value that has several, but for those that are in ordinary text as well."""
    lines = [line.strip() for line in value.strip().splitlines()]
    telling = [line for line in lines if len(line) >= _SHORTEST_LINE and not _PEM_BOUNDARY.fullmatch(line)]
    return telling if len(lines) > 1 else []
