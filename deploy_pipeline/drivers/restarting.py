"""Restarting what uses a Secret when that changes, for apps with ``restart_on_secret_change``.

Kubernetes restarts nothing by itself: variables keep the old value, and most programs read a file once. A fingerprint
of the Secrets as annotation of the pod template makes their change one of the workload, which a change set shows and a
release rolls out. The fingerprint is keyed by the cluster's own key: a plain hash of a short secret can be guessed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from deploy_pipeline.cluster.objects import Manifest
from deploy_pipeline.drivers.plan import Target
from deploy_pipeline.redaction import Redactor
from deploy_pipeline.secret_stores import secret_data

ANNOTATION = "deploy-pipeline.io/secrets"
_RESTARTING = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"))
# The pods of Jobs and CronJobs begin anew anyway, and a Job's template cannot change.


def with_fingerprints(
    target: Target, manifests: Sequence[Manifest], secrets: Collection[Manifest]
) -> tuple[Manifest, ...]:
    """The manifests with the fingerprint of those of the app's stored Secrets that each workload uses."""
    if not target.app.restart_on_secret_change:
        return tuple(manifests)
    known = {(secret["metadata"]["namespace"], secret["metadata"]["name"]): secret for secret in secrets}
    return tuple(_marked(manifest, known, target.redactor) for manifest in manifests)


def _marked(manifest: Manifest, known: Mapping[tuple[str, str], Manifest], redactor: Redactor) -> Manifest:
    namespace = manifest["metadata"].get("namespace") or ""
    used = [known[namespace, name] for name in sorted(used_secrets(manifest)) if (namespace, name) in known]
    if not used:
        return manifest
    template = manifest["spec"]["template"]
    metadata = template.get("metadata") or {}
    annotations = (metadata.get("annotations") or {}) if isinstance(metadata, dict) else None
    if not isinstance(annotations, dict):
        return manifest  # the server refuses it
    annotations = {**annotations, ANNOTATION: _fingerprint(used, redactor)}
    marked = {**template, "metadata": {**metadata, "annotations": annotations}}
    return {**manifest, "spec": {**manifest["spec"], "template": marked}}


def _fingerprint(secrets: Iterable[Manifest], redactor: Redactor) -> str:
    """Of names and values; not of how the payload is written, of which a pod sees nothing."""
    content = [
        [secret["metadata"]["name"], sorted((key, value.hex()) for key, value in secret_data(secret).items())]
        for secret in secrets
    ]
    return redactor.fingerprint(f"{ANNOTATION} {json.dumps(content)}".encode())


def used_secrets(manifest: Manifest) -> frozenset[str]:
    """The names of the Secrets that a workload's pods read, as variables or as files."""
    if (manifest["apiVersion"], manifest["kind"]) not in _RESTARTING:
        return frozenset()
    template = _mapping(_mapping(manifest.get("spec")).get("template"))
    return frozenset(name for name in _names(_mapping(template.get("spec"))) if isinstance(name, str))


def _names(pod: Mapping[str, Any]) -> Iterator[Any]:
    for volume in _items(pod, "volumes"):
        yield _mapping(volume.get("secret")).get("secretName")
        for source in _items(_mapping(volume.get("projected")), "sources"):
            yield _mapping(source.get("secret")).get("name")
    for container in (*_items(pod, "initContainers"), *_items(pod, "containers")):
        for source in _items(container, "envFrom"):
            yield _mapping(source.get("secretRef")).get("name")
        for variable in _items(container, "env"):
            yield _mapping(_mapping(variable.get("valueFrom")).get("secretKeyRef")).get("name")


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one: a manifest may be anything until the server has looked at it."""
    return value if isinstance(value, Mapping) else {}


def _items(holder: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    found = holder.get(key)
    yield from map(_mapping, found if isinstance(found, list) else ())
