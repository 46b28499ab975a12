"""All settings of the deployer, in one typed place. They come from the environment and from nowhere else.

A branch can never change them: what is policy of the deployer stands here, what is policy of a channel stands in the
channel file of its *release branch*. ``docs/settings.md`` is generated from this class (``deploy-pipeline schema
--settings``).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from deploy_pipeline.errors import SettingsError

PROJECT_TOOLS = Path(__file__).resolve().parent.parent / ".tools" / "bin"


def _default_state_dir() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "deploy-pipeline"


class Settings(BaseSettings):
    """The deployer's configuration; every field can be set by the environment variable ``DEPLOY_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="DEPLOY_", frozen=True, extra="ignore")

    repository: str = Field("", description="Git URL or path of the repository that is deployed.")
    source_branches: str = Field(
        "*", description="Which branches are rendered: glob patterns, separated by commas; `!` in front excludes."
    )
    state_dir: Path = Field(
        default_factory=_default_state_dir,
        description="Where the git mirror lies, and for a month what was rendered (compressed manifests). Can be lost "
        "at any time.",
    )
    kubeconfig: Path | None = Field(
        None, description="Kubeconfig file; default: KUBECONFIG, then ~/.kube/config, then the pod's service account."
    )
    diff_kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig of an account that may try but not write (see `deploy/rbac`): for diffs, reviews and "
        "checks, which use DEPLOY_KUBECONFIG otherwise. It has the same contexts.",
    )
    contexts: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Kubeconfig context of each channel's cluster, `test=staging,prod=production`; else the current.",
    )
    system_namespace: str = Field(
        "deploy-pipeline",
        description="Namespace in each cluster for locks, inventories, approvals and release records.",
    )
    secret_store: Literal["", "directory", "google", "vault", "environment"] = Field(
        "",
        description="Where secrets come from: `directory`, `google`, `vault` or `environment` "
        "(`DEPLOY_SECRET_PAYLOAD_<NAME>`, in capitals, other characters as `_`); default: DEPLOY_SECRETS_DIR if set.",
    )
    secrets_dir: Path | None = Field(
        None,
        description="Directory secret store: one file a name, `<name>` or `<name>.yaml`; encrypted by SOPS also "
        "`<name>.sops.yaml` or `<name>.enc.yaml`.",
    )
    sops_age_key_file: Path | None = Field(None, description="File with the age key for files that SOPS encrypted.")
    secret_timeout: float = Field(10, gt=0, description="Limit for one request to a secret store, in seconds.")
    google_project: str = Field("", description="Project whose Secret Manager has the secrets.")
    google_secret_version: str = Field("latest", description="Version of each secret: a number or `latest`.")
    google_endpoint: str = Field(
        "", description="Host of Secret Manager, such as a regional one; on loopback an emulator, without TLS."
    )
    vault_url: str = Field("", description="Address of Vault.")
    vault_namespace: str = Field("", description="Namespace in Vault; empty: none.")
    vault_mount: str = Field("secret", description="Mount of the key-value engine, version 2.")
    vault_path: str = Field("", description="Folder of the secrets below the mount.")
    vault_field: str = Field("payload", description="Field of a secret in Vault that holds the payload.")
    vault_ca_file: Path | None = Field(None, description="Certificates that Vault's is checked by; default: the usual.")
    vault_token: SecretStr | None = Field(None, description="Token for Vault.")
    vault_token_file: Path | None = Field(None, description="File with the token instead; read anew if refused.")
    vault_role: str = Field("", description="Role of a login by the pod's service account instead of a token.")
    vault_jwt_file: Path = Field(
        Path("/var/run/secrets/kubernetes.io/serviceaccount/token"), description="File with that account's token."
    )
    vault_role_id: str = Field("", description="Role id of a login by AppRole instead; with the one below.")
    vault_secret_id_file: Path | None = Field(None, description="File with the secret id of the AppRole.")
    vault_auth_mount: str = Field("", description="Mount of the login; default: `kubernetes` or `approle`.")
    allowed_sources: str = Field(
        "", description="URL prefixes that `sources` in deploy.yaml may name, separated by commas; empty: none."
    )
    allowed_kinds: str = Field(
        "",
        description="Cluster-wide kinds that every channel may have, separated by commas: `ClusterRole`, "
        "`ClusterIssuer.cert-manager.io`; `*` for all. Each channel's `allow` adds to it; so with the next two.",
    )
    allowed_namespaces: str = Field(
        "", description="Namespaces besides an app's own that every channel may write into: glob patterns."
    )
    allowed_registries: str = Field(
        "", description="Registries, or repositories in them, that images may come from; empty: any, or `allow`'s."
    )
    registries: str = Field(
        "",
        description="Registries that may be asked whether images exist, separated by commas: `docker.io`, `*.pkg.dev`, "
        "`http://localhost:5000`; besides those that DEPLOY_DOCKER_CONFIG has credentials for. Nobody else is asked.",
    )
    docker_config: Path | None = Field(
        None, description="Docker configuration with credentials for registries; helper programs in it are not run."
    )
    poll_seconds: int = Field(15, ge=1, description="Interval of the branch sensors, in seconds.")
    drift_schedule: str = Field(
        "*/30 * * * *", description="Cron of the drift check of channels that set no `drift_schedule`."
    )
    app_threads: int = Field(
        8,
        ge=1,
        le=64,
        description="How many apps of a channel are compared, or written to, at once.",
    )
    render_timeout: float = Field(
        120, gt=0, description="Limit for one call of kubectl or helm while rendering, in seconds; of CPU time, too."
    )
    lock_seconds: int = Field(
        20, ge=3, description="How long the lock of a killed release stays, in seconds; a living one renews it in time."
    )
    lock_wait: float = Field(30, ge=0, description="How long a release waits for the channel's lock, in seconds.")

    github_repository: str = Field(
        "", description="`owner/name` of the repository on GitHub, where promotions are reviewed; empty: no forge."
    )
    github_url: str = Field(
        "https://api.github.com", description="Address of GitHub's API; on an Enterprise server `https://HOST/api/v3`."
    )
    github_token: SecretStr | None = Field(None, description="Token for GitHub's API and for git over HTTPS.")
    github_token_file: Path | None = Field(None, description="File with that token instead; read anew at each use.")
    github_app_id: str = Field("", description="Id of a GitHub App instead of a token; with the two below.")
    github_app_key_file: Path | None = Field(None, description="File with the private key of the App, as PEM.")
    github_installation: int | None = Field(
        None, description="Id of the App's installation; default: the one on the repository."
    )
    review_hours: float = Field(
        24, gt=0, description="Age at which the diff of an open pull request is computed again, in hours."
    )
    dagster_url: str = Field(
        "", description="Address of Dagster's web server, for links to runs on GitHub; empty: no links."
    )

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment; raises SettingsError that names every bad variable."""
        contexts = os.environ.get("DEPLOY_CONTEXTS", "")
        try:
            return cls(contexts=_parse_contexts(contexts)) if contexts else cls()
        except ValidationError as error:
            faults = [f"DEPLOY_{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors()]
            raise SettingsError("the deployer's settings are wrong", details=faults) from None


def _parse_contexts(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not sep or not name.strip() or not value.strip() for name, sep, value in pairs):
        raise SettingsError("DEPLOY_CONTEXTS must look like test=staging,prod=production")
    return {name.strip(): value.strip() for name, _, value in pairs}


def tool_path(name: str) -> str:
    """Path of ``kubectl``, ``helm`` or ``sops``: the variable KUBECTL (…), else the project's own, else that on PATH.

    The project's own goes before PATH, since some machines have a cloud vendor's dispatcher under these names.
    """
    own = PROJECT_TOOLS / name
    found = os.environ.get(name.upper()) or (str(own) if own.exists() else shutil.which(name))
    if not found:
        raise SettingsError(
            f"{name} is neither in {name.upper()}, nor in .tools/bin, nor on PATH",
            hint=f"run `make setup`, or install {name} and set {name.upper()} to its path",
        )
    return found
