"""The last gate: whatever a process says, by whatever library, without the secrets that it has read."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy_pipeline import process_redaction
from deploy_pipeline.cluster.access import Access
from deploy_pipeline.cluster.connection import Connection
from deploy_pipeline.errors import ClusterUnreachable
from deploy_pipeline.images.registries import read_docker_config
from deploy_pipeline.repository.remote import Remote
from deploy_pipeline.secret_stores import secret_store_from
from deploy_pipeline.secret_stores.vault_login import GivenToken
from deploy_pipeline.settings import Settings

VALUE = "hunter2-in-a-process"


def test_every_logger_is_guarded(caplog: pytest.LogCaptureFixture) -> None:
    """Those of libraries, too: message, arguments and traceback."""
    process_redaction.learn([VALUE])
    log = logging.getLogger("urllib3.connectionpool")
    with caplog.at_level(logging.DEBUG, log.name):
        log.debug("GET /?token=%s", VALUE)
        log.debug("%(a)s", {"a": VALUE})
        log.debug(f"sent {VALUE}")  # noqa: G004 (as libraries do)
        log.debug("%d of them", VALUE)
        try:
            raise ValueError(VALUE) from KeyError(VALUE)
        except ValueError:
            log.exception("it failed")
    assert VALUE not in caplog.text
    assert caplog.text.count("<masked>") == 6
    assert "Traceback" in caplog.text


def test_other_records_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """With their arguments, which some handlers look at."""
    process_redaction.learn([VALUE])
    with caplog.at_level(logging.INFO):
        logging.getLogger("any").info("%s of %s", 1, "two")
    assert caplog.records[0].args == (1, "two")


UNCAUGHT = """
import threading
from deploy_pipeline import process_redaction
process_redaction.learn(["hunter2-in-a-process"])
def fail():
    raise ValueError("hunter2-in-a-process")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_errors_that_nobody_catches_are_masked() -> None:
    """Python prints them, and Dagster stores what is printed."""
    done = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True)
    assert VALUE not in done.stderr
    assert done.stderr.count("ValueError: <masked>") == 2


PAYLOADS = {
    "secret": "{apiVersion: v1, kind: Secret, metadata: {name: plain-name}, data: {a: aHVudGVyMi1pbi1hLXByb2Nlc3M=}}",
    "text": f"{{apiVersion: v1, kind: Secret, metadata: {{name: plain-name}}, stringData: {{a: {VALUE}}}}}",
    "values": f"a: [b, {{c: {VALUE}}}]",
    "malformed": f"a: [{VALUE}",
    "no-manifest": VALUE,
    "odd": f"{{kind: Secret, data: [{VALUE}], stringData: {{a: {{b: {VALUE}}}}}}}",
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_is_read_from_a_store_is_known_at_once(name: str, tmp_path: Path) -> None:
    """Also in a payload that will be refused; the name of a Secret is none."""
    (tmp_path / name).write_text(PAYLOADS[name])
    secret_store_from(Settings(secrets_dir=tmp_path)).read(name)
    assert process_redaction.redact(f"({VALUE})") == "(<masked>)"
    assert process_redaction.redact("plain-name of kind Secret") == "plain-name of kind Secret"


def test_bytes_that_are_no_text_are_read_all_the_same(tmp_path: Path) -> None:
    """A surrogate, which YAML can write, and bytes that are no UTF-8."""
    (tmp_path / "escaped").write_text('a: "\\ud800-hunter2"')
    (tmp_path / "bytes").write_bytes(b"hunter2-\xff\n" + VALUE.encode())
    store = secret_store_from(Settings(secrets_dir=tmp_path))
    for name in ("escaped", "bytes"):
        store.read(name)
    assert process_redaction.redact(f"({VALUE}, \ud800-hunter2)") == "(<masked>, <masked>)"


@pytest.mark.parametrize("given", ["data", "file"])
def test_the_key_of_a_kubeconfig_is_known_when_it_is_read(given: str, tmp_path: Path) -> None:
    """Whether it lies in it or in a file beside it; each of its lines alone, too."""
    line = base64.b64encode(b"of a key that is in a " + given.encode()).decode()
    key = f"-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n"
    (tmp_path / "key").write_text(key)
    named = {"client-key": "key"} if given == "file" else {"client-key-data": base64.b64encode(key.encode()).decode()}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "c", "user": named}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    Access(tmp_path / "kubeconfig", None)
    whole = base64.b64encode(key.encode()).decode().rstrip("=")
    assert process_redaction.redact(f"({line}) {whole}") == "(<masked>) <masked>"


def test_tokens_are_known_when_they_are_used(tmp_path: Path) -> None:
    """Those for git, a cluster, Vault and a registry."""
    config = tmp_path / "kubeconfig"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}],"
        " users: [{name: c, user: {token: token-of-cluster}}], contexts: [{name: c, context: {cluster: c, user: c}}]}"
    )
    docker = tmp_path / "docker.json"
    docker.write_text('{"auths": {"ghcr.io": {"username": "me", "password": "token-of-registry"}}}')
    with pytest.raises(ClusterUnreachable):
        Connection(config).send("POST", "/api")
    Remote.parse("https://me:token-of-git@example.invalid/x.git")
    GivenToken("token-of-vault").token(lambda _: None)
    read_docker_config(docker)
    for name in ("cluster", "git", "vault", "registry"):
        assert process_redaction.redact(f"token-of-{name}") == "<masked>", name
