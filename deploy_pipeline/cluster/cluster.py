"""One cluster as the actions see it: its objects, its identity, and the deployer's own records in it."""

from __future__ import annotations

import re
import threading
from functools import cached_property
from pathlib import Path

from deploy_pipeline import process_redaction
from deploy_pipeline.cluster.apply import Objects
from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.cluster.inventory import Inventories, namespaces_of
from deploy_pipeline.cluster.labelled import Labelled
from deploy_pipeline.cluster.lock import ChannelLock, locked_channels
from deploy_pipeline.cluster.records import Records
from deploy_pipeline.cluster.resources import Resources
from deploy_pipeline.cluster.side_by_side import SideBySide
from deploy_pipeline.cluster.system import SystemDocuments
from deploy_pipeline.errors import ClusterUnreachable
from deploy_pipeline.redaction import Redactor


class Cluster:
    """A cluster, and where its credentials come from (for tools that make their own connection)."""

    def __init__(
        self, kubeconfig: Path | None, context: str | None, system_namespace: str, lock_seconds: int = 20
    ) -> None:
        self.kubeconfig = kubeconfig
        self._system_namespace = system_namespace
        self._lock_seconds = lock_seconds
        self._making = threading.Lock()
        self._redactor: Redactor | None = None
        self.connection = Connection(kubeconfig, context)
        self.resources = Resources(self.connection)
        self.documents = SystemDocuments(self.connection, system_namespace)
        self.side_by_side = SideBySide()

    @property
    def context(self) -> str:
        """The context of the kubeconfig; empty for the account of this pod."""
        return self.connection.context

    @cached_property
    def uid(self) -> str:
        """Identity of the cluster: the uid of its ``kube-system`` namespace, which lives as long as the cluster."""
        answer = self.connection.get("/api/v1/namespaces/kube-system")
        if not answer.ok:
            raise ClusterUnreachable(
                f"the identity of the cluster at {self.connection.host} cannot be read: {answer.reason}",
                hint="the deployer needs the right to get the namespace kube-system",
            )
        return str(answer.body["metadata"]["uid"])

    @cached_property
    def version(self) -> str:
        """The version of its Kubernetes, such as ``1.36``."""
        answer = self.connection.get("/version")
        match = re.match(r"v?(\d+\.\d+)", str(answer.body.get("gitVersion"))) if answer.ok else None
        if not match:
            raise ClusterUnreachable(f"the version of the cluster at {self.connection.host} cannot be read")
        return match[1]

    @cached_property
    def _mask_key(self) -> bytes:
        return self.documents.mask_key()

    def new_redactor(self) -> Redactor:
        """A redactor with this cluster's key that knows no value yet: fingerprints are the same for every deployer."""
        return Redactor(self._mask_key)

    @property
    def redactor(self) -> Redactor:
        """The redactor of messages; it keeps every value that it learned while the process lives."""
        with self._making:  # a cached property would make several since Python 3.12, each knowing other values
            if self._redactor is None:
                self._redactor = Redactor(self._mask_key, also=process_redaction.learn)
            return self._redactor

    @cached_property
    def objects(self) -> Objects:
        """Reading, trying and writing single objects."""
        return Objects(self.connection, self.resources, self.redactor)

    @cached_property
    def labelled(self) -> Labelled:
        """Finding objects by their labels."""
        return Labelled(self.connection)

    def inventories(self, channel: str) -> Inventories:
        """What the apps of a channel own here."""
        return Inventories(self.documents, channel)

    def namespaces_of_others(self, channel: str) -> dict[str, str]:
        """The namespaces in which other channels have objects and this one has none, each with such a channel."""
        others = [name for name in locked_channels(self.connection, self.documents) if name != channel]
        if not others:
            return {}
        theirs = namespaces_of(self.documents, [*others, channel])
        own = theirs.pop(channel)
        return {namespace: name for name, found in theirs.items() for namespace in found - own}

    def records(self, channel: str) -> Records:
        """What was approved and released for a channel."""
        return Records(self.documents, channel)

    def lock(self, channel: str) -> ChannelLock:
        """The lock of a channel."""
        return ChannelLock(self.connection, self.documents, channel, self._lock_seconds)
