"""Requests over real sockets: TLS as a kubeconfig wants it, proxies, connections that are kept and that break."""

from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy_pipeline.cluster import transport
from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.errors import ClusterUnreachable, SettingsError

NAME = "api.cluster.test"  # no resolver knows it, so that only the certificate has it


class Authority:
    """A certificate authority that lives in a directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        self.certificate = self._issued(self._name, self._key, authority=True)
        self.file = folder / "ca.crt"
        self.file.write_bytes(_pem(self.certificate))

    def issue(self, name: str, *, alternative: bool = True) -> tuple[Path, Path]:
        """Files with a certificate for this name, and its key; it is also an alternative name, if that is said."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._issued(subject, key, san=name if alternative else "")
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        files[0].write_bytes(_pem(certificate))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        return files

    def _issued(self, subject: x509.Name, key: Any, *, authority: bool = False, san: str = "") -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if authority:
            usage = dict.fromkeys(
                "digital_signature content_commitment key_encipherment data_encipherment key_agreement crl_sign "
                "encipher_only decipher_only".split(),
                False,
            )
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(san)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Server(ThreadingHTTPServer):
    """Answers every request with where it was sent; knows its connections."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accepted: list[socket.socket] = []
        self.asked: list[str] = []
        self.cut = 0  # answers that will end too early
        self.garbage = b""  # what is said instead of HTTP
        self.context = context
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection, and begin TLS when the first byte is read."""
        taken, address = super().get_request()
        if self.context:
            taken = self.context.wrap_socket(taken, server_side=True, do_handshake_on_connect=False)
        self.accepted.append(taken)
        return taken, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not like the certificate are part of the tests."""

    def hang_up(self) -> None:
        """Close every connection without a word."""
        for taken in self.accepted:
            taken.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.garbage:
            self.wfile.write(self.server.garbage)
            return
        body = b'{"path": "%s"}' % self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut:
            self.server.cut -= 1
            self.wfile.write(body[:5])
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Proxy(socketserver.ThreadingTCPServer):
    """Passes connections on to one port, whatever it is asked for; knows what that was."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.to, self.asked = port, list[str]()
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        """Read a CONNECT, agree, and carry bytes both ways."""
        self.server.asked.append(self.rfile.readline().decode().strip())
        while self.rfile.readline().strip():
            pass
        with socket.create_connection(("127.0.0.1", self.server.to)) as onward:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_carry, args=(onward, self.connection), daemon=True)
            back.start()
            _carry(self.connection, onward)
            back.join(5)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client has hung up
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom the server's certificate is from."""
    return Authority(tmp_path / "authority")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those of the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def servers() -> Iterator[list[Any]]:
    """Servers that end with the test."""
    started: list[Any] = []
    yield started
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def plain(servers: list[Any]) -> Server:
    """A server without TLS."""
    servers.append(Server())
    found: Server = servers[-1]
    return found


