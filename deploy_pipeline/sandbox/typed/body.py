"""Reads request bodies, JSON and YAML, with the decoder's own complaints.

YAML is read as Go's reader does: YAML 1.1 booleans, but no dates and no base-60 numbers. A key that is there twice is
reported with its path (JSON) or line (YAML); whether that is an error or a warning is up to the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import yaml

from deploy_pipeline.sandbox.errors import Json, bad_request, internal

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RESOLVERS = (
    ("bool", r"y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE", "yYnNtTfFoO"),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


class _Loader(_Base):  # type: ignore[misc]
    """YAML as sigs.k8s.io/yaml reads it."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    repeated: list[str]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Json:
        """Note keys that are there twice; JSON has only strings as keys."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                self.repeated.append(f'  line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return {key if isinstance(key, str) else json.dumps(key): value for key, value in found.items()}


def _number(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    return int(text, 8 if re.fullmatch(r"[-+]?0[0-7]+", text) else 0)


for _name, _pattern, _first in RESOLVERS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:bool", lambda _, node: node.value.lower() in ("y", "yes", "on", "true"))
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: float(node.value))


def read_yaml(body: bytes) -> tuple[Any, str]:
    """The document, and a complaint about repeated keys."""
    try:
        loader = _Loader(body)
        loader.repeated = []
        value = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"yaml: line {mark.line + 1}: {error.problem}" if mark else f"yaml: {error}") from error  # type: ignore[attr-defined]
    return value, "\n".join(["yaml: unmarshal errors:", *loader.repeated]) if loader.repeated else ""


def read_json(body: bytes) -> tuple[Any, list[str]]:
    """The document, and complaints about repeated keys."""
    sizes: list[bool] = []

    def counted(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        sizes.append(len(found) == len(pairs))
        return found

    value = json.loads(body, object_pairs_hook=counted)
    if all(sizes):
        return value, []
    return value, list(_repeated(json.loads(body, object_pairs_hook=tuple), ""))


def _repeated(value: Any, path: str) -> Iterator[str]:
    """Repeated keys by path, in a document whose objects are tuples of pairs."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, f"{path}[{index}]")
    elif isinstance(value, tuple):
        seen = set()
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                yield f'duplicate field "{where}"'
            seen.add(key)
            yield from _repeated(item, where)


def read_object(body: bytes, media_type: str) -> tuple[Json, list[str]]:
    """The object of a POST or PUT, and complaints for strict field validation."""
    try:
        if media_type.endswith("yaml"):
            value, complaint = read_yaml(body)
            repeated = [complaint] if complaint else []
        else:
            value, repeated = read_json(body)
    except ValueError as error:
        raise bad_request(f"error decoding: {error}") from error
    if not isinstance(value, dict):
        raise bad_request("couldn't get version/kind; json parse error: expected an object")
    return value, repeated


def read_apply(body: bytes) -> Json:
    """The configuration of a server-side apply; JSON is YAML, but much faster to read."""
    try:
        value, repeated = read_json(body)
    except ValueError:
        value, repeated = None, []
    if value is None or repeated:
        try:
            value, complaint = read_yaml(body)
        except ValueError as error:
            raise bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from error
        if complaint:
            raise bad_request(f"error strict decoding YAML: error converting YAML to JSON: {complaint}")
    if not isinstance(value, dict):
        raise internal("error decoding YAML: expected an object")
    return value
