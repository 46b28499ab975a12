"""Reads request bodies: JSON, YAML and protobuf, with the decoder's own complaints.

YAML is read as Go's reader does: YAML 1.1 booleans (`y` and `on` among them), but no dates and no
base-60 numbers. A key that is there twice is reported with its path (JSON) or line (YAML); whether
that is an error or a warning is up to the caller.
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

import yaml

from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request, internal

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RESOLVERS = (
    ("bool", r"y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE", "yYnNtTfFoO"),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)
TRUE = frozenset("y yes on true".split())


class _Loader(_Base):  # type: ignore[misc]
    """YAML as sigs.k8s.io/yaml reads it."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    repeated: list[str]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Json:
        """Note keys that are there twice; JSON has only strings as keys."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                line = key.start_mark.line + 1
                self.repeated.append(f'line {line}: key "{key.value}" already set in map')
            seen.add(key.value)
        found: Json = super().construct_mapping(node, deep)
        return {_key(key): value for key, value in found.items()}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return str(node.value).lower() in TRUE


def _number(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    if re.fullmatch(r"[-+]?0[0-7]+", text):
        return int(text, 8)
    return int(text, 0)


for _name, _pattern, _first in RESOLVERS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def read_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The document and its repeated keys."""
    loader = _Loader(body)
    loader.repeated = []
    try:
        return loader.get_single_data(), loader.repeated
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ValueError(f"yaml: line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"yaml: {error}") from error
    finally:
        loader.dispose()


class _RepeatedKeyError(Exception):
    """The fast way does not know where the repeated key is."""


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError
    return found


def read_json(body: bytes) -> tuple[Any, list[str]]:
    """The document and the paths of its repeated keys."""
    try:
        return json.loads(body, object_pairs_hook=_unique), []
    except _RepeatedKeyError:
        pairs = json.loads(body, object_pairs_hook=tuple)
        repeated: list[str] = []
        _find_repeated(pairs, "", repeated)
        return json.loads(body), repeated


def _find_repeated(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _find_repeated(item, f"{path}[{index}]", found)
    elif isinstance(value, tuple):
        seen = set()
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                found.append(f'duplicate field "{where}"')
            seen.add(key)
            _find_repeated(item, where, found)


def read_object(body: bytes, media_type: str) -> tuple[Json, list[str]]:
    """The object of a POST or PUT, and complaints for strict field validation."""
    try:
        if media_type.endswith("yaml"):
            value, lines = read_yaml(body)
            repeated = ["yaml: unmarshal errors:\n" + "\n".join(f"  {x}" for x in lines)] if lines else []
        else:
            value, repeated = read_json(body)
    except (ValueError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding: {error}") from error
    if not isinstance(value, dict):
        raise bad_request("couldn't get version/kind; json parse error: expected an object")
    return value, repeated


def read_apply(body: bytes) -> Json:
    """The configuration of a server-side apply; JSON is YAML, but much faster to read."""
    try:
        value, repeated = read_json(body) if body.lstrip()[:1] == b"{" else (None, [])
    except ValueError:
        value = None
    try:
        if value is None or repeated:
            value, repeated = read_yaml(body)
    except ValueError as error:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from error
    if repeated:
        lines = "\n".join(f"  {line}" for line in repeated)
        raise bad_request(
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n" + lines
        )
    if not isinstance(value, dict):
        raise internal("error decoding YAML: expected an object")
    return value


def unsupported_media_type(accepted: list[str]) -> ApiError:
    """415, naming what would do."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)
