"""HashiCorp Vault, or what speaks its language (OpenBao): the key-value engine, version 2.

``GET /v1/<mount>/data/<path>/<name>``; the payload is the text in one field. A token that is refused is fetched anew
once, since tokens end while we run.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable, SettingsError
from deploy_pipeline.secret_stores.store import StoredSecret, check_name, check_size
from deploy_pipeline.secret_stores.vault_login import VaultLogin

if TYPE_CHECKING:
    import requests

_INSTALL = "pip install 'deploy_pipeline[vault]'"


@dataclass(frozen=True)
class VaultPlace:
    """Where the payloads lie: server, namespace (empty: none), mount of the engine, folder in it, and field."""

    url: str
    namespace: str = ""
    mount: str = "secret"
    folder: str = ""
    field: str = "payload"
    ca_file: Path | None = None
    timeout: float = 10.0

    def path(self, name: str) -> str:
        """The path of a secret below the mount."""
        return f"{self.folder.strip('/')}/{name}".lstrip("/")


class VaultStore:
    """Reads the newest version of each secret; opens nothing before the first read. Safe to share between threads."""

    def __init__(self, place: VaultPlace, login: VaultLogin) -> None:
        self._place = place
        self._login = login

    def read(self, name: str) -> StoredSecret:
        """The payload with its version; raises SecretFault, SecretStoreUnreachable, SettingsError."""
        check_name(name)
        token = self._login.token(self._connect)
        answer = self._ask(name, token)
        if answer is None and (fresh := self._login.another_token(token, self._connect)):
            answer = self._ask(name, fresh)
        if answer is None:
            raise SecretFault(
                f"Vault does not let the deployer read the secret {name}",
                hint=f"its token needs the capability `read` on {self._place.mount}/data/{self._place.path(name)}, "
                "or has ended",
            )
        return self._payload(name, answer)

    def _ask(self, name: str, token: str) -> Mapping[str, Any] | None:
        """What Vault has of a secret; None if it does not accept the token, for this secret or at all."""
        errors = self._hvac.exceptions
        try:
            answer = self._connect(token).secrets.kv.v2.read_secret_version(
                self._place.path(name), mount_point=self._place.mount, raise_on_deleted_version=True
            )
        except errors.Forbidden:
            return None
        except errors.InvalidPath as error:
            raise self._missing(name, error.json) from None
        except (errors.InvalidRequest, errors.Unauthorized) as error:
            raise SecretFault(
                f"Vault refuses to say anything of the secret {name} ({type(error).__name__})",
                hint=f"is {self._place.mount} a key-value engine of version 2?",
            ) from None
        except (errors.VaultError, OSError) as error:  # what requests raises is an OSError
            raise _unreachable(self._place.url, error) from None
        data = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(data, Mapping):
            raise SecretStoreUnreachable(
                f"{self._place.url} does not answer as Vault does", hint="check DEPLOY_VAULT_URL: it may be redirected"
            )
        return data

    def _missing(self, name: str, answer: Any) -> SecretFault:
        """A version that was deleted is answered with what is left of it, a secret that never was with nothing."""
        where = f"{self._place.mount}/{self._place.path(name)}"
        data = answer.get("data") if isinstance(answer, Mapping) else None
        metadata = data.get("metadata") if isinstance(data, Mapping) else None
        if isinstance(metadata, Mapping):
            return SecretFault(
                f"the newest version of the secret {name} is deleted (version {metadata.get('version')} of {where})",
                hint="undelete it in Vault, or put a new version",
            )
        return SecretFault(f"there is no secret {name} in Vault, at {where}", hint="put it there, or correct the name")

    def _payload(self, name: str, data: Mapping[str, Any]) -> StoredSecret:
        fields, metadata = data.get("data"), data.get("metadata")
        payload = fields.get(self._place.field) if isinstance(fields, Mapping) else None
        if not isinstance(payload, str):
            raise SecretFault(
                f"the secret {name} has no text in its field `{self._place.field}`",
                hint=f"put the manifest there, or set DEPLOY_VAULT_FIELD: vault kv put -mount={self._place.mount} "
                f"{self._place.path(name)} {self._place.field}=@{name}.yaml",
            )
        content = payload.encode()
        check_size(name, len(content))
        version = metadata.get("version") if isinstance(metadata, Mapping) else None
        return StoredSecret(name, content, str(version or ""))

    def _connect(self, token: str) -> Any:
        """A client with this token. It follows no redirects, since they would take the token along."""
        place = self._place
        return self._hvac.Client(
            url=place.url,
            token=token,
            timeout=place.timeout,
            namespace=place.namespace or None,
            allow_redirects=False,
            session=self._session,
        )

    @cached_property
    def _session(self) -> requests.Session:
        import requests

        session = requests.Session()
        session.verify = str(self._place.ca_file) if self._place.ca_file else True
        return session

    @cached_property
    def _hvac(self) -> Any:
        try:
            return importlib.import_module("hvac")
        except ImportError:
            raise SettingsError("secrets come from Vault, and its client is not installed", hint=_INSTALL) from None


def _unreachable(url: str, error: Exception) -> SecretStoreUnreachable:
    """That Vault cannot answer now, in our own words: an error of a client may quote anything."""
    said = {"VaultDown": "it is sealed or in maintenance", "VaultNotInitialized": "it is not initialized"}
    reason = said.get(type(error).__name__, type(error).__name__)
    return SecretStoreUnreachable(f"Vault at {url} does not answer: {reason}", hint="check Vault and DEPLOY_VAULT_URL")
