"""Google Secret Manager, by its own client and application-default credentials.

The answer to "the latest version" says which one that was, so that one request gives both.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy_pipeline.errors import DeployError, SecretFault, SecretStoreUnreachable, SettingsError
from deploy_pipeline.secret_stores.store import StoredSecret, check_name, check_size

_INSTALL = "pip install 'deploy_pipeline[google]'"
_PASSING = frozenset(
    ("ServiceUnavailable", "DeadlineExceeded", "GatewayTimeout", "InternalServerError", "TooManyRequests")
) | {"ResourceExhausted", "Aborted", "Cancelled", "Unknown", "BadGateway", "RetryError", "TransportError"}


@dataclass(frozen=True)
class GoogleStore:
    """Secrets of one project. ``version`` is a number or ``latest``; ``timeout`` of one request is in seconds.

    ``endpoint`` stands for Google's own address: another one of theirs, or with ``insecure`` an emulator's on loopback,
    which is asked without TLS and without credentials.
    """

    project: str
    version: str = "latest"
    endpoint: str = ""
    insecure: bool = False
    timeout: float = 10.0

    def read(self, name: str) -> StoredSecret:
        """The payload with its version; raises SecretFault, SecretStoreUnreachable, SettingsError."""
        check_name(name)
        api, auth = self._module("google.api_core.exceptions"), self._module("google.auth.exceptions")
        path = f"projects/{self.project}/secrets/{name}/versions/{self.version}"
        try:
            answer = self._client.access_secret_version(request={"name": path}, timeout=self.timeout, retry=None)
        except (api.GoogleAPIError, auth.GoogleAuthError) as error:
            raise self._fault(name, error) from None
        content = bytes(answer.payload.data)
        check_size(name, len(content))
        return StoredSecret(name, content, str(answer.name).rpartition("/")[2])

    def _fault(self, name: str, error: Exception) -> DeployError:
        """What an error of the client means here, in our own words."""
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & _PASSING or getattr(error, "retryable", False):
            return SecretStoreUnreachable(
                f"Google Secret Manager cannot be asked for the secret {name}: {type(error).__name__}"
            )
        if "NotFound" in kinds:
            return SecretFault(
                f"there is no secret {name} in the Google project {self.project}, or not its version {self.version}",
                hint=f"gcloud secrets create {name} --project {self.project} --data-file {name}.yaml",
            )
        if "FailedPrecondition" in kinds:
            return SecretFault(
                f"the version {self.version} of the secret {name} is disabled or destroyed",
                hint="enable it, or add a new version",
            )
        if "PermissionDenied" in kinds or "Unauthenticated" in kinds:
            return SecretFault(
                f"Google does not let the deployer read the secret {name} of project {self.project}",
                hint="its identity needs the role Secret Manager Secret Accessor (secretmanager.versions.access) on it",
            )
        if "InvalidArgument" in kinds:
            return SecretFault(
                f"Google takes {name} for no name of a secret", hint="names there have letters, digits, '-' and '_'"
            )
        return SettingsError(
            f"Google Secret Manager cannot be used: {type(error).__name__}",
            hint="check DEPLOY_GOOGLE_PROJECT and the deployer's application-default credentials",
        )

    @cached_property
    def _client(self) -> Any:
        manager = self._module("google.cloud.secretmanager_v1")
        if not self.insecure:
            options = {"api_endpoint": self.endpoint} if self.endpoint else {}
            return manager.SecretManagerServiceClient(client_options=options)
        transport = manager.SecretManagerServiceClient.get_transport_class("grpc")
        return manager.SecretManagerServiceClient(
            transport=transport(channel=self._module("grpc").insecure_channel(self.endpoint))
        )

    def _module(self, name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ImportError:
            raise SettingsError(
                "secrets come from Google Secret Manager, and its client is not installed", hint=_INSTALL
            ) from None
