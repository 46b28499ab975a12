"""Requests to one server over connections that are kept open, by the HTTP client of the standard library.

It does less for each than a client for all the web does: no redirects, no retries, no decoding. With the thousands of
small requests that a plan sends, that is most of what they cost. What the kubeconfig says of TLS and proxies holds.
"""

from __future__ import annotations

import ssl
import time
import weakref
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

from requests.utils import should_bypass_proxies
from urllib3.util import wait_for_read

from deploy_pipeline.errors import SettingsError
from kubernetes import client

_CONNECT_TIMEOUT = 5.0  # seconds
_READ_TIMEOUT = 60.0  # seconds without a byte
_MOST_IDLE = 32  # connections; more are closed after their request
_TRUSTED_IDLE = 1.0  # seconds after which a server may have closed a connection

_Idle = tuple[HTTPConnection, float]  # and since when


class Transport:
    """The connections to the server that a configuration names. Safe to share between threads.

    Raises OSError and http.client.HTTPException for requests that got no answer.
    """

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration = configuration
        self._url = urlsplit(configuration.host)
        self._tls = _context(configuration) if self._url.scheme == "https" else None
        self._proxy = _proxy(configuration)
        # A proxy is told the whole address where it does not just pass on what is encrypted (RFC 9112, 3.2.2).
        self._before_path = f"http://{self._url.netloc}" if self._proxy and not self._tls else ""
        self._idle: list[_Idle] = []  # the one used last is used first
        weakref.finalize(self, _close, self._idle)

    def send(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send one request, once; its status and what came with it."""
        connection = self._take()
        try:
            connection.request(method, self._before_path + target, body, headers)
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:  # whatever it was, half an answer may be left in it
            connection.close()
            raise
        if connection.sock is not None and len(self._idle) < _MOST_IDLE:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        return answer

    def _take(self) -> HTTPConnection:
        while self._idle:
            try:
                connection, since = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if time.monotonic() - since < _TRUSTED_IDLE or not wait_for_read(connection.sock, timeout=0):
                return connection
            connection.close()  # what can be read of an idle connection is its end
        return self._connect()

    def _connect(self) -> HTTPConnection:
        """A new connection, through the proxy if there is one."""
        host, port = str(self._url.hostname), self._url.port or (443 if self._tls else 80)
        address = self._proxy or (host, port)
        name = self._configuration.tls_server_name or host
        connection = _Tls(address, self._tls, name) if self._tls else HTTPConnection(*address, timeout=_CONNECT_TIMEOUT)
        if self._proxy and self._tls:
            connection.set_tunnel(host, port, self._configuration.proxy_headers)
        connection.connect()
        connection.sock.settimeout(_READ_TIMEOUT)
        return connection


class _Tls(HTTPSConnection):
    """TLS to a server whose certificate may be for another name than its address."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, name: str) -> None:
        super().__init__(*address, timeout=_CONNECT_TIMEOUT, context=context)
        self._tls, self._name = context, name

    def connect(self) -> None:
        """Open the connection, and the tunnel if there is a proxy; then begin TLS."""
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _close(idle: list[_Idle]) -> None:
    for connection, _ in idle:
        connection.close()


def _context(configuration: client.Configuration) -> ssl.SSLContext:
    """Whom to trust and who we are. Raises SettingsError for certificates that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the certificates for the cluster at {configuration.host} cannot be used: {error}",
            hint="check certificate-authority, client-certificate and client-key in the kubeconfig",
        ) from None
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy(configuration: client.Configuration) -> tuple[str, int] | None:
    """Host and port of the proxy; None if there is none for this server. Raises SettingsError for other kinds."""
    if not configuration.proxy or should_bypass_proxies(configuration.host, no_proxy=configuration.no_proxy or ""):
        return None
    url = urlsplit(configuration.proxy)
    if url.scheme != "http" or not url.hostname:
        raise SettingsError(
            f"the proxy for the cluster at {configuration.host} is none that is spoken to by plain HTTP",
            hint="give HTTPS_PROXY as http://HOST:PORT, or name the server in NO_PROXY",
        )
    return url.hostname, url.port or 80
