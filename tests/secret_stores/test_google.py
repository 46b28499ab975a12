"""The Google store: the real client against a gRPC server that implements the service's own messages."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from google.cloud.secretmanager_v1 import AccessSecretVersionRequest, AccessSecretVersionResponse

from deploy_pipeline.errors import DeployError, SecretFault, SecretStoreUnreachable, SettingsError
from deploy_pipeline.secret_stores.google import GoogleStore
from tests.secret_stores.conftest import everything_said

SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
CONTENT = b"apiVersion: v1\nkind: Secret\n"


@dataclass
class Manager:
    """Secret Manager with versions of payloads by name, or the status that it answers for a name."""

    address: str = ""
    versions: dict[str, list[bytes]] = field(default_factory=dict)
    refusals: dict[str, grpc.StatusCode] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def access(self, request: AccessSecretVersionRequest, context: grpc.ServicerContext) -> AccessSecretVersionResponse:
        """AccessSecretVersion, as its documentation has it: the answer names the version by its number."""
        self.asked.append(request.name)
        _, _, _, name, _, version = request.name.split("/")
        if name in self.refusals:
            context.abort(self.refusals[name], "hunter2")
        if name not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Secret [{request.name}] not found or has no versions.")
        number = len(self.versions[name]) if version == "latest" else int(version)
        data = self.versions[name][number - 1]
        path = f"projects/123456/secrets/{name}/versions/{number}"
        return AccessSecretVersionResponse(name=path, payload={"data": data})

    def store(self, version: str = "latest", timeout: float = 30.0) -> GoogleStore:
        """The store of a deployer."""
        return GoogleStore("shop", version, self.address, insecure=True, timeout=timeout)


@pytest.fixture
def manager() -> Iterator[Manager]:
    """The server, on loopback."""
    made = Manager()
    handler = grpc.unary_unary_rpc_method_handler(
        made.access,
        request_deserializer=AccessSecretVersionRequest.deserialize,
        response_serializer=AccessSecretVersionResponse.serialize,
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"AccessSecretVersion": handler}),))
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(None).wait()


def test_the_latest_version_is_named_by_its_number(manager: Manager) -> None:
    """One request gives the payload and the number of what was the latest."""
    manager.versions["a"] = [b"old", CONTENT]
    read = manager.store().read("a")
    assert (read.content, read.version) == (CONTENT, "2")
    assert manager.asked == ["projects/shop/secrets/a/versions/latest"]


def test_a_version_can_be_chosen(manager: Manager) -> None:
    """A number instead of the latest."""
    manager.versions["a"] = [CONTENT, b"new"]
    read = manager.store("1").read("a")
    assert (read.content, read.version) == (CONTENT, "1")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (grpc.StatusCode.NOT_FOUND, SecretFault, "there is no secret a in the Google project shop"),
        (grpc.StatusCode.FAILED_PRECONDITION, SecretFault, "version latest of the secret a is disabled or destroyed"),
        (grpc.StatusCode.PERMISSION_DENIED, SecretFault, "does not let the deployer read the secret a of project shop"),
        (grpc.StatusCode.UNAUTHENTICATED, SecretFault, "does not let the deployer read the secret a of project shop"),
        (grpc.StatusCode.INVALID_ARGUMENT, SecretFault, "takes a for no name"),
        (grpc.StatusCode.UNAVAILABLE, SecretStoreUnreachable, "cannot be asked for the secret a"),
        (grpc.StatusCode.INTERNAL, SecretStoreUnreachable, "cannot be asked for the secret a"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, SecretStoreUnreachable, "cannot be asked for the secret a"),
        (grpc.StatusCode.UNKNOWN, SecretStoreUnreachable, "cannot be asked for the secret a"),
        (grpc.StatusCode.UNIMPLEMENTED, SettingsError, "cannot be used: MethodNotImplemented"),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else "",
)
def test_refusals(manager: Manager, status: grpc.StatusCode, kind: type[DeployError], words: str) -> None:
    """What passes by itself may be tried again; nothing of the answer is quoted, and nobody is asked twice."""
    manager.refusals["a"] = status
    with pytest.raises(kind, match=words) as caught:
        manager.store().read("a")
    assert "hunter2" not in everything_said(caught.value)
    assert len(manager.asked) == 1


def test_nobody_there() -> None:
    """A server that is gone may come back."""
    with pytest.raises(SecretStoreUnreachable, match="ServiceUnavailable"):
        GoogleStore("shop", endpoint="127.0.0.1:9", insecure=True).read("a")


def test_a_name_is_no_path(manager: Manager) -> None:
    """Names come from branches: none leads to another project."""
    with pytest.raises(SecretFault, match="is not the name of a secret"):
        manager.store().read("a/../../others")
    assert manager.asked == []


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Without application-default credentials the settings are wrong, which the error says."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{tmp_path}/none.json")
    with pytest.raises(SettingsError, match="cannot be used: DefaultCredentialsError"):
        GoogleStore("shop").read("a")
