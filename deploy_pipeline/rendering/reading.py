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
from typing import Any, ClassVar

import yaml

_PREFIX = "tag:yaml.org,2002:"
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
    """Refuses what is no JSON."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (the stubs have it so; none of YAML 1.1)
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """One value; a node that comes a second time was an alias."""
        if node in self.constructed_objects or node in self.recursive_objects:
            raise yaml.constructor.ConstructorError(None, None, "an alias is not expected here", node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """An object of JSON: each key a text, once."""
        mapping = {self.construct_object(key, deep): self.construct_object(value, deep) for key, value in node.value}
        if len(mapping) < len(node.value) or not all(isinstance(key, str) for key in mapping):
            raise yaml.constructor.ConstructorError(None, None, "a key comes twice or is not text", node.start_mark)
        return mapping


def _int(loader: JsonLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)), 0)  # refuses 017, which is 15 or 17


def _float(loader: JsonLoader, node: yaml.ScalarNode) -> float:
    number = float(str(loader.construct_scalar(node)))
    if not math.isfinite(number):
        raise ValueError(f"{node.value} is too large a number")
    return number


def _nothing(_: JsonLoader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(None, None, f"the tag {node.tag!r} is not expected here", node.start_mark)


for _name, _pattern, _first in _PLAIN:
    JsonLoader.add_implicit_resolver(_PREFIX + _name, re.compile(f"^(?:{_pattern})$"), list(_first))
for _name, _construct in (
    ("null", yaml.CSafeLoader.construct_yaml_null),
    ("bool", yaml.CSafeLoader.construct_yaml_bool),
    ("int", _int),
    ("float", _float),
    ("str", yaml.CSafeLoader.construct_yaml_str),
    ("seq", yaml.CSafeLoader.construct_yaml_seq),
    ("map", yaml.CSafeLoader.construct_yaml_map),
):
    JsonLoader.add_constructor(_PREFIX + _name, _construct)
JsonLoader.add_constructor(None, _nothing)
