"""Who the deployer is for Vault: a token, or a login that gives one (Kubernetes service account, AppRole).

Tokens and what they are got with are never shown: no representation, error or address holds them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy_pipeline import process_redaction
from deploy_pipeline.errors import SecretStoreUnreachable, SettingsError

Connect = Callable[[str], Any]
"""A client of hvac with a token; an empty one before the login."""


class VaultLogin(ABC):
    """Gives the token that is good now. Safe to share between threads."""

    def __init__(self) -> None:
        self._token = ""
        self._lock = threading.Lock()

    def token(self, connect: Connect) -> str:
        """The token, fetched at its first use. Raises SettingsError, SecretStoreUnreachable."""
        with self._lock:
            self._token = self._token or self.fetch(connect)
            return self._token

    def another_token(self, refused: str, connect: Connect) -> str:
        """A token in place of one that Vault refuses; empty if there is no other."""
        with self._lock:
            if self._token == refused:
                self._token = self.fetch(connect)
            return self._token if self._token != refused else ""

    @abstractmethod
    def fetch(self, connect: Connect) -> str:
        """The token as it can be had now."""


class GivenToken(VaultLogin):
    """A token, or the file in which another program keeps one that is good."""

    def __init__(self, token: str | Path) -> None:
        super().__init__()
        self._given = token

    def fetch(self, connect: Connect) -> str:
        """The token as set, or as it stands in the file now."""
        return _content(self._given) if isinstance(self._given, Path) else _checked(self._given, "DEPLOY_VAULT_TOKEN")


@dataclass(frozen=True)
class Proof:
    """What Vault wants for a login: the auth method (``kubernetes`` or ``approle``), its mount, who, and which file."""

    method: str
    mount: str
    identity: str
    file: Path = field(repr=False)

    def fields(self) -> dict[str, str]:
        """The arguments of hvac's login. The file is read anew each time: the cluster renews it."""
        who, by = {"kubernetes": ("role", "jwt"), "approle": ("role_id", "secret_id")}[self.method]
        return {who: self.identity, by: _content(self.file)}


class AuthLogin(VaultLogin):
    """A login by a service account or an AppRole."""

    def __init__(self, proof: Proof) -> None:
        super().__init__()
        self._proof = proof

    def fetch(self, connect: Connect) -> str:
        """The token of a new login."""
        proof = self._proof
        method = getattr(connect("").auth, proof.method)  # says so if hvac is not installed
        from hvac import exceptions

        try:
            answer = method.login(**proof.fields(), use_token=False, mount_point=proof.mount)
        except (exceptions.InvalidRequest, exceptions.Unauthorized, exceptions.Forbidden, exceptions.InvalidPath):
            raise SettingsError(
                f"Vault refuses the deployer's login ({proof.method}, at auth/{proof.mount})",
                hint=f"check the role in Vault, and {proof.file}",
            ) from None
        except (exceptions.VaultError, OSError) as error:
            raise SecretStoreUnreachable(f"Vault cannot be logged in to: {type(error).__name__}") from None
        token = (answer.get("auth") or {}).get("client_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str) or not token:
            raise SecretStoreUnreachable("Vault answered a login without a token", hint="check DEPLOY_VAULT_URL")
        process_redaction.learn([token])
        return token


def _content(path: Path) -> str:
    """The content of a file without the line's end. Raises SettingsError."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {type(error).__name__}") from None
    return _checked(text, str(path))


def _checked(token: str, where: str) -> str:
    """The token; SettingsError for what cannot be a header: the client would refuse it by an error that quotes it."""
    if not token or not token.isascii() or not token.isprintable():
        raise SettingsError(f"{where} holds no token")
    process_redaction.learn([token])
    return token
