"""What makes a pod, or a template of one, invalid; and the checks that other kinds share.

The words are those of `pkg/apis/core/validation` and of apimachinery's `validation` package upstream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deploy_pipeline.sandbox import quantity
from deploy_pipeline.sandbox.errors import (
    Cause,
    Json,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    required,
    unsupported,
)
from deploy_pipeline.sandbox.selectors import matches_selector

Causes = Iterator[Cause]
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
NAME_PART = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
    "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    f"validation is '{LABEL}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    f"validation is '{SUBDOMAIN}')"
)
NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{NAME_PART}')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    f"regex used for validation is '({NAME_PART})?')"
)
ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
MISMATCH = "`selector` does not match template `labels`"


def qualified_name_problem(key: str) -> str:
    """Why a label or annotation key is not allowed."""
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(SUBDOMAIN, prefix):
        return f"prefix part {SUBDOMAIN_TEXT}"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return "" if re.fullmatch(NAME_PART, name) else NAME_PART_TEXT


def labels_causes(labels: Json, path: str) -> Causes:
    """Wrong keys and values of labels."""
    for key, value in labels.items():
        if problem := qualified_name_problem(key):
            yield invalid_value(path, key, problem)
        if len(value) > 63:
            yield invalid_value(path, value, "must be no more than 63 bytes")
        elif value and not re.fullmatch(NAME_PART, value):
            yield invalid_value(path, value, VALUE_TEXT)


def port_causes(value: Any, path: str) -> Causes:
    """A number that is no port."""
    if isinstance(value, int) and not 1 <= value <= 65535:
        yield invalid_value(path, value, "must be between 1 and 65535, inclusive")


def not_negative(spec: Json, key: str, path: str = "spec") -> Causes:
    """A count below zero."""
    if (spec.get(key) or 0) < 0:
        yield invalid_value(f"{path}.{key}", spec[key], "must be greater than or equal to 0")


def one_of(value: Json, key: str, path: str, allowed: tuple[str, ...]) -> Causes:
    """A value outside its enumeration."""
    if value.get(key) is not None and value[key] not in allowed:
        yield unsupported(f"{path}.{key}", value[key], allowed)


def container_causes(container: Json, path: str, volumes: set[str]) -> Causes:
    """One container."""
    name = container.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch(LABEL, name) or len(name) > 63:
        yield invalid_value(f"{path}.name", name, LABEL_TEXT)
    if not container.get("image"):
        yield required(f"{path}.image")
    for index, port in enumerate(container.get("ports", ())):
        if not port.get("containerPort"):
            yield required(f"{path}.ports[{index}].containerPort")
        yield from port_causes(port.get("containerPort") or None, f"{path}.ports[{index}].containerPort")
        yield from one_of(port, "protocol", f"{path}.ports[{index}]", ("SCTP", "TCP", "UDP"))
    for index, variable in enumerate(container.get("env", ())):
        yield from env_causes(variable, f"{path}.env[{index}]")
    for index, mount in enumerate(container.get("volumeMounts", ())):
        where = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            yield required(f"{where}.name")
        elif mount["name"] not in volumes:
            yield not_found_value(f"{where}.name", mount["name"])
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")
    yield from one_of(container, "imagePullPolicy", path, ("Always", "IfNotPresent", "Never"))
    yield from resources_causes(container.get("resources", {}), f"{path}.resources")


def env_causes(variable: Json, path: str) -> Causes:
    """One environment variable."""
    name = variable.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch(r"[ -<>-~]+", name):
        yield invalid_value(f"{path}.name", name, ENV_TEXT)
    if variable.get("value") and variable.get("valueFrom"):
        yield invalid_value(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")


def resources_causes(resources: Json, path: str) -> Causes:
    """Requests above their limits, and negative amounts."""
    limits = resources.get("limits", {})
    for kind in ("limits", "requests"):
        for name, amount in resources.get(kind, {}).items():
            if quantity.parse(amount) < 0:
                where = f"{path}.{kind}[{name}]"
                yield invalid_value(where, amount, "must be greater than or equal to 0")
    for name, request in resources.get("requests", {}).items():
        if name in limits and quantity.parse(request) > quantity.parse(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid_value(f"{path}.requests", request, text)


def pod_spec_causes(spec: Json, path: str) -> Causes:
    """The containers and volumes of a pod."""
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes", ())):
        name, where = volume.get("name"), f"{path}.volumes[{index}].name"
        if not name:
            yield required(where)
        elif not re.fullmatch(LABEL, name):
            yield invalid_value(where, name, LABEL_TEXT)
        elif name in volumes:
            yield duplicate(where, name)
        if len(volume) < 2:
            yield required(f"{path}.volumes[{index}]", "must specify a volume type")
        volumes.add(name or "")
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{index}]"
            yield from container_causes(container, where, volumes)
            if container.get("name") in seen:
                yield duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
    yield from one_of(spec, "restartPolicy", path, ("Always", "Never", "OnFailure"))
    dns = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    yield from one_of(spec, "dnsPolicy", path, dns)


def pod_causes(value: Json) -> Causes:
    """Pod."""
    yield from pod_spec_causes(value["spec"], "spec")


def template_causes(value: Json) -> Causes:
    """The selector and the template of a workload that keeps pods running."""
    spec = value["spec"]
    kind = value["kind"]
    yield from not_negative(spec, "replicas")
    selector, labels = spec.get("selector"), spec["template"]["metadata"].get("labels", {})
    if selector is None:
        yield required("spec.selector")
    elif not selector:
        yield invalid_value("spec.selector", {}, f"empty selector is invalid for {kind.lower()}")
    if not matches_selector(selector, labels):
        yield invalid_value("spec.template.metadata.labels", labels, MISMATCH)
    yield from labels_causes(labels, "spec.template.labels")
    pod = spec["template"]["spec"]
    yield from pod_spec_causes(pod, "spec.template.spec")
    if pod.get("restartPolicy") in ("Never", "OnFailure"):
        yield unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    yield from not_negative(spec, "minReadySeconds")
    strategy = spec.get("strategy", {})
    yield from one_of(strategy, "type", "spec.strategy", ("Recreate", "RollingUpdate"))
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_field("spec.strategy.rollingUpdate", text)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        text = "must be greater than minReadySeconds"
        yield invalid_value("spec.progressDeadlineSeconds", deadline, text)
