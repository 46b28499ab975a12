"""A real registry (the distribution project's, Debian's package ``docker-registry``) in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

PROGRAM = Path(__file__).resolve().parents[2] / ".tools" / "bin" / "docker-registry"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
USER, PASSWORD = "deployer", "pull-please"
# bcrypt of PASSWORD, at the lowest cost
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuOgdVv2S/6GzNi.3VbGH7Twv11qPIA0e\n"


@dataclass(frozen=True)
class Registry:
    """A running registry; ``log`` is where it writes the requests that it gets."""

    host: str
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def push(self, repository: str, tag: str, content: str = "") -> str:
        """Put an image of nothing but its configuration there; gives its digest."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "author": content}).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {**self._blob(repository, config), "mediaType": "application/vnd.oci.image.config.v1+json"},
                "layers": [],
            }
        ).encode()
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", manifest, MANIFEST)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def requests(self) -> str:
        """The lines about requests so far."""
        return self.log.read_text()

    def _blob(self, repository: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = self._send("POST", f"/v2/{repository}/blobs/uploads/")
        place = begun.headers["Location"].partition(self.host)[2]
        self._send("PUT", f"{place}&digest={digest}", content, "application/octet-stream")
        return {"digest": digest, "size": len(content)}

    def _send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> urllib3.BaseHTTPResponse:
        headers = {**self.headers, **({"Content-Type": kind} if kind else {})}
        answer = urllib3.request(method, f"http://{self.host}{path}", body=body, headers=headers)
        assert answer.status < 300, (method, path, answer.status, answer.data)
        return answer


@contextmanager
def serve(
    directory: Path,
    auth: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[Registry]:
    """A registry on loopback that keeps its images in a folder.

    ``headers`` are what pushing to it takes, ``tls`` the files with its certificate and key.
    """
    if not PROGRAM.is_file():
        pytest.skip("there is no docker-registry in .tools/bin: `make setup` brings it where apt has it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}},
        "http": {"addr": host, **({"tls": {"certificate": str(tls[0]), "key": str(tls[1])}} if tls else {})},
        **({"auth": auth} if auth else {}),
    }
    (directory / "config.yml").write_text(yaml.safe_dump(configuration))
    log = directory / "log"
    with log.open("w") as output:
        process = subprocess.Popen([PROGRAM, "serve", directory / "config.yml"], stdout=output, stderr=output)
    try:
        _wait(host, process, log)
        yield Registry(host, log, headers or {})
    finally:
        process.terminate()
        process.wait()


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it answers, whatever it answers."""
    address, port = host.split(":")
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex((address, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@contextmanager
def serve_with_login(directory: Path) -> Iterator[Registry]:
    """A registry that wants USER and PASSWORD for everything."""
    (directory / "htpasswd").write_text(_HTPASSWD)
    auth = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    with serve(directory, auth, {"Authorization": basic(USER, PASSWORD)}) as registry:
        yield registry


def basic(user: str, password: str) -> str:
    """The value of an ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def docker_config(path: Path, host: str, password: str = PASSWORD) -> Path:
    """A docker configuration with the credentials for one registry."""
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return path
