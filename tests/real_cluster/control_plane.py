"""etcd, the API server and its controllers, for this user and on loopback only, with one administrator."""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from urllib3.exceptions import HTTPError

from deploy_pipeline.demo.waiting import Waiting
from deploy_pipeline.demo.world import free_port
from deploy_pipeline.isolation import launcher
from tests.properties.cluster_view import ClusterView

_HERE = "127.0.0.1"
# No nodes are to be looked after. And later versions make no token for every service account.
_CONTROLLERS = "*,-nodelifecycle,-serviceaccount-token"


@dataclass(frozen=True)
class ControlPlane:
    """What is started of ``programs``. Its state is in ``folder``, which nobody else may read: secrets are in it."""

    programs: Path
    folder: Path
    waiting: Waiting

    def start(self) -> Path:
        """Start it; returns its kubeconfig when it can be used. Raises FailedError if a part of it ends.

        What is started ends with this process, even if that is killed: an administrator's token opens it.
        """
        port, token, key = free_port(), secrets.token_hex(16), self._key()
        (self.folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n", encoding="utf-8")
        self._start_api_server(self._start_store(), port, key)
        # The key is written after the certificate that it belongs to.
        self.waiting.until("a certificate of the API server", (self.folder / "apiserver.key").exists)
        kubeconfig = self._write_kubeconfig(f"https://{_HERE}:{port}", token)
        self.waiting.until("an API server that is ready", lambda: _is_ready(kubeconfig))
        self._start(
            "kube-controller-manager",
            kubeconfig=kubeconfig,
            controllers=_CONTROLLERS,
            leader_elect="false",
            service_account_private_key_file=key,
            kube_api_qps=200,
            kube_api_burst=400,
            port=0,
            bind_address=_HERE,
            secure_port=free_port(),
            cert_dir=self.folder,
        )
        return kubeconfig

    def _key(self) -> Path:
        """What tokens of service accounts are signed with."""
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key = self.folder / "accounts.key"
        key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return key

    def _start_store(self) -> str:
        # Sockets in the folder: who may not read it cannot get past the API server.
        client, peer = "unix://localhost:1", "unix://localhost:2"
        command = [str(self.programs / "etcd"), "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
        command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        self._run("etcd", command)
        return client

    def _start_api_server(self, store: str, port: int, key: Path) -> None:
        self._start(
            "kube-apiserver",
            etcd_servers=store,
            bind_address=_HERE,
            secure_port=port,
            cert_dir=self.folder,
            token_auth_file=self.folder / "tokens.csv",
            authorization_mode="RBAC",
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=key,
            service_account_signing_key_file=key,
            service_cluster_ip_range="10.0.0.0/20",
            disable_admission_plugins="ServiceAccount",
        )

    def _start(self, program: str, **options: object) -> None:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._run(program, [str(self.programs / program), *flags])

    def _run(self, name: str, command: list[str]) -> None:
        argv = [*launcher(offline=False), *command]
        self.waiting.processes.start(name, argv, env=os.environ, cwd=self.folder)

    def _write_kubeconfig(self, server: str, token: str) -> Path:
        certificate = base64.b64encode((self.folder / "apiserver.crt").read_bytes()).decode()
        named = {"server": server, "certificate-authority-data": certificate}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": named}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "admin"}}],
            "current-context": "real",
        }
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
        return kubeconfig


def _is_ready(kubeconfig: Path) -> bool:
    """Whether the API server has made what every cluster has; it refuses connections at first."""
    try:
        return ClusterView(kubeconfig).send("GET", "/api/v1/namespaces/default")[0] == 200
    except HTTPError:
        return False
