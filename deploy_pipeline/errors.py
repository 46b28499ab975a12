"""Every error this project raises on purpose, sorted by what the caller should do next.

::

    DeployError
    ├── RetryableError        the same call may succeed later: try again
    │   ├── RepositoryUnreachable
    │   ├── ClusterUnreachable
    │   ├── SecretStoreUnreachable
    │   ├── ForgeUnreachable
    │   ├── ChannelLocked      another release of this channel is under way
    │   └── RaceLost           a branch or an object moved on while we worked on it
    ├── RefusedError          will fail again until a person changes something
    │   ├── SettingsError      the deployer's own configuration
    │   ├── ChannelFaults      channel files or deploy.yaml: every fault at once
    │   ├── UnknownRevision    no such branch or commit
    │   ├── UnsafeTree         a symlink, submodule or path that leaves the tree
    │   ├── RenderFailed       a kustomization or chart that does not build
    │   ├── SecretFault        a secret that is missing, withheld or malformed
    │   ├── ManifestRejected   the API server refuses an object
    │   │   └── InvalidObject  for values of its fields, or since they cannot be changed
    │   ├── PruneLimitExceeded more would be deleted than the channel allows
    │   ├── ForgeRefused       the forge does not let us, or its answer cannot be right
    │   ├── OwnedByAnother     an object belongs to another app, channel or tool
    │   └── ApprovalError      not approved, or something else was approved
    └── FailedError           it was tried and the cluster did not get there
        ├── ReleaseFailed
        └── ToolStopped        kubectl or helm took too much time or memory, or printed too much

Messages are written for the person who has to act: what failed, where, why. ``hint`` is the next step.
No message ever holds a secret value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class DeployError(Exception):
    """Base of all errors raised on purpose.

    ``message`` is one line; ``details`` are further lines (one per fault or object); ``hint`` is the next step.
    """

    def __init__(self, message: str, *, details: Iterable[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {detail}" for detail in self.details)]
        if self.hint:
            lines.append(f"Next step: {self.hint}")
        return "\n".join(lines)


class RetryableError(DeployError):
    """The same call may succeed later, without anybody changing anything."""


class RefusedError(DeployError):
    """The same call fails again until a person changes something. Nothing was changed by it."""


class FailedError(DeployError):
    """It was tried, and the cluster did not get there. Trying again continues from where it stands."""


class RepositoryUnreachable(RetryableError):
    """The git remote did not answer, or refused the connection."""


class ClusterUnreachable(RetryableError):
    """The Kubernetes API did not answer, answered 429 or 5xx, or did not take our credentials (401)."""


class SecretStoreUnreachable(RetryableError):
    """The secret store did not answer."""


class ForgeUnreachable(RetryableError):
    """The forge did not answer, answered 5xx, or has us wait for its rate limit."""


class ChannelLocked(RetryableError):
    """Another process holds the channel's lock."""


class RaceLost(RetryableError):
    """A branch or an object was written by somebody else between reading it and acting on what was read."""


class SettingsError(RefusedError):
    """The deployer's own configuration is missing or wrong."""


class ChannelFaults(RefusedError):
    """Channel files or ``deploy.yaml`` are wrong; ``details`` has every fault, each with file and path."""


class UnknownRevision(RefusedError):
    """No branch or commit of that name."""


class UnsafeTree(RefusedError):
    """A tree holds something that must not be written out: an escaping symlink, a submodule, a bad path."""


class RenderFailed(RefusedError):
    """A kustomization or chart does not build, or builds something that cannot be deployed."""


class SecretFault(RefusedError):
    """A secret is missing, withheld from us, or not what it must be. Names the secret, never its content."""


class ManifestRejected(RefusedError):
    """The API server refuses an object (schema, admission, immutable field, rights)."""


class InvalidObject(ManifestRejected):
    """The API server refuses values of an object; ``details`` names the fields, each with the kind of fault."""


class PruneLimitExceeded(RefusedError):
    """A release would delete more objects of an app than its channel allows; ``details`` has them all."""


class ForgeRefused(RefusedError):
    """The forge refuses what was asked (token, rights, rules), or is another repository than was asked for."""


class OwnedByAnother(RefusedError):
    """An object belongs to another app, channel or tool."""


class ApprovalError(RefusedError):
    """There is no approval, or what would be done is not what was approved."""


class ReleaseFailed(FailedError):
    """An app did not apply or did not become ready in time; ``details`` has the reason per object.

    ``result`` is the ReleaseResult, with how each app fared; None if no app was begun.
    """

    result: Any = None


class ToolStopped(FailedError):
    """kubectl or helm went beyond its limit of time, CPU time, memory or output and was killed."""
