"""What a tool printed, read at once where every reader of YAML agrees on it.

kubectl decides what an object is (``manifests.parse_manifests``), and a start of it takes as long as all else that is
done for a small app. Most output leaves it nothing to decide: quoted text, words, plain numbers. Whatever one reader or
another could take for something else (``yes``, ``0o17``, ``1:30``, ``1.0``, anchors, odd line ends) is its business.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from deploy_pipeline.rendering.reading import JsonLoader, read_documents

# Tags, directives, ends of documents, beginnings with content behind them, JSON, and what some take for a line end.
_LEFT_ALONE = re.compile(
    r"(?:^|[\s,:\[{-])!|^%|^\.\.\.|^---[^\S\n]*[^\s]|\A\s*\{|[\r\x85\u2028\u2029\ufeff]", re.MULTILINE
)
_CERTAIN = re.compile(
    r"|~|null|true|false"  # YAML 1.1, 1.2 and Go's reader agree on these
    r"|0|-?[1-9][0-9]{0,15}"
    r"|[1-9][0-9]*(?:m|k|M|G|T|Ki|Mi|Gi|Ti|Pi|s|h|%)"  # quantities and times are text
    r"|(?!(?:y|n|yes|no|on|off|true|false|null)\Z)(?:--?)?[A-Za-z/][^\n]*",
    re.IGNORECASE,
)
_WORDS = frozenset(("null", "true", "false"))


class _NotCertainError(yaml.YAMLError):
    """Somebody could read it otherwise."""


class _CertainLoader(JsonLoader):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Called for each node without a tag; a scalar is plain if the first of ``implicit`` says so."""
        if kind is yaml.ScalarNode and implicit[0] and not _is_certain(value):
            raise _NotCertainError
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


def certain_documents(text: bytes) -> list[dict[str, Any]] | None:
    """The objects in a tool's output; None unless every reader would find just these."""
    try:
        if _LEFT_ALONE.search(text.decode()):
            return None
        documents = [document for document in read_documents(text, _CertainLoader) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    return documents if all(map(_is_plain_object, documents)) else None


def _is_certain(plain: str) -> bool:
    """Whether a scalar without quotes is the same to every reader. Only these words may be written in one way alone."""
    return bool(_CERTAIN.fullmatch(plain)) and (plain.lower() not in _WORDS or plain in _WORDS)


def _is_plain_object(document: Any) -> bool:
    """An object that kubectl neither refuses nor takes apart: it does so with whatever has ``items``."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "items" in document:
        return False
    kind, names = document.get("kind"), (document.get("kind"), document.get("apiVersion"), metadata.get("name"))
    return all(isinstance(name, str) and name for name in names) and not str(kind).endswith("List")
