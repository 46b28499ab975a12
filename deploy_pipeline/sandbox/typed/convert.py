"""From what a client sent to the typed object the server works with, and its JSON form.

A real server decodes into Go structs: unknown fields get lost (and are reported), wrong types are refused, nulls and
empty values vanish, quantities become canonical, defaults are filled in (`data/defaults.yaml`, and below what no table
can say). Here one walk along the schema does all of that. Custom objects keep what their schema allows.
"""

from __future__ import annotations

import base64
import copy
import datetime
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy_pipeline.sandbox.errors import ApiError, Json, bad_request
from deploy_pipeline.sandbox.schema import Node, data
from deploy_pipeline.sandbox.typed import quantity

EMPTY: tuple[Any, ...] = ("", 0, False, [], {})
FITTING: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "int-or-string": (int, float, str),
}
GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64", "time": "v1.Time", "micro-time": "v1.MicroTime"}
JSON_TYPES = {bool: "bool", str: "string", list: "array", dict: "object"}


@dataclass
class Conversion:
    """One object on its way in; `unknown` collects the fields that its schema does not have."""

    kind: str
    version: str
    defaulting: bool = True
    unknown: list[str] = field(default_factory=list)

    def refuse(self, why: str) -> ApiError:
        """400: the body is no object of this kind."""
        return bad_request(f'{self.kind} in version "{self.version}" cannot be handled as a {self.kind}: {why}')

    def convert(self, value: Any, node: Node, path: str = "", owner: str = "") -> Any:
        """The value in the form the server keeps; `owner` is the struct that has the field."""
        if node.shape == "any":
            return value
        if node.shape == "struct" and isinstance(value, dict):
            return self._custom(value, node, path) if node.custom else self._struct(value, node, path)
        if node.shape == "map" and isinstance(value, dict):
            where = path + (".{}" if node.custom else "[{}]")
            return {
                key: self.convert(item, node.element, where.format(key), owner)
                for key, item in value.items()
                if item is not None or node.element.scalar == "string"
            }
        if node.shape == "list" and isinstance(value, list):
            return [self.convert(item, node.element, f"{path}[{i}]", owner) for i, item in enumerate(value)]
        if node.custom:
            return value  # its schema is checked later
        return self._scalar(value, node, path, owner)

    def _struct(self, value: Json, node: Node, path: str) -> Json:
        result: Json = {}
        for key, item in value.items():
            child = node.fields.get(key)
            if child is None and not node.preserve:
                self.unknown.append(f'unknown field "{_below(path, key)}"')
            elif child is None:
                result[key] = item
            elif item is not None:
                new = self.convert(item, child, _below(path, key), node.name)
                if new not in EMPTY or key not in node.drops:
                    result[key] = new
        for key, blank in node.blanks.items():  # what Go writes even if it is empty
            if key not in result:
                result[key] = self.convert({}, node.fields[key], key, node.name) if blank == {} else blank
        if self.defaulting:
            fill(result, node.name)
        return result

    def _custom(self, value: Json, node: Node, path: str) -> Json:
        result: Json = {}
        for key, item in value.items():
            child = node.child(key)
            if child is None:
                self.unknown.append(f'unknown field "{_below(path, key)}"')
            elif item is not None or child.raw.get("nullable"):
                result[key] = item if item is None else self.convert(item, child, _below(path, key))
        for key, child in node.fields.items():
            if key not in result and "default" in child.raw:
                result[key] = self.convert(copy.deepcopy(child.raw["default"]), child, _below(path, key))
        return result

    def _scalar(self, value: Any, node: Node, path: str, owner: str) -> Any:
        if node.scalar == "quantity" and isinstance(value, (int, float, str)):
            try:
                return quantity.canonical(value)
            except ValueError as error:
                raise self.refuse(str(error)) from None
        if value is None and node.shape == "scalar":
            return ""
        if isinstance(value, str) and node.scalar.endswith("time"):
            return self._time(value, node)
        if isinstance(value, str) and node.raw.get("format") == "byte":
            return self._bytes(value)
        fits = isinstance(value, FITTING.get(node.scalar, ())) and isinstance(value, bool) == (node.scalar == "boolean")
        if fits and not (node.scalar == "integer" and value != int(value)):
            return value
        where = ".".join(part.partition("[")[0] for part in path.split("."))
        target = f"{owner or self.kind}.{where} of type {go_type(node)}"
        found = JSON_TYPES.get(type(value), "number")
        raise self.refuse(f"json: cannot unmarshal {found} into Go struct field {target}")

    def _bytes(self, value: str) -> str:
        try:
            base64.b64decode(value, validate=True)
        except ValueError:
            good = re.match(r"(?:[A-Za-z0-9+/]{4})*", value)
            raise self.refuse(f"illegal base64 data at input byte {good.end() if good else 0}") from None
        return value

    def _time(self, value: str, node: Node) -> str:
        """Times are kept in UTC."""
        try:
            # Python 3.10 reads fractions of exactly six digits only.
            text = re.sub(r"\.(\d+)", lambda match: "." + match[1][:6].ljust(6, "0"), value)
            moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(datetime.timezone.utc)
        except ValueError:
            layout = "2006-01-02T15:04:05Z07:00"
            raise self.refuse(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"') from None
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if node.scalar == "micro-time" else "%Y-%m-%dT%H:%M:%SZ")


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def go_type(node: Node) -> str:
    """The Go type of a field, as decoding errors name it."""
    if node.shape == "list":
        return "[]" + go_type(node.element)
    if node.shape == "map":
        return "map[string]" + go_type(node.element)
    if node.shape == "struct":
        return f"v1.{node.name}"
    return GO_TYPES.get(node.scalar) or str(node.raw.get("format", "int64"))


