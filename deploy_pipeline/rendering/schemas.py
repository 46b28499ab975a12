"""Holding objects to the schemas of a Kubernetes version, before any cluster is asked.

The schemas are those that ``kubernetes-validate`` bundles. Its own function reads them anew for each object and stops
at the first fault, so they are read here, once. Kinds that Kubernetes itself does not have are left to the cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from deploy_pipeline.errors import SettingsError

PLACEHOLDER = re.compile("<secret:[^#>]+#[^>]*>")
"""What stands for a secret value in a candidate (``secret_stores.shape``)."""

_FOLDER = re.compile(r"v(\d+)\.(\d+)\.\d+-local")
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_MOST_FAULTS = 10
_Kind = tuple[str, str, str]
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}


@dataclass(frozen=True)
class SchemaFault:
    """What is wrong with one field, elements of lists by position. The words never quote a value."""

    field: str
    words: str

    def __str__(self) -> str:
        return f"{self.field}: {self.words}" if self.field else self.words


def schema_faults(manifest: Mapping[str, Any], version: str) -> tuple[SchemaFault, ...]:
    """Where an object breaks the schema of its kind in a version such as ``1.36``; at most ten places.

    Fields that the schema does not have are faults only if it is the very version's. Placeholders of secret values
    stand for anything.
    """
    group, _, api_version = str(manifest["apiVersion"]).rpartition("/")
    validator = _validator(_nearest(version), (group, api_version, str(manifest["kind"])))
    if validator is None:
        return ()
    found = (error for error in validator.iter_errors(manifest) if not _stands_for_more(error.instance))
    return tuple(SchemaFault(_field(error.absolute_path), _words(error)) for error in islice(found, _MOST_FAULTS))


def _nearest(version: str) -> Path:
    """The folder of a version's schemas; else of the newest that is older, else of the oldest."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    asked = (int(match[1]), int(match[2])) if match else (0, 0)
    bundled = _bundled()
    chosen = max((known for known in bundled if known <= asked), default=min(bundled))
    folder = bundled[chosen]
    return folder.with_name(f"{folder.name}-strict") if chosen == asked else folder


@cache
def _bundled() -> dict[tuple[int, int], Path]:
    package = find_spec("kubernetes_validate")  # importing it would take half a second
    if package is None or package.origin is None:
        raise SettingsError("the package kubernetes-validate is missing", hint="run `make setup`")
    schemas = Path(package.origin).parent / "kubernetes-json-schema"
    matches = ((_FOLDER.fullmatch(folder.name), folder) for folder in schemas.iterdir())
    return {(int(match[1]), int(match[2])): folder for match, folder in matches if match}


@cache
def _definitions(folder: Path) -> tuple[dict[str, Any], dict[_Kind, str]]:
    """All definitions by name; the names by group, version and kind."""
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_bytes())["$defs"]
    named = {
        (str(kind["group"]), str(kind["version"]), str(kind["kind"])): name
        for name, definition in definitions.items()
        for kind in definition.get("x-kubernetes-group-version-kind") or ()
    }
    return definitions, named


@cache
def _validator(folder: Path, kind: _Kind) -> Any:
    """A validator of one kind's objects; None if the version does not have that kind."""
    from jsonschema import Draft202012Validator  # a tenth of a second

    definitions, named = _definitions(folder)
    if kind not in named:
        return None
    return Draft202012Validator({"$ref": f"#/$defs/{named[kind]}", "$defs": definitions})


def _field(path: Iterable[str | int]) -> str:
    parts = (f"[{json.dumps(part)}]" if not _PLAIN.fullmatch(str(part)) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _stands_for_more(value: Any) -> bool:
    """Nothing (a field that is null is not there), or a placeholder of a secret value."""
    return value is None or (isinstance(value, str) and PLACEHOLDER.search(value) is not None)


def _words(error: Any) -> str:
    """A fault in words that quote the schema alone: a value may be secret."""
    rule, expected = error.validator, error.validator_value
    if rule == "type":
        kinds = [expected] if isinstance(expected, str) else [kind for kind in expected if kind != "null"]
        return f"must be {' or '.join(_TYPES.get(kind, kind) for kind in kinds)}"
    if rule == "required":
        return f"lacks {', '.join(name for name in expected if name not in error.instance)}"
    if rule == "additionalProperties":
        known = error.schema.get("properties") or {}
        return f"has no field {', '.join(repr(name) for name in error.instance if name not in known)}"
    if rule == "enum":
        return f"must be {' or '.join(map(str, expected))}"
    return f"is not what the schema asks for ({rule})"
