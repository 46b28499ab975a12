"""What all stores share: one reading for a plan, patience, names, and which one the settings choose."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable, SettingsError
from deploy_pipeline.secret_stores import ReadOnce, StoredSecret, secret_store_from, store
from deploy_pipeline.secret_stores.environment import EnvironmentStore
from deploy_pipeline.secret_stores.store import Patient
from deploy_pipeline.settings import Settings

VAULT = {"secret_store": "vault", "vault_url": "https://vault.example"}
GOOGLE = {"secret_store": "google", "google_project": "shop"}


class Counting:
    """A store whose payloads say how often it was asked."""

    def __init__(self, failures: int = 0) -> None:
        self.asked = 0
        self.failures = failures

    def read(self, name: str) -> StoredSecret:
        """A new version each time."""
        self.asked += 1
        if self.asked <= self.failures:
            raise SecretStoreUnreachable("it is down")
        return StoredSecret(name, b"content", str(self.asked))


def test_one_version_for_a_whole_plan() -> None:
    """Whatever happens in the store meanwhile, a name is one reading."""
    counting = Counting()
    once = ReadOnce(counting)
    with ThreadPoolExecutor(8) as pool:
        assert {secret.version for secret in pool.map(once.read, ["a"] * 50)} == {"1"}
    assert counting.asked == 1


def test_names_are_read_side_by_side() -> None:
    """A store far away must not be asked for one secret after the other."""
    together = threading.Barrier(2, timeout=10)

    class Meeting:
        def read(self, name: str) -> StoredSecret:
            """Give an answer only while the other name is being read, too."""
            together.wait()
            return StoredSecret(name, b"")

    once = ReadOnce(Meeting())
    with ThreadPoolExecutor(2) as pool:
        assert [secret.name for secret in pool.map(once.read, ["a", "b"])] == ["a", "b"]


def test_a_failure_is_one_reading_too() -> None:
    """All who ask for the name get the same error."""
    counting = Counting(failures=1)
    once = ReadOnce(counting)
    for _ in range(2):
        with pytest.raises(SecretStoreUnreachable):
            once.read("a")
    assert counting.asked == 1


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two failures are forgiven, the third one is told."""
    monkeypatch.setattr(store, "_WAITS", (0.0, 0.0))
    assert Patient(Counting(failures=2)).read("a").version == "3"
    with pytest.raises(SecretStoreUnreachable):
        Patient(Counting(failures=3)).read("a")


def test_a_refusal_is_not_tried_again() -> None:
    """It would be the same."""

    class Refusing(Counting):
        def read(self, name: str) -> StoredSecret:
            """Refuse."""
            self.asked += 1
            raise SecretFault("no")

    refusing = Refusing()
    with pytest.raises(SecretFault):
        Patient(refusing).read("a")
    assert refusing.asked == 1


def test_environment() -> None:
    """Capitals, and an underscore for all but letters and digits; no content shows in a representation."""
    read = EnvironmentStore({"DEPLOY_SECRET_PAYLOAD_METABASE_DATABASE_BACKUP": "hunter2"}).read(
        "metabase_database-backup"
    )
    assert read.content == b"hunter2"
    assert "hunter2" not in repr(read)


def test_environment_names_what_is_not_set() -> None:
    """The next step is the variable."""
    with pytest.raises(SecretFault, match=r"there is no secret a\.b in the environment") as caught:
        EnvironmentStore({}).read("a.b")
    assert caught.value.hint == "set DEPLOY_SECRET_PAYLOAD_A_B"


def test_environment_refuses_two_names_with_one_variable() -> None:
    """Neither app may get what is meant for the other."""
    environment = EnvironmentStore({"DEPLOY_SECRET_PAYLOAD_A_B": "x"})
    environment.read("a-b")
    with pytest.raises(SecretFault, match=r"a-b and A\.B have the same variable DEPLOY_SECRET_PAYLOAD_A_B"):
        environment.read("A.B")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"secret_store": "directory"}, "none is named"),
        ({"secret_store": "google"}, "DEPLOY_GOOGLE_PROJECT names no project"),
        ({**GOOGLE, "google_project": "shop/secrets/a"}, "DEPLOY_GOOGLE_PROJECT names no project"),
        ({**GOOGLE, "google_secret_version": "newest"}, "DEPLOY_GOOGLE_SECRET_VERSION"),
        ({**GOOGLE, "google_endpoint": "googleapis.com.evil.example"}, "DEPLOY_GOOGLE_ENDPOINT"),
        ({**GOOGLE, "google_endpoint": "evil.example/googleapis.com"}, "DEPLOY_GOOGLE_ENDPOINT"),
        ({"secret_store": "vault"}, "DEPLOY_VAULT_URL"),
        ({**VAULT, "vault_url": "http://vault.example"}, "DEPLOY_VAULT_URL"),
        ({**VAULT, "vault_url": "https://s.token@vault.example"}, "DEPLOY_VAULT_URL"),
        ({**VAULT, "vault_path": "a/../b"}, "DEPLOY_VAULT_PATH"),
        ({**VAULT, "vault_ca_file": Path("/none/ca.pem")}, "DEPLOY_VAULT_CA_FILE"),
        (VAULT, "exactly one way"),
        ({**VAULT, "vault_role": "deployer", "vault_token_file": Path("token")}, "exactly one way"),
        ({**VAULT, "vault_role_id": "1"}, "exactly one way"),
    ],
)
def test_settings_that_cannot_be_right(chosen: dict[str, Any], words: str) -> None:
    """They are named before anybody is asked."""
    with pytest.raises(SettingsError, match=words):
        secret_store_from(Settings(**chosen))


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        GOOGLE,
        {**GOOGLE, "google_endpoint": "secretmanager.europe-west3.rep.googleapis.com"},
        {**GOOGLE, "google_endpoint": "localhost:8085"},
        {**VAULT, "vault_token": "t"},
        {**VAULT, "vault_url": "http://127.0.0.1:8200", "vault_role": "deployer"},
        {**VAULT, "vault_role_id": "1", "vault_secret_id_file": Path("secret-id"), "vault_mount": "teams/shop"},
        {"secret_store": "environment"},
        {"secrets_dir": Path("/none")},
    ],
)
def test_settings_open_nothing(chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """No client is imported, no file read, before a secret is."""
    for module in ("hvac", "google.cloud.secretmanager_v1", "grpc"):
        monkeypatch.setitem(sys.modules, module, None)
    secret_store_from(Settings(**chosen))


def test_no_store_at_all() -> None:
    """Whoever wants a secret is told what to set."""
    with pytest.raises(SettingsError, match="the secret a is wanted") as caught:
        secret_store_from(Settings()).read("a")
    assert "DEPLOY_SECRET_STORE" in caught.value.hint


@pytest.mark.parametrize(
    ("chosen", "missing", "extra"),
    [
        ({**VAULT, "vault_token": "t"}, "hvac", "deploy_pipeline[vault]"),
        ({**VAULT, "vault_role": "deployer"}, "hvac", "deploy_pipeline[vault]"),
        (GOOGLE, "google.cloud.secretmanager_v1", "deploy_pipeline[google]"),
    ],
)
def test_a_client_that_is_not_installed(
    chosen: dict[str, Any], missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next step is the command that installs it."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsError, match="is not installed") as caught:
        secret_store_from(Settings(**chosen)).read("a")
    assert caught.value.hint == f"pip install '{extra}'"