@functools.lru_cache(maxsize=256)
def empty_object(node: Node) -> Json:
    """What a freshly made Go object looks like: the state before a create, for field ownership."""
    found: Json = {} if node.custom else Conversion("", "", defaulting=False).convert({}, node)
    return found


DEFAULTS: Mapping[str, Json] = data("defaults")


def fill(value: Json, type_name: str) -> None:
    """Fill in the defaults of one struct, whose own parts are complete already."""
    if type_name in COMPUTED:
        COMPUTED[type_name](value)
    if type_name in DEFAULTS:
        _add(value, DEFAULTS[type_name])


def _add(value: Json, rules: Json) -> None:
    for key, default in rules.items():
        if key.startswith("if "):
            field, _, wanted = key[3:].partition("=")
            if value.get(field) in wanted.split("|"):
                _add(value, default)
        elif value.get(key) in (None, "", []):
            value[key] = copy.deepcopy(default) if isinstance(default, (dict, list)) else default
        elif isinstance(default, dict):
            value[key] = {**default, **value[key]}


def _container(value: Json) -> None:
    image, _, digest = value.get("image", "").partition("@")
    name, _, tag = image.rpartition("/")[2].partition(":")
    value.setdefault("imagePullPolicy", "Always" if name and not digest and tag in ("", "latest") else "IfNotPresent")


def _service_port(value: Json) -> None:
    if not value.get("targetPort") and "port" in value:
        value["targetPort"] = value["port"]


def _pod_spec(value: Json) -> None:
    if account := value.get("serviceAccountName") or value.get("serviceAccount"):
        value["serviceAccountName"] = value["serviceAccount"] = account  # the old and the new name of one field
    for container in value.get("containers") or () if value.get("hostNetwork") else ():
        for port in container.get("ports", ()):
            port.setdefault("hostPort", port.get("containerPort"))


def _pod(value: Json) -> None:
    for container in value["spec"].get("containers") or ():
        if limits := container["resources"].get("limits"):
            container["resources"]["requests"] = {**limits, **container["resources"].get("requests", {})}


def _job(value: Json) -> None:
    if "completions" not in value["spec"] and "parallelism" not in value["spec"]:
        value["spec"]["completions"] = 1


def _network_policy(value: Json) -> None:
    if not value.get("policyTypes"):
        value["policyTypes"] = ["Ingress", "Egress"] if value.get("egress") else ["Ingress"]


def _secret(value: Json) -> None:
    if texts := value.pop("stringData", None):
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        value["data"] = {**value.get("data", {}), **encoded}


def _claim_templates(value: Json) -> None:
    for claim in value.get("volumeClaimTemplates", ()):
        claim.update(apiVersion="v1", kind="PersistentVolumeClaim")


def _namespace(value: Json) -> None:
    if name := value["metadata"].get("name"):
        labels = {"kubernetes.io/metadata.name": name, **value["metadata"].get("labels", {})}
        value["metadata"] = {**value["metadata"], "labels": labels}


def _custom_names(value: Json) -> None:
    kind = value["names"].get("kind", "")
    value["names"] = {"singular": kind.lower(), "listKind": kind + "List", **value["names"]}


COMPUTED: Mapping[str, Callable[[Json], None]] = {
    "Container": _container,
    "CustomResourceDefinitionSpec": _custom_names,
    "EphemeralContainer": _container,
    "Job": _job,
    "Namespace": _namespace,
    "NetworkPolicySpec": _network_policy,
    "Pod": _pod,
    "PodSpec": _pod_spec,
    "Secret": _secret,
    "ServicePort": _service_port,
    "StatefulSetSpec": _claim_templates,
}
