"""The clusters of the channels, as a person asks and changes them: with the real kubectl and helm.

Each channel has a cluster of its own. The example's channels use the same namespaces, and an object belongs to one
channel: in one cluster the second channel would be refused.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from deploy_pipeline.errors import FailedError
from deploy_pipeline.settings import tool_path

_TIMEOUT = 60
_DEPLOYED = "deployments,services,configmaps,secrets,serviceaccounts,cronjobs,poddisruptionbudgets,ingresses"


@dataclass(frozen=True)
class Clusters:
    """What the contexts of a kubeconfig name; a channel's context has the channel's name."""

    kubeconfig: Path

    def get(self, channel: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """An object as it is in the cluster now. Raises FailedError if there is none."""
        shown = self.kubectl(channel, "get", kind, name, "--namespace", namespace, "--output", "json")
        return cast(dict[str, Any], json.loads(shown))

    def names(self, channel: str, kind: str, namespace: str) -> list[str]:
        """The names of all objects of a kind in a namespace."""
        shown = self.kubectl(channel, "get", kind, "--namespace", namespace, "--output", "name")
        return [line.partition("/")[2] for line in shown.splitlines()]

    def versions(self, channel: str, namespaces: Collection[str]) -> dict[str, str]:
        """The resource version of every object that people deploy to some namespaces, by kind and name."""
        shown = self.kubectl(channel, "get", _DEPLOYED, "--all-namespaces", "--output", "json")
        found = [(item["kind"], item["metadata"]) for item in json.loads(shown)["items"]]
        return {
            f"{kind} {about['namespace']}/{about['name']}": about["resourceVersion"]
            for kind, about in found
            if about["namespace"] in namespaces
        }

    def helm_revision(self, channel: str, release: str, namespace: str) -> tuple[str, int]:
        """Status and number of a Helm release's last revision."""
        shown = self._run("helm", "--kube-context", channel, "status", release, "-n", namespace, "-o", "json")
        status = json.loads(shown)
        return status["info"]["status"], status["version"]

    def kubectl(self, channel: str, *arguments: str) -> str:
        """Run kubectl against a channel's cluster; raises FailedError with what it said."""
        return self._run("kubectl", "--context", channel, *arguments)

    def _run(self, tool: str, *arguments: str) -> str:
        done = subprocess.run(
            [tool_path(tool), "--kubeconfig", str(self.kubeconfig), *arguments],
            env={name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise FailedError(f"{tool} {' '.join(arguments)} failed", details=done.stderr.splitlines())
        return done.stdout


def join_kubeconfigs(found: Mapping[str, Path], target: Path) -> None:
    """Make one kubeconfig of the channels' own: context, cluster and user are named like the channel."""
    parts = {channel: yaml.safe_load(path.read_text()) for channel, path in found.items()}
    joined = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(found)),
        "clusters": [{"name": name, "cluster": part["clusters"][0]["cluster"]} for name, part in parts.items()],
        "users": [{"name": name, "user": part["users"][0]["user"]} for name, part in parts.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in parts],
    }
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump(joined, sort_keys=False))