@pytest.fixture
def secure(servers: list[Any], authority: Authority) -> Server:
    """A server with a certificate for NAME."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(NAME))
    servers.append(Server(context))
    found: Server = servers[-1]
    return found


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Connection]:
    """A connection as a kubeconfig describes it."""

    def make(address: str, user: dict[str, str] | None = None, **cluster: Any) -> Connection:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": address, **cluster}}],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
        return Connection(tmp_path / "kubeconfig")

    return make


def trusting(authority: Authority) -> dict[str, str]:
    """The cluster of a kubeconfig that trusts it."""
    return {"certificate-authority-data": base64.b64encode(authority.file.read_bytes()).decode()}


def test_a_certificate_is_for_the_name_that_the_kubeconfig_gives(
    secure: Server, authority: Authority, connect: Callable[..., Connection]
) -> None:
    """An address behind a tunnel is no name in any certificate, which ``tls-server-name`` is for."""
    found = connect(f"https://127.0.0.1:{secure.port}", **trusting(authority), **{"tls-server-name": NAME})
    assert found.get("/version").body == {"path": "/version"}


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_that_is_not_the_servers_is_refused(
    trusted: bool, secure: Server, authority: Authority, tmp_path: Path, connect: Callable[..., Connection]
) -> None:
    """Of another authority, or for another name: no request is sent, with its token, to whoever that is."""
    known = trusting(authority if trusted else Authority(tmp_path / "other"))
    name = {} if trusted else {"tls-server-name": NAME}
    found = connect(f"https://127.0.0.1:{secure.port}", {"token": "t"}, **known, **name)
    with pytest.raises(ClusterUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        found.send("POST", "/api")
    assert secure.asked == []


def test_only_alternative_names_count(
    servers: list[Any], authority: Authority, connect: Callable[..., Connection]
) -> None:
    """A certificate that says its name only where it used to be said is good for none, as for kubectl."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(NAME, alternative=False))
    servers.append(server := Server(context))
    found = connect(f"https://127.0.0.1:{server.port}", **trusting(authority), **{"tls-server-name": NAME})
    with pytest.raises(ClusterUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        found.send("POST", "/api")
    assert server.asked == []


def test_certificates_are_read_again_when_they_were_renewed(
    secure: Server, authority: Authority, tmp_path: Path, connect: Callable[..., Connection]
) -> None:
    """A sensor lives longer than they do: theirs and ours are in files that something else writes."""
    assert secure.context
    other = Authority(tmp_path / "other")
    (tmp_path / "ca.crt").write_bytes(other.file.read_bytes())
    known = {"certificate-authority": str(tmp_path / "ca.crt"), "tls-server-name": NAME}
    found = connect(f"https://127.0.0.1:{secure.port}", **known)
    with pytest.raises(ClusterUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        found.send("POST", "/api")
    (tmp_path / "ca.crt").write_bytes(authority.file.read_bytes()[:99])
    with pytest.raises(ClusterUnreachable):  # which is tried again, as the file is just being written
        found.send("POST", "/api")
    (tmp_path / "ca.crt").write_bytes(authority.file.read_bytes())
    assert found.send("POST", "/api").ok


def test_what_is_not_to_be_verified_is_not(secure: Server, connect: Callable[..., Connection]) -> None:
    """``insecure-skip-tls-verify`` is said of clusters made for a try."""
    found = connect(f"https://127.0.0.1:{secure.port}", **{"insecure-skip-tls-verify": True})
    assert found.get("/version").ok


@pytest.mark.parametrize("known", [True, False])
def test_a_client_certificate_is_shown(
    known: bool, secure: Server, authority: Authority, connect: Callable[..., Connection]
) -> None:
    """Whoever has none is not let in by a server that asks for it."""
    assert secure.context
    secure.context.verify_mode = ssl.CERT_REQUIRED
    secure.context.load_verify_locations(authority.file)
    certificate, key = authority.issue("deployer")
    user = {"client-certificate": str(certificate), "client-key": str(key)} if known else {}
    found = connect(f"https://127.0.0.1:{secure.port}", user, **trusting(authority), **{"tls-server-name": NAME})
    if known:
        assert found.get("/version").ok
    else:
        with pytest.raises(ClusterUnreachable):
            found.send("POST", "/api")


def test_certificates_that_cannot_be_read_are_said(
    secure: Server, tmp_path: Path, connect: Callable[..., Connection]
) -> None:
    """Before any request, with where to look."""
    (tmp_path / "broken.crt").write_text("no certificate")
    with pytest.raises(SettingsError, match="cannot be used") as raised:
        connect(f"https://127.0.0.1:{secure.port}", **{"certificate-authority": str(tmp_path / "broken.crt")})
    assert "certificate-authority" in (raised.value.hint or "")


def test_a_proxy_sees_no_more_of_tls_than_where_it_goes(
    secure: Server,
    authority: Authority,
    servers: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[..., Connection],
) -> None:
    """The name is the proxy's to resolve, and the server's certificate is checked all the same."""
    servers.append(proxy := Proxy(secure.port))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert connect(f"https://{NAME}:6443", **trusting(authority)).get("/version").ok
    assert [line.rpartition(" ")[0] for line in proxy.asked] == [f"CONNECT {NAME}:6443"]
    assert secure.asked == ["GET /version"]


def test_a_proxy_is_told_the_whole_address_without_tls(
    plain: Server, monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Connection]
) -> None:
    """The proxy answers in the server's place."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{plain.port}")
    assert connect("http://api.cluster.test:8080").get("/version", {"a": "b"}).ok
    assert plain.asked == ["GET http://api.cluster.test:8080/version?a=b"]


def test_a_proxy_is_not_asked_for_servers_that_are_excepted(
    plain: Server, monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Connection]
) -> None:
    """NO_PROXY names them."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert connect(f"http://127.0.0.1:{plain.port}").get("/version").ok


def test_a_proxy_of_another_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Connection]
) -> None:
    """Rather than gone around."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(SettingsError, match=r"address of the proxy for the cluster at .* is no http://HOST:PORT"):
        connect(f"https://{NAME}")


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "http://", "127.0.0.1:6443", "https://[::1", "http://a:99999"])
def test_an_address_that_is_none_is_refused(address: str, connect: Callable[..., Connection]) -> None:
    """Nobody need try again."""
    with pytest.raises(SettingsError, match="is no https or http://HOST:PORT"):
        connect(address)


def test_one_after_the_other_takes_one_connection(plain: Server, connect: Callable[..., Connection]) -> None:
    """Many at once take as many as there are threads, which are used again."""
    found = connect(f"http://127.0.0.1:{plain.port}")
    for number in range(20):
        assert found.get(f"/{number}").body == {"path": f"/{number}"}
    assert len(plain.accepted) == 1
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: found.get(f"/{number}").body, range(400)))
    assert answers == [{"path": f"/{number}"} for number in range(400)]
    assert len(plain.accepted) <= 9


def test_a_connection_that_was_closed_while_idle_is_not_used(plain: Server, connect: Callable[..., Connection]) -> None:
    """A write is sent once, so it must not be lost on a connection that a load balancer has dropped."""
    found = connect(f"http://127.0.0.1:{plain.port}")
    found.get("/version")
    plain.hang_up()
    assert found.send("POST", "/api", body={}).ok
    assert plain.asked == ["GET /version", "POST /api"]


def test_what_nobody_asked_for_is_no_answer(plain: Server, connect: Callable[..., Connection]) -> None:
    """A load balancer may say that it waited too long; the answer to a later request would be one too late."""
    found = connect(f"http://127.0.0.1:{plain.port}")
    found.get("/version")
    plain.accepted[0].sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\n{}")
    assert found.get("/first").body == {"path": "/first"}
    assert found.get("/second").body == {"path": "/second"}


def test_what_is_no_http_is_not_quoted(plain: Server, connect: Callable[..., Connection]) -> None:
    """It may be the rest of another answer, and that a Secret."""
    found = connect(f"http://127.0.0.1:{plain.port}")
    plain.garbage = b'"password": "hunter2"\r\n'
    with pytest.raises(ClusterUnreachable, match="BadStatusLine") as raised:
        found.send("POST", "/api", body={})
    assert "hunter2" not in str(raised.value)


def test_half_an_answer_is_none(plain: Server, connect: Callable[..., Connection]) -> None:
    """What may be asked again is; a write is left to who knows whether it may be done twice."""
    found = connect(f"http://127.0.0.1:{plain.port}")
    plain.cut = 1
    assert found.get("/version").ok
    plain.cut = 1
    with pytest.raises(ClusterUnreachable, match="IncompleteRead"):
        found.send("POST", "/api", body={})
    assert plain.asked == ["GET /version", "GET /version", "POST /api"]
    assert found.send("POST", "/api", body={}).body == {"path": "/api"}


def test_a_server_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Connection]
) -> None:
    """After the time limit, with what was asked."""
    monkeypatch.setattr(transport, "_READ_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = connect(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ClusterUnreachable, match="did not answer POST /api: TimeoutError"):
            found.send("POST", "/api", body={})
