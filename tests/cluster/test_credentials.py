"""What a kubeconfig gives the deployer to show: it may be renewed while the deployer runs, wrong, or nonsense."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_pipeline.cluster import connection
from deploy_pipeline.cluster.access import Access
from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.errors import ClusterUnreachable, SettingsError
from deploy_pipeline.private_files import sweep
from tests.cluster.test_transport import Authority

SECRET = "hunter2-token"
ANONYMOUS = 'forbidden: User "system:anonymous" cannot get path "/"'
NAMED = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
"""
PLUGIN = """
import json, pathlib, sys
runs = pathlib.Path("runs")
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
token = pathlib.Path("token").read_text()
if not token:
    sys.exit("the cloud does not answer")
version = "client.authentication.k8s.io/v1"
print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}}))
"""


class Server(ThreadingHTTPServer):
    """Answers whoever shows the accepted token, and the others as an API server does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accepts = SECRET
        self.refusal = 401, "Unauthorized"
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        known = self.headers.get("authorization") == f"Bearer {self.server.accepts}"
        self.server.asked.append(f"{self.command} {'known' if known else 'unknown'}")
        code, words = (200, "ok") if known else self.server.refusal
        body = json.dumps({"kind": "Status", "message": words}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that knows one token."""
    with Server() as started:
        yield started
        started.shutdown()


def kubeconfig(folder: Path, address: str, user: Any) -> Path:
    """A kubeconfig for this server and user."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials are read anew at each refusal, not only every ten seconds."""
    monkeypatch.setattr(connection, "_RENEW_AGAIN", 0.0)


def connect(folder: Path, server: Server, user: Any) -> Connection:
    """A connection to it as that user."""
    return Connection(kubeconfig(folder, f"http://127.0.0.1:{server.server_address[1]}", user))


def plugin(folder: Path) -> dict[str, Any]:
    """A user whose token comes from a program, which counts how often it runs."""
    (folder / "plugin.py").write_text(PLUGIN)
    shell = f"cd {folder} && exec {sys.executable} plugin.py"
    command = {"command": "sh", "args": ["-c", shell]}
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", **command}}


