"""Where a repository lies, and how git is let in without the credentials showing up anywhere.

A token inside a URL would stay in git's configuration, in process lists and in error texts. So user info is taken out
of http(s) URLs at once: git gets it as a header through its environment, people see the URL without it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from deploy_pipeline import process_redaction
from deploy_pipeline.errors import SettingsError

_SCHEMES = ("file", "http", "https", "ssh")
_SCP_LIKE = re.compile(r"[A-Za-z0-9._~-]+@[A-Za-z0-9.-]+:[^:].*")  # git@host:path
_MASK = "***"

Access = Callable[[], tuple[tuple[str, str], ...]]
"""Gives the git configuration that lets us in now: tokens end, so it is asked anew for each call."""


@dataclass(frozen=True)
class Remote:
    """A git remote: the URL that may be shown, and what else git needs to reach it.

    ``config`` is git configuration for the environment; ``secrets`` are the texts that must never be shown.
    """

    url: str
    config: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, url: str) -> Remote:
        """Take a path, a ``file``, ``http(s)`` or ``ssh`` URL or ``user@host:path``; SettingsError for anything else.

        Other transports, above all ``ext::``, can run commands.
        """
        if _SCP_LIKE.fullmatch(url):
            return cls(url)
        if "://" not in url and "::" not in url and not url.startswith("-") and url.strip():
            return cls(str(Path(url).expanduser().resolve()))
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or "::" in url.partition("://")[0]:
            raise SettingsError(
                f"`{_without_user_info(url)}` is no address of a git repository",
                hint="use a path, a file://, http(s):// or ssh:// URL, or user@host:path",
            )
        if parts.scheme in ("http", "https") and "@" in parts.netloc:
            return _with_header(url)
        return cls(url, secrets=(parts.password,) if parts.password else ())

    @property
    def wants_access(self) -> bool:
        """Whether the address itself leaves open who we are: others bring their own credentials."""
        return self.url.startswith(("http://", "https://")) and not self.config

    def with_access(self, config: tuple[tuple[str, str], ...]) -> Remote:
        """The remote with this configuration; the last word of each value is the credentials in it."""
        words = (value.split()[-1] for _, value in config if value.split())
        return replace(self, config=(*self.config, *config), secrets=(*self.secrets, *words))

    def __post_init__(self) -> None:
        process_redaction.learn(self.secrets)

    def redact(self, text: str) -> str:
        """The text without any form of the credentials."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, _MASK)
        return text


def _with_header(url: str) -> Remote:
    parts = urlsplit(url)
    user_info, _, host = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    # A user name beside a password is public; alone it is the token itself.
    shown = {password, unquote(password)} if password else {user, unquote(user)}
    return Remote(
        url=urlunsplit(parts._replace(netloc=host)),
        config=((f"http.{parts.scheme}://{host}/.extraHeader", f"Authorization: Basic {token}"),),
        secrets=tuple(secret for secret in (token, user_info, *shown) if secret),
    )


def _without_user_info(url: str) -> str:
    return re.sub(r"//[^/@]*@", f"//{_MASK}@", url)
