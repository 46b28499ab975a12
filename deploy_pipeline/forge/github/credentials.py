"""Who the deployer is for GitHub: a token, or an App that exchanges a signed statement for tokens of an hour.

Nothing here ever shows a token: what is said of a failure goes through :meth:`Credentials.redact`, and the one logger
of PyGithub that would print tokens is kept from it.
"""

from __future__ import annotations

import base64
import logging
import os
import threading
from abc import ABC, abstractmethod
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from deploy_pipeline import process_redaction
from deploy_pipeline.errors import SettingsError
from deploy_pipeline.redaction import Redactor

if TYPE_CHECKING:
    from github import GithubIntegration

_BEFORE_IT_ENDS = timedelta(minutes=5)
_GIT_USER = "x-access-token"  # git over HTTP takes any token as the password of this user
_TALKATIVE = logging.getLogger("github.Requester")


class Credentials(ABC):
    """Gives the token that is good now. Safe to share between threads."""

    def __init__(self) -> None:
        self._redactor = Redactor(os.urandom(16), also=process_redaction.learn)
        # At DEBUG it writes the body of an App's new token, whatever level somebody may set for it.
        _TALKATIVE.addFilter(_not_in_detail)

    @abstractmethod
    def token(self) -> str:
        """A token that is good for some minutes at least. Raises SettingsError for what is set wrongly."""

    @abstractmethod
    def app(self) -> GithubIntegration | None:
        """The App that the tokens are of; None for a token of a person."""

    def forget(self, token: str) -> bool:
        """Give up a token that GitHub refuses; whether another one may be had."""
        return False

    def git_header(self) -> str:
        """What git sends with its requests."""
        return f"Authorization: Basic {_basic(self.token())}"

    def secrets(self) -> tuple[str, ...]:
        """The texts that must not be shown, as they are now."""
        token = self.token()
        return (token, _basic(token))

    def redact(self, text: str) -> str:
        """The text without any token that was ever used."""
        return self._redactor.redact(text)

    def _known(self, token: str) -> str:
        self._redactor.learn((token, _basic(token)))
        return token


class TokenCredentials(Credentials):
    """A token, or the file it stands in, which is read anew at each use: mounted secrets change while we run."""

    def __init__(self, token: str | Path) -> None:
        super().__init__()
        self._token = token

    def token(self) -> str:
        """The token as set, or as it stands in the file now."""
        return self._known(read_secret(self._token) if isinstance(self._token, Path) else self._token)

    def app(self) -> None:
        """It is no App's."""


class AppCredentials(Credentials):
    """A GitHub App: signs with ``key_file``, and asks for a new token five minutes before the last one ends.

    ``installation`` is looked up by ``repository`` if it is None.
    """

    def __init__(
        self, api_url: str, app_id: str, key_file: Path, *, repository: str, installation: int | None, timeout: int
    ) -> None:
        super().__init__()
        self._api_url = api_url
        self._app_id = app_id
        self._key_file = key_file
        self._repository = repository
        self._installation = installation
        self._timeout = timeout
        self._token = ""
        self._ends = datetime.min.replace(tzinfo=timezone.utc)
        self._lock = threading.Lock()

    def token(self) -> str:
        """The installation's token, renewed in time. Raises what PyGithub and requests raise."""
        with self._lock:
            if datetime.now(timezone.utc) >= self._ends:
                app = self.app()
                if self._installation is None:
                    self._installation = app.get_repo_installation(*self._repository.split("/")).id
                authorization = app.get_access_token(self._installation)
                self._token = self._known(authorization.token)
                life = authorization.expires_at - datetime.now(timezone.utc)
                self._ends = authorization.expires_at - min(_BEFORE_IT_ENDS, life / 2)
            return self._token

    def forget(self, token: str) -> bool:
        """Tokens are revoked when an App's permissions change: the next one is asked for."""
        with self._lock:
            if token == self._token:
                self._ends = datetime.min.replace(tzinfo=timezone.utc)
            return True

    def app(self) -> GithubIntegration:
        """The App itself, which can say its name and ask for tokens, and nothing else."""
        import jwt
        from github import Auth, GithubIntegration

        class KnownAppAuth(Auth.AppAuth):
            """Whose signed statements are known before they are sent."""

            def create_jwt(self, expiration: int | None = None) -> str:
                statement = super().create_jwt(expiration)
                process_redaction.learn([statement])
                return statement

        try:
            key = read_secret(self._key_file)
            process_redaction.learn([key])
            auth = KnownAppAuth(self._app_id, key)
            auth.create_jwt()
        except (jwt.InvalidKeyError, ValueError, TypeError):
            # What went wrong is not quoted: it may quote the key.
            raise SettingsError(
                f"{self._key_file} holds no private key of a GitHub App",
                hint="DEPLOY_GITHUB_APP_KEY_FILE must name the PEM file that GitHub gave for the App",
            ) from None
        return GithubIntegration(auth=auth, base_url=self._api_url, timeout=self._timeout, retry=None)


def read_secret(path: Path) -> str:
    """The content of a file without the line's end; SettingsError if it cannot be read or is empty."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {type(error).__name__}") from None
    if not text:
        raise SettingsError(f"{path} is empty")
    return text


def _basic(token: str) -> str:
    return base64.b64encode(f"{_GIT_USER}:{token}".encode()).decode()


def _not_in_detail(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