def test_a_token_file_that_is_replaced_is_read_again(server: Server, tmp_path: Path) -> None:
    """As those of service accounts are, every hour; also before a write, of which nothing was done yet."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    found = connect(tmp_path, server, {"tokenFile": str(tmp_path / "token")})
    assert found.get("/version").ok
    server.accepts = "the next one"
    (tmp_path / "token").write_text("the next one\n")
    assert found.send("POST", "/api").ok
    assert found.get("/version").ok
    assert server.asked == ["GET known", "POST unknown", "POST known", "GET known"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("refusal", [(401, "Unauthorized"), (403, ANONYMOUS)])
def test_a_plugin_that_failed_is_asked_again(refusal: tuple[int, str], server: Server, tmp_path: Path) -> None:
    """The client goes on without a token then, and by itself it never asks for one again."""
    server.refusal = refusal
    (tmp_path / "token").write_text("")
    found = connect(tmp_path, server, plugin(tmp_path))
    with pytest.raises(
        ClusterUnreachable,
        match=rf"does not accept the context c of .*kubeconfig: HTTP {refusal[0]}: .*{refusal[1][:9]}",
    ):
        found.get("/version")
    assert server.asked == ["GET unknown"] * 2, "not again and again: a person may have to do something"
    (tmp_path / "token").write_text(SECRET)
    assert found.get("/version").ok


def test_many_threads_renew_credentials_once(server: Server, tmp_path: Path) -> None:
    """A plugin may take seconds, and a cloud may count how often it is asked."""
    (tmp_path / "token").write_text("old")
    found = connect(tmp_path, server, plugin(tmp_path))
    (tmp_path / "token").write_text(SECRET)
    together = threading.Barrier(8, timeout=10)

    def ask(_: int) -> bool:
        together.wait()
        return found.get("/version").ok

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))
    assert (tmp_path / "runs").read_text() == "xx"


def test_credentials_that_stay_wrong_are_not_asked_for_again_and_again(server: Server, tmp_path: Path) -> None:
    """Many requests fail by them, each by itself."""
    (tmp_path / "token").write_text("wrong")
    found = connect(tmp_path, server, plugin(tmp_path))
    for _ in range(5):
        with pytest.raises(ClusterUnreachable, match="does not accept"):
            found.get("/version")
    assert (tmp_path / "runs").read_text() == "xx"


@pytest.fixture
def other() -> Iterator[Server]:
    """Another cluster, which knows the same token."""
    with Server() as started:
        yield started
        started.shutdown()


def test_another_context_is_not_gone_on_with(server: Server, other: Server, tmp_path: Path) -> None:
    """Somebody works with the same kubeconfig: what was planned is about one cluster, whichever is current by now."""
    (tmp_path / "token").write_text("old")
    found = connect(tmp_path, server, {"tokenFile": str(tmp_path / "token")})
    (tmp_path / "token").write_text(SECRET)
    content = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    content["clusters"].append({"name": "d", "cluster": {"server": f"http://127.0.0.1:{other.server_address[1]}"}})
    content["contexts"].append({"name": "d", "context": {"cluster": "d", "user": "u"}})
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({**content, "current-context": "d"}))
    assert found.send("POST", "/api").ok
    assert server.asked == ["POST unknown", "POST known"]
    assert other.asked == []


def test_another_server_is_not_gone_on_with(server: Server, other: Server, tmp_path: Path) -> None:
    """A context may lead elsewhere by now, where nothing of what is known holds."""
    found = connect(tmp_path, server, {"token": "old"})
    connect(tmp_path, other, {"token": SECRET})
    with pytest.raises(ClusterUnreachable, match="names another server or certificate authority"):
        found.send("POST", "/api")
    assert other.asked == []


def test_authorities_may_be_rotated(tmp_path: Path) -> None:
    """For a while both are trusted."""
    config = kubeconfig(tmp_path, "https://127.0.0.1:9", {"token": SECRET})
    content = yaml.safe_load(config.read_text())
    bundle, old, new = tmp_path / "ca", Authority(tmp_path / "old").file, Authority(tmp_path / "new").file
    bundle.write_bytes(old.read_bytes())
    content["clusters"][0]["cluster"]["certificate-authority"] = str(bundle)
    config.write_text(yaml.safe_dump(content))
    found = Access(config, None)
    bundle.write_bytes(new.read_bytes() + old.read_bytes())
    assert found.renewed().host == found.host


def test_another_authority_is_not_gone_on_with(tmp_path: Path) -> None:
    """Addresses are given again; who vouches for a server is not."""
    config = kubeconfig(tmp_path, "https://127.0.0.1:9", {"token": SECRET})
    content = yaml.safe_load(config.read_text())
    for name in ("first", "second"):
        content["clusters"][0]["cluster"]["certificate-authority"] = str(Authority(tmp_path / name).file)
        config.write_text(yaml.safe_dump(content))
        if name == "first":
            found = Access(config, None)
            assert found.renewed().host == found.host
    with pytest.raises(ClusterUnreachable, match="another server or certificate authority"):
        found.renewed()


@pytest.mark.parametrize("text", ["", "users: [", "current-context: c"], ids=["empty", "cut", "lacks entries"])
def test_a_kubeconfig_that_is_just_being_written_is_tried_again(text: str, server: Server, tmp_path: Path) -> None:
    """The run is retried, and it was of use before: that is no wrong setting."""
    found = connect(tmp_path, server, {"token": "old"})
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(ClusterUnreachable, match="no cluster to talk to"):
        found.get("/version")


@pytest.mark.parametrize("status", [401, 403])
def test_a_webhook_may_refuse_in_any_words(status: int, server: Server, tmp_path: Path) -> None:
    """It is a webhook that refuses, not the API server that does not know us."""
    server.refusal = status, f'admission webhook "x" denied the request: {ANONYMOUS}'
    assert connect(tmp_path, server, {"token": "of-ann"}).send("POST", "/api").message == server.refusal[1]
    assert server.asked == ["POST unknown"]


def test_a_right_that_is_missing_is_no_missing_account(server: Server, tmp_path: Path) -> None:
    """Whoever is known and may not is answered; its credentials are good."""
    server.refusal = 403, 'User "ann" cannot get path "/version"'
    found = connect(tmp_path, server, {"token": "of-ann"})
    assert found.get("/version").status == 403
    assert server.asked == ["GET unknown"]


@pytest.mark.parametrize("token", [f"{SECRET}\n{SECRET}", f"{SECRET}\N{EURO SIGN}"])
def test_a_token_that_cannot_be_sent_is_not_shown(token: str, server: Server, tmp_path: Path) -> None:
    """HTTP clients quote the header that they refuse."""
    with pytest.raises(SettingsError, match="what no token does") as raised:
        connect(tmp_path, server, {"token": token}).get("/version")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        f"users: {{token: {SECRET}: x}}",
        f"- {SECRET}",
        SECRET,
        f"\x00{SECRET}",
        f"current-context: c\ncontexts: [{{name: c, token: {SECRET}}}]",
        f"{NAMED}users: [{{name: u, token: {SECRET}}}]",
        f"{NAMED}users: [{{name: u, user: {SECRET}}}]",
        f"{NAMED}users: [{{name: u, user: {{client-key-data: {SECRET}1}}}}]",
        "",
    ],
    ids=["not YAML", "a list", "a text", "binary", "no context", "no user", "user is a text", "no base64", "empty"],
)
def test_a_kubeconfig_that_is_none_is_said_and_not_shown(text: str, tmp_path: Path) -> None:
    """With its name, and what to set; whatever is in it stays there."""
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(SettingsError, match=r"no cluster to talk to by .*kubeconfig: ") as raised:
        Connection(tmp_path / "kubeconfig")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("field", ["tokenFile", "client-certificate", "client-key"])
def test_data_where_a_path_should_be_is_not_shown(field: str, tmp_path: Path) -> None:
    """People write a token or a key where its file is asked for."""
    with pytest.raises(SettingsError, match=r"no cluster to talk to by .*: .*a file that it names") as raised:
        Connection(kubeconfig(tmp_path, "https://127.0.0.1:9", {field: SECRET}))
    assert SECRET not in str(raised.value)


def test_what_the_client_logs_of_a_user_is_masked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It logs the whole entry when it cannot be used, and Dagster keeps what is logged."""
    variables = [{"name": "ARM_CLIENT_SECRET", "value": "hunter2-of-cloud"}, {"name": "REGION"}]
    user = {**plugin(tmp_path), "password": "hunter2-password"}
    user["exec"]["env"] = variables
    user["client-key-data"] = base64.b64encode(b"hunter2-key").decode()
    with suppress(SettingsError, ClusterUnreachable):
        Connection(kubeconfig(tmp_path, "http://127.0.0.1:9", user))
    assert "<masked>" in caplog.text
    assert "hunter2" not in caplog.text
    assert user["client-key-data"] not in caplog.text


