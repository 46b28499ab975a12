"""What the server fills in when an author leaves it out: `data/defaults.yaml`, and what no table can say."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping

from deploy_pipeline.sandbox.errors import Json
from deploy_pipeline.sandbox.schema import data

VALUES: Mapping[str, Json] = data("defaults")


def fill(value: Json, type_name: str) -> None:
    """Fill in the defaults of one struct, whose own parts are complete already."""
    if type_name in COMPUTED:
        COMPUTED[type_name](value)
    if type_name in VALUES:
        _add(value, VALUES[type_name])


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
