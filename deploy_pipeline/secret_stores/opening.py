"""Which secret store the settings name, and whether what they say of it can be right. Opens nothing."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from deploy_pipeline.errors import SettingsError
from deploy_pipeline.secret_stores.directory import DirectoryStore
from deploy_pipeline.secret_stores.environment import EnvironmentStore
from deploy_pipeline.secret_stores.google import GoogleStore
from deploy_pipeline.secret_stores.sops import Sops
from deploy_pipeline.secret_stores.store import NoStore, Patient, SecretStore
from deploy_pipeline.secret_stores.telling import Told
from deploy_pipeline.secret_stores.vault import VaultPlace, VaultStore
from deploy_pipeline.secret_stores.vault_login import AuthLogin, GivenToken, Proof, VaultLogin
from deploy_pipeline.settings import Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def secret_store_from(settings: Settings) -> SecretStore:
    """The store of the settings, whose every value is known to the process's redactor. Raises SettingsError."""
    return Told(_store(settings))


def _store(settings: Settings) -> SecretStore:
    match settings.secret_store:
        case "google":
            return Patient(_google(settings))
        case "vault":
            return Patient(VaultStore(_place(settings), _login(settings)))
        case "environment":
            return EnvironmentStore()
        case "directory" if not settings.secrets_dir:
            raise SettingsError("the secret store is a directory, and none is named", hint="set DEPLOY_SECRETS_DIR")
    return DirectoryStore(settings.secrets_dir, Sops(settings.sops_age_key_file)) if settings.secrets_dir else NoStore()


def _google(settings: Settings) -> GoogleStore:
    project, version, endpoint = settings.google_project, settings.google_secret_version, settings.google_endpoint
    if not re.fullmatch(r"[a-z0-9][a-z0-9.:-]*", project):
        raise SettingsError("secrets come from Google, and DEPLOY_GOOGLE_PROJECT names no project")
    if not re.fullmatch(r"latest|[1-9][0-9]*", version):
        raise SettingsError("DEPLOY_GOOGLE_SECRET_VERSION must be a number or `latest`")
    host = urlsplit(f"//{endpoint}").hostname or ""
    insecure = host in _LOOPBACK
    if endpoint and not insecure and not re.fullmatch(r"([a-z0-9-]+\.)+googleapis\.com(:443)?", endpoint):
        raise SettingsError(
            "DEPLOY_GOOGLE_ENDPOINT must be a host of googleapis.com, or an emulator on loopback as host:port",
            hint="the deployer's credentials would go to any other",
        )
    return GoogleStore(project, version, endpoint, insecure, settings.secret_timeout)


def _place(settings: Settings) -> VaultPlace:
    parts = urlsplit(settings.vault_url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError("DEPLOY_VAULT_URL must be an https:// address without user, query and fragment")
    for name in ("vault_mount", "vault_path", "vault_auth_mount"):
        value: str = getattr(settings, name)
        if not re.fullmatch(r"[\w./-]*", value) or ".." in value.split("/"):
            raise SettingsError(f"DEPLOY_{name.upper()} must be a path in Vault, such as secret or teams/shop")
    if settings.vault_ca_file and not settings.vault_ca_file.is_file():
        raise SettingsError(f"DEPLOY_VAULT_CA_FILE names {settings.vault_ca_file}, which is not there")
    return VaultPlace(
        url=settings.vault_url.rstrip("/"),
        namespace=settings.vault_namespace,
        mount=settings.vault_mount.strip("/"),
        folder=settings.vault_path,
        field=settings.vault_field,
        ca_file=settings.vault_ca_file,
        timeout=settings.secret_timeout,
    )


def _login(settings: Settings) -> VaultLogin:
    """The one way to show who the deployer is that is set."""
    ways: list[VaultLogin] = []
    if settings.vault_token:
        ways.append(GivenToken(settings.vault_token.get_secret_value().strip()))
    if settings.vault_token_file:
        ways.append(GivenToken(settings.vault_token_file))
    if settings.vault_role:
        mount = settings.vault_auth_mount or "kubernetes"
        ways.append(AuthLogin(Proof("kubernetes", mount, settings.vault_role, settings.vault_jwt_file)))
    if settings.vault_role_id and settings.vault_secret_id_file:
        mount = settings.vault_auth_mount or "approle"
        ways.append(AuthLogin(Proof("approle", mount, settings.vault_role_id, settings.vault_secret_id_file)))
    if len(ways) != 1:
        raise SettingsError(
            "the deployer needs exactly one way to show who it is to Vault",
            hint="set DEPLOY_VAULT_TOKEN, or DEPLOY_VAULT_TOKEN_FILE, or DEPLOY_VAULT_ROLE (Kubernetes), or "
            "DEPLOY_VAULT_ROLE_ID with DEPLOY_VAULT_SECRET_ID_FILE (AppRole)",
        )
    return ways[0]
