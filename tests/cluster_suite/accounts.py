"""Service accounts of a cluster, each with a kubeconfig of its own."""

from __future__ import annotations

import json
from pathlib import Path

from tests.actions.conftest import World
from tests.properties.cluster_view import ClusterView

_SECONDS = 1800


def kubeconfig_of(world: World, namespace: str, name: str, target: Path) -> Path:
    """Write a kubeconfig of the same cluster for a service account; its token lasts half an hour."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": _SECONDS}}
    view = ClusterView(world.kubeconfig)
    answer = view.done("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", asked)
    config = json.loads(world.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output", "json"))
    config["users"] = [{"name": name, "user": {"token": answer["status"]["token"]}}]
    config["contexts"][0]["context"]["user"] = name
    target.touch(mode=0o600)
    target.write_text(json.dumps(config), encoding="utf-8")
    return target
