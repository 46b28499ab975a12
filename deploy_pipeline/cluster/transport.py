"""Requests to one server over connections that are kept open, by the HTTP client of the standard library.

It does less for each than a client for all the web does: no redirects, no retries, no decoding. With the thousands of
small requests that a plan sends, that is most of what they cost. What the kubeconfig says of TLS holds; proxies are
those of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), as the official client reads them.
"""

from __future__ import annotations

import ssl
import weakref
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from requests.utils import should_bypass_proxies
from urllib3.util import wait_for_read

from deploy_pipeline.errors import SettingsError
from kubernetes import client

_CONNECT_TIMEOUT = 5.0  # seconds
_READ_TIMEOUT = 60.0  # seconds without a byte
_MOST_IDLE = 32  # connections; more are closed after their request


class Transport:
    """The connections to the server that a configuration names. Safe to share between threads.

    Raises OSError and http.client.HTTPException for requests that got no answer, and SettingsError for a configuration
    that names no server or credentials in its address, certificates that cannot be read, and proxies of other kinds.
    """

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration = configuration
        self._url = _address(configuration.host, "the cluster", "https", "http")
        if self._url.username is not None or self._url.query or self._url.fragment:
            raise SettingsError(
                "the address of the cluster holds credentials or a query, which count for nothing there",
                hint="leave HOST:PORT and a path in `server`, and write credentials under `users` in the kubeconfig",
            )
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._proxy = _proxy(configuration)
        self._idle: list[HTTPConnection] = []  # the one used last is used first
        weakref.finalize(self, _close, self._idle)
        if self._url.scheme == "https":
            _check_certificates(configuration)

    def send(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send one request, once; its status and what came with it."""
        if self._proxy and self._url.scheme == "http":
            # Such a proxy is told the whole address (RFC 9112, section 3.2.2); one that passes TLS on is not.
            target = f"http://{self._url.netloc}{target}"
            headers = {**headers, **(self._configuration.proxy_headers or {})}
        connection = self._take()
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:  # whatever it was, half an answer may be left in it
            connection.close()
            raise
        if connection.sock is not None and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self) -> HTTPConnection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            # What can be read before anything is asked is the end of it, or no answer to what will be asked.
            if not wait_for_read(connection.sock, timeout=0):
                return connection
            connection.close()
        return self._connect()

    def _connect(self) -> HTTPConnection:
        """A new connection, through the proxy if there is one. Certificates are read anew, as they get renewed."""
        host = str(self._url.hostname)
        connection: HTTPConnection
        address = self._proxy or (host, self._port)
        if self._url.scheme == "https":
            name = self._configuration.tls_server_name or host
            connection = _Tls(address, _tls(self._configuration), name)
            if self._proxy:
                connection.set_tunnel(host, self._port, self._configuration.proxy_headers)
        else:
            connection = HTTPConnection(*address, timeout=_CONNECT_TIMEOUT)
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


def _close(idle: list[HTTPConnection]) -> None:
    for connection in idle:
        connection.close()


def _check_certificates(configuration: client.Configuration) -> None:
    """Say at once what cannot be used. Later on a file may just be being renewed: that request is tried again."""
    try:
        _tls(configuration)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the certificates for the cluster at {configuration.host} cannot be used: {error}",
            hint="check certificate-authority, client-certificate and client-key in the kubeconfig",
        ) from None


def _tls(configuration: client.Configuration) -> ssl.SSLContext:
    """Whom to trust and who we are. Raises OSError or ValueError for certificates that cannot be read."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    context.hostname_checks_common_name = False  # as in Go, and so in kubectl: only subjectAltName counts (RFC 9525)
    context.set_alpn_protocols(["http/1.1"])
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy(configuration: client.Configuration) -> tuple[str, int] | None:
    """Host and port of the proxy; None if there is none for this server. Raises SettingsError for other kinds."""
    if not configuration.proxy or should_bypass_proxies(configuration.host, no_proxy=configuration.no_proxy or ""):
        return None
    url = _address(configuration.proxy, f"the proxy for the cluster at {configuration.host}", "http")
    return str(url.hostname), url.port or 80


def _address(text: str, whose: str, *schemes: str) -> SplitResult:
    """An address in its parts. Raises SettingsError, which does not quote it, as it may hold a password."""
    try:
        url = urlsplit(text)
        valid = url.scheme in schemes and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            f"the address of {whose} is no {' or '.join(schemes)}://HOST:PORT",
            hint="check `server` in the kubeconfig; or HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment",
        )
    return url
