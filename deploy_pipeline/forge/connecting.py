"""Which forge the settings name, and whether what they say of it can be right."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from deploy_pipeline.errors import SettingsError
from deploy_pipeline.forge.forge import Forge
from deploy_pipeline.forge.none import NoForge
from deploy_pipeline.settings import Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TIMEOUT = 15  # seconds for one request


def forge_from(settings: Settings, *, patience: float = 60) -> Forge:
    """The forge of the settings; opens nothing. Raises SettingsError.

    ``patience`` is how long one call may wait before it tries again, in seconds; a sensor has little.
    """
    if not settings.github_repository:
        return NoForge()
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", settings.github_repository):
        raise SettingsError("DEPLOY_GITHUB_REPOSITORY must be `owner/name`")
    parts = urlsplit(settings.github_url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            "DEPLOY_GITHUB_URL must be an https:// address without user, query and fragment",
            hint="https://api.github.com, or on an Enterprise server https://HOST/api/v3",
        )
    return _github(settings, patience)


def _github(settings: Settings, patience: float) -> Forge:
    """Heavy imports: only for those who have GitHub."""
    from deploy_pipeline.forge.github import GitHubForge
    from deploy_pipeline.forge.github.connection import Connection
    from deploy_pipeline.forge.github.credentials import AppCredentials, Credentials, TokenCredentials

    token = settings.github_token.get_secret_value() if settings.github_token else ""
    by_app = bool(settings.github_app_id and settings.github_app_key_file)
    if [bool(token), bool(settings.github_token_file), by_app].count(True) != 1:
        raise SettingsError(
            "the deployer needs exactly one way to show who it is to GitHub",
            hint="set DEPLOY_GITHUB_TOKEN, or DEPLOY_GITHUB_TOKEN_FILE, or DEPLOY_GITHUB_APP_ID with "
            "DEPLOY_GITHUB_APP_KEY_FILE",
        )
    api_url, repository = settings.github_url.rstrip("/"), settings.github_repository
    credentials: Credentials
    if by_app and settings.github_app_key_file:
        credentials = AppCredentials(
            api_url,
            settings.github_app_id,
            settings.github_app_key_file,
            repository=repository,
            installation=settings.github_installation,
            timeout=_TIMEOUT,
        )
    else:
        credentials = TokenCredentials(settings.github_token_file or token)
    return GitHubForge(Connection(api_url, repository, credentials, timeout=_TIMEOUT, patience=patience))