def test_credentials_in_the_address_are_refused(tmp_path: Path) -> None:
    """Every message about the cluster would show them."""
    for address in (f"http://ann:{SECRET}@127.0.0.1:9", f"http://127.0.0.1:9/?token={SECRET}"):
        with pytest.raises(SettingsError, match="holds credentials") as raised:
            Connection(kubeconfig(tmp_path, address, {}))
        assert SECRET not in str(raised.value)


def test_keys_in_a_kubeconfig_do_not_outlive_a_killed_process(tmp_path: Path) -> None:
    """The client writes them into files, since TLS libraries want those."""
    for place in ("shm", "tmp"):
        (tmp_path / place).mkdir()
    data = base64.b64encode(SECRET.encode()).decode()
    config = kubeconfig(tmp_path, "https://127.0.0.1:9", {"client-certificate-data": data, "client-key-data": data})
    program = f"""
import pathlib, time
from deploy_pipeline import private_files
private_files._MEMORY = pathlib.Path("{tmp_path}/shm")
from deploy_pipeline.cluster.access import _load
_load(pathlib.Path("{config}"), "")
print(flush=True)
time.sleep(60)
"""
    environment = {"TMPDIR": f"{tmp_path}/tmp", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        process.stdout.readline()
        assert [path.read_text() for path in (tmp_path / "shm").rglob("*") if path.is_file()] == [SECRET]
        process.send_signal(signal.SIGKILL)
    sweep(tmp_path / "shm")
    assert [path for place in ("shm", "tmp") for path in (tmp_path / place).iterdir()] == []
