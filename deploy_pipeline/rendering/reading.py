"""YAML readers for files of a branch: none goes deeper than its stack and memory, and one gives JSON values only.

PyYAML's parser in C calls itself for each level, unchecked: a file of nothing but brackets would end the deployer. And
it makes a kilobyte of each byte of a list of digits.

Of rendered files, those values are read that were written. PyYAML reads YAML 1.1: unquoted, ``1:30`` is a number there
and ``2026-01-02`` a date, which the Kubernetes API knows nothing of. Here plain text is what the core schema of
YAML 1.2 (10.3.2) makes of it. What the deployer never writes and readers disagree about (anchors, tags, keys that are
no text or come twice, ``017``) is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

_PREFIX = "tag:yaml.org,2002:"
_MAPPING, _SEQUENCE = f"{_PREFIX}map", f"{_PREFIX}seq"
DEEPEST = 200
MOST_NODES = 400_000  # of one document: each takes a kilobyte while it is read
_FIRST_OF_NUMBERS = "-+.0123456789"
_PLAIN = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _FIRST_OF_NUMBERS),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", _FIRST_OF_NUMBERS),
)


class _Bounded:
    """Raises YAMLError for a document that is nested too deep or has too many nodes."""

    _depth = 0
    _nodes = 0

    def descend_resolver(self, *_: object) -> None:
        """Called for each node, before what is in it."""
        self._nodes = self._nodes + 1 if self._depth else 1
        self._depth += 1
        if self._nodes > MOST_NODES:
            raise yaml.composer.ComposerError(None, None, f"a document has more than {MOST_NODES} nodes")
        if self._depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"it is nested more than {DEEPEST} deep")

    def ascend_resolver(self) -> None:
        """Called for each node, after what is in it."""
        self._depth -= 1


def read_documents(text: bytes, loader: type[TextLoader | JsonLoader]) -> list[Any]:
    """The documents of a file; YAMLError for whatever is wrong with it."""
    try:
        return list(yaml.load_all(text, Loader=loader))
    except (LookupError, ValueError, TypeError, RecursionError) as error:  # "\UFFFFFFFF" goes to chr() unchecked
        raise yaml.YAMLError(str(error)) from None


class TextLoader(_Bounded, yaml.CBaseLoader):
    """Gives every scalar as the text that stands there."""


class JsonLoader(_Bounded, yaml.CSafeLoader):
    """Refuses what is no JSON. Its values are made here, as PyYAML's constructors take most of the time otherwise."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (the stubs have it so; none of YAML 1.1)

    def construct_document(self, node: yaml.Node) -> Any:
        """The value of one document."""
        return _value(node, set())


def _value(node: yaml.Node, known: set[int]) -> Any:
    """One value; a node that comes a second time was an alias."""
    if id(node) in known:
        raise _error("an alias is not expected here", node)
    known.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        construct = _SCALARS.get(node.tag)
        if construct:
            return construct(node.value)
    elif isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
        mapping = {_key(key, known): _value(value, known) for key, value in node.value}
        if len(mapping) < len(node.value):
            raise _error("a key comes twice", node)
        return mapping
    elif isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
        return [_value(item, known) for item in node.value]
    raise _error(f"the tag {node.tag!r} is not expected here", node)


def _key(node: yaml.Node, known: set[int]) -> str:
    key = _value(node, known) if isinstance(node, yaml.ScalarNode) else None
    if not isinstance(key, str):
        raise _error("a key is not text", node)
    return key


def _error(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _int(text: str) -> int:
    return int(text, 0)  # refuses 017, which is 15 or 17


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is no truth value")
    return text.lower() == "true"


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


_SCALARS: dict[str, Callable[[str], Any]] = {
    f"{_PREFIX}null": lambda _: None,
    f"{_PREFIX}bool": _bool,
    f"{_PREFIX}int": _int,
    f"{_PREFIX}float": _float,
    f"{_PREFIX}str": lambda text: text,
}
for _name, _pattern, _first in _PLAIN:
    JsonLoader.add_implicit_resolver(_PREFIX + _name, re.compile(f"^(?:{_pattern})$"), list(_first))
