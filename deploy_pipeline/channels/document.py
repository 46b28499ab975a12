"""Reading one YAML file of a branch, whose author is not trusted yet.

PyYAML's safe loader runs no code, but it lets the last of two equal keys win, expands aliases without end, guesses
types (``on`` is a boolean, ``1:30`` a number) and ends in half a dozen kinds of exceptions. So only its parser is used:
here its nodes become text, lists and mappings, within limits, and each value keeps the line it stands in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from deploy_pipeline.channels.faults import Fault, Location, shown

MAX_BYTES = 1024 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32
_LONGEST_PROBLEM = 200

_PREFIX = "tag:yaml.org,2002:"
_TEXT, _NULL, _MERGE = f"{_PREFIX}str", f"{_PREFIX}null", f"{_PREFIX}merge"
_GUESSED = frozenset(f"{_PREFIX}{kind}" for kind in ("bool", "int", "float", "timestamp", "value"))
_PLAIN = frozenset({_TEXT, _NULL, _MERGE, f"{_PREFIX}seq", f"{_PREFIX}map"}) | _GUESSED


@dataclass(frozen=True)
class NotText:
    """A bare word that YAML takes for a number, a date or a boolean."""

    word: str

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True)
class Document:
    """The content of a file: ``value`` is made of dict, list, str, NotText and None; None if it is empty or no YAML."""

    path: str
    value: Any = None
    faults: tuple[Fault, ...] = ()
    lines: dict[Location, int] = field(default_factory=dict)

    def fault(self, where: Location, reason: str) -> Fault:
        """A fault at that place; what is missing is said to be in the line of what should hold it."""
        known = next((where[:end] for end in range(len(where), 0, -1) if where[:end] in self.lines), None)
        return Fault(self.path, where, reason, self.lines[known] if known else None)

    def inside(self, key: str) -> Document:
        """The part of the document below one key of its top level."""
        lines = {where[1:]: line for where, line in self.lines.items() if where[0] == key}
        faults = tuple(replace(f, where=f.where[1:]) if f.where[:1] == (key,) else f for f in self.faults)
        return replace(self, value=self.value[key], faults=faults, lines=lines)


def read_document(content: bytes | str, path: str) -> Document:
    """Read YAML text; what is wrong with it stands in the document's ``faults``."""
    if len(content) > MAX_BYTES:
        return Document(path, faults=(Fault(path, (), f"is larger than {MAX_BYTES // 1024} KiB"),))
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        node = _Composer(text).get_single_node()
        if node is None:
            return Document(path)
        reader = _Reader(path)
        value = reader.value(node, ())
    except UnicodeDecodeError as error:
        return Document(path, faults=(Fault(path, (), f"is not UTF-8 (byte {error.start})"),))
    except yaml.MarkedYAMLError as error:
        return Document(path, faults=(_syntax_fault(path, error),))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # Characters that YAML forbids, and escapes such as "\UFFFFFFFF" that PyYAML hands to chr() unchecked.
        return Document(path, faults=(Fault(path, (), f"is not YAML: {str(error).splitlines()[0]}"),))
    return Document(path, value, tuple(reader.faults), reader.lines)


class _Composer(yaml.SafeLoader):
    """Stops before nesting exhausts Python's stack, or the number of nodes its memory."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _too_much(self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reader:
    """Turns nodes into values. Aliases are expanded and counted each time, so that no few lines become millions."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.faults: list[Fault] = []
        self.lines: dict[Location, int] = {}
        self._nodes = 0

    def value(self, node: yaml.Node, where: Location) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(where) > MAX_DEPTH:
            raise _too_much(node.start_mark)
        if where:
            self.lines.setdefault(where, _line(node))
        if node.tag not in _PLAIN:
            self._fault(where, node, f"the tag {shown(node.tag.replace(_PREFIX, '!!'))} has no meaning here")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*where, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, where)

    def _scalar(self, node: yaml.Node, where: Location) -> str | NotText | None:
        if node.tag == _NULL:
            return None
        text = self._text(node, where)
        return NotText(text) if node.tag in _GUESSED else text

    def _mapping(self, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
        own: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(where, key_node, "a key must be text")
                continue
            key = self._text(key_node, where)
            inner = (*where, key)
            if key in first_line:
                self._fault(inner, key_node, f"is given twice, first in line {first_line[key]}")
                continue
            self.lines[inner] = first_line[key] = _line(key_node)
            if key_node.tag == _MERGE:
                inherited = self._merged(value_node, inner)
            else:
                own[key] = self.value(value_node, inner)
        return inherited | own

    def _merged(self, node: yaml.Node, where: Location) -> dict[str, Any]:
        """What ``<<`` brings in: one mapping, or several of which the first wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._fault(where, source, "must name a mapping")
                break  # an alias can repeat the list any number of times: one fault for each of them is enough
            merged = self.value(source, where) | merged
        return merged

    def _text(self, node: yaml.Node, where: Location) -> str:
        text: str = node.value
        readable = text.encode("utf-8", "replace").decode()
        if readable != text:
            self._fault(where, node, "holds half of a surrogate pair, which is no character")
        return readable

    def _fault(self, where: Location, node: yaml.Node, reason: str) -> None:
        self.faults.append(Fault(self.path, where, reason, _line(node)))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _too_much(mark: yaml.error.Mark) -> yaml.MarkedYAMLError:
    problem = f"nested deeper than {MAX_DEPTH} levels, or more than {MAX_NODES} values with aliases expanded"
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _syntax_fault(path: str, error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = error.problem or error.context or "unknown problem"
    return Fault(path, (), f"is not YAML: {place}{problem[:_LONGEST_PROBLEM]}")
