"""Asking a registry for one image: ``HEAD`` of its manifest (OCI distribution), with the login it asks for.

It speaks to listed hosts only, also where a registry sends it on: to another address, or to the server that gives out
tokens. Without TLS it speaks only to those that are listed so. Nothing of an answer is quoted.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3

from deploy_pipeline import process_redaction
from deploy_pipeline.images.reference import ImageReference
from deploy_pipeline.images.registries import Credentials, NoAnswer, Registries

_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_RETRIES = urllib3.Retry(
    2, redirect=False, status_forcelist=(429, 502, 503, 504), backoff_factor=0.2, raise_on_status=False
)
_MAX_REDIRECTS = 3
_MAX_BYTES = 256 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class _Answer:
    """What a registry answered; of its content, the part that may be looked at."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class RegistryClient:
    """Asks listed registries, from any number of threads; a registry that does not answer is not asked again."""

    registries: Registries
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)
    _silent: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def digest(self, image: ImageReference) -> str | None:
        """The digest of an image; None if its registry does not have it, empty if it does not say. Raises NoAnswer."""
        if not self.registries.lists(image.registry):
            raise NoAnswer(f"the deployer's DEPLOY_REGISTRIES do not name {image.registry}")
        if image.registry in self._silent:
            raise NoAnswer(self._silent[image.registry])
        path = f"/v2/{quote(image.repository)}/manifests/{quote(image.digest or image.tag, safe=':')}"
        url = self.registries.address(image.registry) + path
        authorization = self._tokens.get((image.registry, image.repository), "")
        answer = self._head(url, authorization, image.registry)
        if answer.status == 401:
            authorization = self._authorize(image, answer.headers.get("WWW-Authenticate", ""))
            answer = self._head(url, authorization, image.registry)
        return _digest(image, answer)

    def _head(self, url: str, authorization: str, registry: str) -> _Answer:
        """The answer for a manifest, from where the registry keeps it."""
        for _ in range(_MAX_REDIRECTS + 1):
            headers = {"Accept": _ACCEPT, **({"Authorization": authorization} if authorization else {})}
            answer = self._send("HEAD", url, headers, registry)
            location = answer.headers.get("Location")
            if not 300 <= answer.status < 400 or not location:
                return answer
            target = urljoin(url, location)
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                self._check_host(target, f"{registry} sends the deployer on to")
                authorization = ""  # it was meant for another host
            url = target
        raise NoAnswer(f"{registry} sends the deployer round in circles")

    def _authorize(self, image: ImageReference, challenge: str) -> str:
        """The value of the header that a registry asks for (RFC 7235, and the token specification of distribution)."""
        scheme, _, rest = challenge.partition(" ")
        credentials = self.registries.credentials.get(image.registry)
        if scheme.lower() == "basic" and credentials:
            return credentials.basic
        if scheme.lower() != "bearer":
            raise NoAnswer(f"{image.registry} asks for a login that DEPLOY_DOCKER_CONFIG does not have")
        asked = dict(re.findall(r'([a-z]+)="([^"]*)"', rest))
        key = (image.registry, image.repository)
        with self._lock:
            if key not in self._tokens:
                self._tokens[key] = f"Bearer {self._token(image, asked, credentials)}"
            return self._tokens[key]

    def _token(self, image: ImageReference, asked: dict[str, str], credentials: Credentials | None) -> str:
        """A token to pull this one repository, whatever more the registry suggests."""
        realm = urljoin(self.registries.address(image.registry), asked.get("realm", ""))
        if urlsplit(realm)[:2] != urlsplit(self.registries.address(image.registry))[:2]:
            self._check_host(realm, f"{image.registry} gets its tokens from")
        query = {"service": asked.get("service", ""), "scope": f"repository:{image.repository}:pull"}
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
        headers = {"Authorization": credentials.basic} if credentials else {}
        answer = self._send("GET", url, headers, image.registry)
        if answer.status != 200:
            raise NoAnswer(f"{image.registry} gives the deployer no token for it (HTTP {answer.status})")
        try:
            content: Any = json.loads(answer.content)
            token = content.get("token") or content.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise NoAnswer(f"{image.registry} answers without a token")
        process_redaction.learn([token])
        return token

    def _check_host(self, url: str, words: str) -> None:
        """Raise NoAnswer unless the address is that of a listed host, with TLS or marked as one without."""
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.netloc in self.registries.plain)
        if not secure or not self.registries.lists(parts.netloc):
            raise NoAnswer(f"{words} {parts.scheme}://{parts.netloc}, which DEPLOY_REGISTRIES do not name")

    def _send(self, method: str, url: str, headers: dict[str, str], registry: str) -> _Answer:
        try:
            answer = _pool(urlsplit(url)).request(
                method, url, headers=headers, timeout=_TIMEOUT, retries=_RETRIES, redirect=False, preload_content=False
            )
            content = answer.read(_MAX_BYTES, decode_content=True)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
            reason = f"{registry} does not answer ({type(cause).__name__})"
            self._silent[registry] = reason
            raise NoAnswer(reason) from None
        return _Answer(answer.status, answer.headers, content)


def _pool(url: SplitResult) -> urllib3.PoolManager:
    """Connections to a host, through the proxy that the deployer's environment names for it."""
    proxy = getproxies_environment().get(url.scheme, "")
    return _connections("" if proxy_bypass(url.netloc) else proxy)


@cache
def _connections(proxy: str) -> urllib3.PoolManager:
    return urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()


def _digest(image: ImageReference, answer: _Answer) -> str | None:
    if answer.status == 404:
        return None
    if answer.status in (401, 403):
        raise NoAnswer(f"{image.registry} does not let the deployer see it; it may not exist (HTTP {answer.status})")
    if answer.status != 200:
        raise NoAnswer(f"{image.registry} answers with HTTP {answer.status}")
    digest = answer.headers.get("Docker-Content-Digest", "")
    return digest if _DIGEST.fullmatch(digest) else ""
