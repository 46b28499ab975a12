"""What the server fills in when an author leaves it out.

Upstream these rules are Go code (`pkg/apis/*/v1/defaults.go`), published only as prose, so they are
data here: `VALUES` by the Go type that has the fields, `COMPUTED` where a default depends on its
neighbours.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping

from deploy_pipeline.sandbox.errors import Json

RBAC = "rbac.authorization.k8s.io"
WEBHOOK: Json = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "timeoutSeconds": 10,
    "namespaceSelector": {},
    "objectSelector": {},
}
VALUES: Mapping[str, Json] = {
    "ConfigMapVolumeSource": {"defaultMode": 420},
    "Container": {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    "ContainerPort": {"protocol": "TCP"},
    "CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "CustomResourceDefinitionSpec": {"conversion": {"strategy": "None"}},
    "DaemonSetSpec": {"revisionHistoryLimit": 10},
    "DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "DeploymentSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "DeploymentStrategy": {"type": "RollingUpdate"},
    "DownwardAPIVolumeSource": {"defaultMode": 420},
    "EndpointPort": {"protocol": "TCP", "name": ""},
    "EphemeralContainer": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "GRPCAction": {"service": ""},
    "HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "HostPathVolumeSource": {"type": ""},
    "MutatingWebhook": {**WEBHOOK, "reinvocationPolicy": "Never"},
    "NetworkPolicyPort": {"protocol": "TCP"},
    "ObjectFieldSelector": {"apiVersion": "v1"},
    "PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "PersistentVolumeClaimStatus": {"phase": "Pending"},
    "PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "PersistentVolumeStatus": {"phase": "Pending"},
    "PodSpec": {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    },
    "PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "ProjectedVolumeSource": {"defaultMode": 420},
    "ReplicaSetSpec": {"replicas": 1},
    "ReplicationControllerSpec": {"replicas": 1},
    "ResourceFieldSelector": {"divisor": "0"},
    "RoleRef": {"apiGroup": RBAC},
    "RuleWithOperations": {"scope": "*"},
    "Secret": {"type": "Opaque"},
    "SecretVolumeSource": {"defaultMode": 420},
    "ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "ServicePort": {"protocol": "TCP"},
    "ServiceSpec": {"sessionAffinity": "None", "type": "ClusterIP"},
    "StatefulSetSpec": {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    "StatefulSetUpdateStrategy": {"type": "RollingUpdate"},
    "StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "ValidatingWebhook": WEBHOOK,
}
# kubectl, out of which the Go structs are read, does not have those of the API extensions server.
STRUCTS_OF_UNKNOWN_LAYOUT: Mapping[str, tuple[str, ...]] = {
    "APIService": ("metadata", "spec", "status"),
    "CustomResourceDefinition": ("metadata", "spec", "status"),
    "CustomResourceDefinitionSpec": ("names",),
}


def _container(value: Json) -> None:
    image = value.get("image", "").partition("@")[0].rpartition("/")[2]
    latest = value.get("image") and (":" not in image or image.endswith(":latest"))
    pinned = "@" in value.get("image", "")
    value.setdefault("imagePullPolicy", "Always" if latest and not pinned else "IfNotPresent")


def _rolling(value: Json, parameters: Json) -> None:
    if value.get("type") == "RollingUpdate":
        value["rollingUpdate"] = {**parameters, **value.get("rollingUpdate", {})}


def _service(value: Json) -> None:
    kind = value["type"]
    if kind in ("NodePort", "LoadBalancer"):
        value.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        value.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        value.setdefault("allocateLoadBalancerNodePorts", True)
    if value["sessionAffinity"] == "ClientIP":
        value.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})


def _service_port(value: Json) -> None:
    if value.get("targetPort") in (None, "", 0) and "port" in value:
        value["targetPort"] = value["port"]


def _pod_spec(value: Json) -> None:
    account = value.get("serviceAccountName") or value.get("serviceAccount")
    if account:  # the old and the new name of one field
        value["serviceAccountName"] = value["serviceAccount"] = account
    if value.get("hostNetwork"):
        for container in value.get("containers") or ():
            for port in container.get("ports", ()):
                port.setdefault("hostPort", port.get("containerPort"))


def _pod(value: Json) -> None:
    value["spec"].setdefault("enableServiceLinks", True)
    for container in value["spec"].get("containers") or ():
        limits = container["resources"].get("limits")
        if limits:
            requests = container["resources"].get("requests", {})
            container["resources"]["requests"] = {**limits, **requests}


def _job(value: Json) -> None:
    spec = value["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    for key, default in (
        ("parallelism", 1),
        ("backoffLimit", 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", "TerminatingOrFailed"),
    ):
        spec.setdefault(key, default)


def _autoscaler(value: Json) -> None:
    if not value.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        value["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _network_policy(value: Json) -> None:
    if not value.get("policyTypes"):
        value["policyTypes"] = ["Ingress", "Egress"] if value.get("egress") else ["Ingress"]


def _subject(value: Json) -> None:
    if value.get("kind") in ("User", "Group"):
        value.setdefault("apiGroup", RBAC)


def _secret(value: Json) -> None:
    texts = value.pop("stringData", None) or {}
    if texts:
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
    names = value["names"]
    names.setdefault("singular", names.get("kind", "").lower())
    names.setdefault("listKind", names.get("kind", "") + "List")


COMPUTED: Mapping[str, Callable[[Json], None]] = {
    "Container": _container,
    "CustomResourceDefinitionSpec": _custom_names,
    "DaemonSetUpdateStrategy": lambda value: _rolling(value, {"maxUnavailable": 1, "maxSurge": 0}),
    "DeploymentStrategy": lambda value: _rolling(value, {"maxUnavailable": "25%", "maxSurge": "25%"}),
    "EphemeralContainer": _container,
    "HorizontalPodAutoscalerSpec": _autoscaler,
    "Job": _job,
    "Namespace": _namespace,
    "NetworkPolicySpec": _network_policy,
    "Pod": _pod,
    "PodSpec": _pod_spec,
    "Secret": _secret,
    "ServicePort": _service_port,
    "ServiceSpec": _service,
    "StatefulSetSpec": _claim_templates,
    "StatefulSetUpdateStrategy": lambda value: _rolling(value, {"partition": 0}),
    "Subject": _subject,
}


def fill(value: Json, type_name: str) -> None:
    """Fill in the defaults of one struct, whose own parts are complete already."""
    for key, default in VALUES.get(type_name, {}).items():
        if value.get(key) in (None, ""):
            value[key] = copy.deepcopy(default) if isinstance(default, (dict, list)) else default
    if type_name in COMPUTED:
        COMPUTED[type_name](value)
