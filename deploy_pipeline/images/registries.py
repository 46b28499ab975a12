"""Which registries may be asked, how, and with what credentials: the deployer's settings, and nothing else.

Image names come from branches nobody has approved yet. A deployer that asked whatever host they name could be sent to
any address of its own network, so it speaks to the hosts that it was told of.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy_pipeline import process_redaction
from deploy_pipeline.errors import SettingsError
from deploy_pipeline.settings import Settings

_LISTED = re.compile(r"(?P<plain>http://)?(?P<host>(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?)/?")
_PLAIN_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?")  # what every program reads as the same host
_DOCKER_HUB = "docker.io"
_HUB_HOSTS = ("registry-1.docker.io", "auth.docker.io")


class NoAnswer(Exception):
    """Nobody can tell whether an image exists; the text says why, in words for people."""


@dataclass(frozen=True)
class Credentials:
    """User and password for one registry."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Registries:
    """The hosts that may be asked; ``plain`` are those without TLS. A host ``*.domain`` stands for all below it."""

    hosts: tuple[str, ...] = ()
    plain: frozenset[str] = frozenset()
    credentials: Mapping[str, Credentials] = field(default_factory=dict, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Registries:
        """The registries that ``registries`` names, and those of the docker configuration. Raises SettingsError."""
        matches = [_listed(entry.strip()) for entry in settings.registries.split(",") if entry.strip()]
        credentials = read_docker_config(settings.docker_config) if settings.docker_config else {}
        named = [match["host"] for match in matches]
        hosts = dict.fromkeys([*named, *credentials, *(_HUB_HOSTS if _DOCKER_HUB in {*named, *credentials} else ())])
        return cls(tuple(hosts), frozenset(match["host"] for match in matches if match["plain"]), credentials)

    def lists(self, host: str) -> bool:
        """Whether the deployer may speak to a host (with its port)."""
        return bool(_PLAIN_HOST.fullmatch(host)) and any(
            host == known or (known[:1] == "*" and host.endswith(known[1:])) for known in self.hosts
        )

    def address(self, registry: str) -> str:
        """Where a listed registry is spoken to."""
        host = _HUB_HOSTS[0] if registry == _DOCKER_HUB else registry
        return f"{'http' if registry in self.plain else 'https'}://{host}"


def _listed(entry: str) -> re.Match[str]:
    match = _LISTED.fullmatch(entry)
    if not match:
        raise SettingsError(
            f"DEPLOY_REGISTRIES: {entry!r} is no registry",
            hint="name hosts such as ghcr.io, *.pkg.dev or registry.internal:5000; http:// in front of one without TLS",
        )
    return match


def read_docker_config(path: Path) -> dict[str, Credentials]:
    """The credentials that lie in a docker configuration, by host. Helper programs it names are not run.

    Raises SettingsError, which quotes nothing of the file.
    """
    try:
        content: Any = json.loads(path.read_bytes())
        entries = content.get("auths") or {}
        found = {_host(address): _credentials(entry) for address, entry in entries.items()}
    except OSError as error:
        raise SettingsError(f"DEPLOY_DOCKER_CONFIG: {path} cannot be read: {error.strerror}") from None
    except (ValueError, AttributeError, TypeError, binascii.Error):
        raise SettingsError(
            f"DEPLOY_DOCKER_CONFIG: {path} is no docker configuration",
            hint='it looks like {"auths": {"ghcr.io": {"auth": "<base64 of user:password>"}}}',
        ) from None
    return {host: credentials for host, credentials in found.items() if credentials}


def _host(address: str) -> str:
    host = re.sub("^https?://", "", address).partition("/")[0].lower()
    return _DOCKER_HUB if host == "index.docker.io" else host


def _credentials(entry: Mapping[str, str]) -> Credentials | None:
    """User and password of one entry; None where it has none, since a helper program keeps them."""
    user, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    if not user or not password:
        return None
    credentials = Credentials(user, password)
    process_redaction.learn([password, credentials.basic.split()[-1]])
    return credentials
